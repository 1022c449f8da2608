"""Samples of any data set: what is seen is what inference sees, changes are repeatable, and bad data is refused."""

import logging

import numpy as np
import pytest
import torch

import phantoms
from EfficientSegLib import preprocess, volume
from EfficientSegLib.errors import OptionError, TrainingError, VolumeError
from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.samples import source
from EfficientSegLib.training.samples.transforms import PROBABILITIES, Options

PATCH, MULTIPLE = (16, 16, 16), (4, 4, 4)
OFF = dict.fromkeys(PROBABILITIES, 0.0)
SPACING = (8.0, 8.0, 8.0)


def opened(tiny_json, folder, options=None, patch=PATCH, multiple=MULTIPLE, **changes):
    content = {**tiny_json, "samples": {"name": "volume", "options": options or {}}, **changes}
    config = read_options(TrainConfig, content)
    return source("volume").open_source(config, config.cases, folder, patch, multiple)


def prepared_array(tiny_json, folder, number=0):
    config = read_options(TrainConfig, {**tiny_json, "samples": {"name": "volume"}})
    image = volume.read(folder / config.cases[number].image)
    return preprocess.prepare(image, config.template.preprocess).array[0]


def write(folder, image, labels, **geometry):
    folder.mkdir(parents=True, exist_ok=True)
    volume.write(volume.Volume(image[None], SPACING), folder / "image.nii.gz")
    volume.write(volume.Volume(labels[None], **{"spacing_mm": SPACING, **geometry}), folder / "label.nii.gz")


def one_case(tiny_json, **case):
    paths = {"image": "a/image.nii.gz", "label": "a/label.nii.gz"}
    return {**tiny_json, "cases": [{**paths, "map": {"1": 1, "2": 2, "3": 7}, **case}]}


def zscore(tiny_json):
    tiny_json["bundle"]["preprocess"]["intensity"] = {"kind": "zscore", "low": 1, "high": 99}
    tiny_json["bundle"]["strategy"]["options"]["pad_value"] = -2.5
    return tiny_json


@pytest.mark.parametrize("rule", [lambda given: given, zscore], ids=["window", "zscore"])
def test_a_still_sample_is_what_inference_sees_with_its_padding(rule, tiny_json, data_folder):
    given = rule(tiny_json)
    pad = given["bundle"]["strategy"]["options"].get("pad_value", 0.0)
    still = opened(given, data_folder, patch=(16, 40, 16), largest=[40, 40, 32]).still(0)
    array = prepared_array(given, data_folder)
    assert array.shape == (40, 32, 28)
    assert still.image.shape == (1, 40, 40, 28)
    assert np.array_equal(still.image[0, :, 4:36].numpy(), array)
    assert (still.image[0, :, :4] == pad).all() and (still.image[0, :, 36:] == pad).all()
    assert not still.target[:, :4].any()
    assert set(still.target.unique().tolist()) == {0, 1, 2, 3}


def test_without_changes_a_draw_is_the_case(tiny_json, data_folder):
    samples = opened(tiny_json, data_folder, OFF)
    drawn = samples.draw(np.random.default_rng(0))
    number = int(drawn.name.split("/")[0][-1])
    assert torch.equal(drawn.image, samples.still(number).image)
    assert torch.equal(drawn.target, samples.still(number).target)


@pytest.mark.parametrize("name", PROBABILITIES)
def test_each_change_alone_is_repeatable_and_changes_something(name, tiny_json, data_folder):
    changes = {"largest": [24, 24, 24]} if name == "focus" else {}
    samples = opened(tiny_json, data_folder, {**OFF, name: 1.0}, **changes)
    plain = opened(tiny_json, data_folder, OFF, **changes)
    for seed in range(3):
        first, second, still = (s.draw(np.random.default_rng(seed)) for s in (samples, samples, plain))
        assert torch.equal(first.image, second.image) and torch.equal(first.target, second.target)
        assert first.image.shape == still.image.shape
        assert not torch.equal(first.image, still.image)


def test_a_draw_does_not_depend_on_the_draws_before_it(tiny_json, data_folder):
    always = {name: 0.5 for name in PROBABILITIES}
    used, fresh = opened(tiny_json, data_folder, always), opened(tiny_json, data_folder, always)
    for seed in range(5):
        used.draw(np.random.default_rng(seed))
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(used.draw(np.random.default_rng(9)).image, fresh.draw(np.random.default_rng(9)).image)


def test_brightness_leaves_places_and_padding_alone(tiny_json, data_folder):
    given = {**OFF, **dict.fromkeys(("noise", "smooth", "gain", "shift", "coarse", "gamma", "inverted_gamma"), 1.0)}
    tiny_json["bundle"]["strategy"]["options"]["pad_value"] = -0.5
    samples = opened(tiny_json, data_folder, given, smallest=[48, 32, 28], largest=[48, 32, 32])
    drawn = samples.draw(np.random.default_rng(3))
    still = samples.still(int(drawn.name.split("/")[0][-1]))
    assert drawn.image.shape == (1, 48, 32, 28)
    assert torch.equal(drawn.target, still.target if still.target.shape == drawn.target.shape else drawn.target)
    assert (drawn.image[0, :4] == -0.5).all() and (drawn.image[0, 44:] == -0.5).all()
    assert not (drawn.image[0, 4:44] == -0.5).any()


def test_image_and_labels_move_together(tiny_json, tmp_path):
    """The image is the label itself, so after any turn, stretch and shift bright is where the label is."""
    labels = phantoms.torso((40, 32, 28), 0, SPACING)[1]
    labels = (labels == 1).astype(np.uint8)
    write(tmp_path / "a", np.where(labels, 500, -250).astype(np.int16), labels)
    moved = {**OFF, "affine": 1.0, "distortion": 1.0, "translation": 1.0, "mirror": 0.5}
    samples = opened(one_case(tiny_json), tmp_path, moved)
    for seed in range(6):
        drawn = samples.draw(np.random.default_rng(seed))
        bright = drawn.image[0] > 0.5
        overlap = 2 * (bright & (drawn.target == 1)).sum() / (bright.sum() + (drawn.target == 1).sum())
        assert overlap > 0.95  # one voxel beside would be about 0.85


def test_a_turn_keeps_volumes_in_millimetres_on_thick_slices(tiny_json, tmp_path):
    """A ball in voxels of 2 x 2 x 8 mm stays a ball of its size; a turn in voxels would shear and stretch it."""
    body = phantoms.Ellipsoid((48.0, 48.0, 96.0), (24.0, 24.0, 24.0))
    spacing = (2.0, 2.0, 8.0)
    labels = body.mask((48, 48, 24), spacing).astype(np.uint8)
    (tmp_path / "a").mkdir()
    for name, array in (("image", labels * np.int16(700) - np.int16(200)), ("label", labels)):
        volume.write(volume.Volume(array[None], spacing), tmp_path / "a" / f"{name}.nii.gz")
    tiny_json["bundle"]["preprocess"]["spacing_mm"] = list(spacing)
    turned = {**OFF, "affine": 1.0, "rotation_rad": 0.5}
    samples = opened(one_case(tiny_json), tmp_path, {**turned, "scale": [0.0, 0.0, 0.0]}, largest=[48, 48, 24])
    for seed in range(4):
        found = samples.draw(np.random.default_rng(seed)).target == 1
        assert int(found.sum()) == pytest.approx(int(labels.sum()), rel=0.06)
        widths = np.ptp(found.nonzero().numpy(), axis=0) * spacing
        assert (np.abs(widths - 48) <= 10).all(), widths


def test_a_mirror_exchanges_sides_and_paired_labels(tiny_json, data_folder):
    tiny_json["cases"] = tiny_json["cases"][:1]
    samples = opened(tiny_json, data_folder, {**OFF, "mirror": 1.0}, mirrored=[[1, 2]])
    drawn, still = samples.draw(np.random.default_rng(0)), samples.still(0)
    assert torch.equal(drawn.image, still.image.flip(1))
    assert torch.equal(drawn.target == 2, (still.target == 1).flip(0))
    assert torch.equal(drawn.target == 3, (still.target == 3).flip(0))


def test_large_cases_are_cut_and_a_rare_label_is_met(tiny_json, tmp_path):
    labels = np.zeros((64, 64, 64), dtype=np.uint8)
    labels[50:52, 50:52, 50:52] = 2
    image = np.random.default_rng(0).integers(-1000, 300, labels.shape).astype(np.int16)
    write(tmp_path / "a", image, labels)
    sizes = {"largest": [23, 20, 16], "multiple": (4, 4, 4)}
    always = opened(one_case(tiny_json), tmp_path, {**OFF, "focus": 1.0}, **sizes)
    never = opened(one_case(tiny_json), tmp_path, OFF, **sizes)
    drawn = [always.draw(np.random.default_rng(seed)).target for seed in range(20)]
    assert all(target.shape == (20, 20, 16) and (target == 2).sum() == 8 for target in drawn)
    assert sum(bool(never.draw(np.random.default_rng(seed)).target.any()) for seed in range(20)) < 10


def test_any_orientation_and_memory_that_is_full_give_the_same_samples(tiny_json, data_folder):
    tiny_json["bundle"]["preprocess"]["orientation"] = "SLP"
    kept = opened(tiny_json, data_folder)
    mapped = opened(tiny_json, data_folder, {"memory_share": 0.0})
    assert kept.still(0).target.shape == (28, 40, 32)
    one, other = (s.draw(np.random.default_rng(4)) for s in (kept, mapped))
    assert torch.equal(one.image, other.image) and torch.equal(one.target, other.target)


def test_a_torso_crop_is_taken_as_in_inference(tiny_json, tmp_path):
    image, labels = phantoms.torso((40, 32, 28), 0, SPACING)
    around = ((12, 12), (9, 9), (0, 0))
    write(tmp_path / "a", np.pad(image, around, constant_values=-1000), np.pad(labels, around))
    given = one_case(tiny_json)
    given["bundle"]["preprocess"]["crop"] = {"kind": "torso"}
    array = prepared_array(given, tmp_path)
    assert array.shape[0] < 64 and array.shape[1] < 50
    still = opened(given, tmp_path, multiple=(1, 1, 1)).still(0)
    assert np.array_equal(still.image[0].numpy(), array)
    assert int((still.target > 0).sum()) == int((labels > 0).sum())


def test_a_map_merges_drops_and_ignores(tiny_json, data_folder):
    tiny_json["cases"] = [{**tiny_json["cases"][0], "map": {"1": 1, "2": 0, "3": None}}]
    plain = [{**tiny_json["cases"][0], "map": {"1": 1, "2": 2, "3": 7}}]
    mapped = opened(tiny_json, data_folder).still(0).target
    full = opened({**tiny_json, "cases": plain}, data_folder).still(0).target
    assert torch.equal(mapped == 1, full == 1)
    assert torch.equal(mapped == IGNORE, full == 3)
    assert torch.equal(mapped == 0, (full == 0) | (full == 2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"origin_mm": (0.0, 0.0, 6.0)}, "origin_mm .*6.0.*Resample"),
        ({"spacing_mm": (8.0, 8.0, 8.5)}, "spacing_mm"),
        ({"direction": ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))}, "direction"),
    ],
)
def test_labels_on_another_grid_are_refused(change, words, tiny_json, tmp_path):
    image, labels = phantoms.torso((40, 32, 28), 0, SPACING)
    write(tmp_path / "a", image, labels, **change)
    with pytest.raises(TrainingError, match=words):
        opened(one_case(tiny_json), tmp_path)


def test_labels_of_another_size_are_refused(tiny_json, tmp_path):
    image, labels = phantoms.torso((40, 32, 28), 0, SPACING)
    write(tmp_path / "a", image, labels[:-1])
    with pytest.raises(TrainingError, match=r"shape \(39, 32, 28\), not \(40, 32, 28\)"):
        opened(one_case(tiny_json), tmp_path)


def test_unknown_values_are_named(tiny_json, tmp_path):
    image, labels = phantoms.torso((40, 32, 28), 0, SPACING)
    labels[0, 0, :2] = 9, 40
    write(tmp_path / "a", image, labels)
    with pytest.raises(TrainingError, match="label.nii.gz holds 9, 40.*Known are 1, 2, 3.*name the value"):
        opened(one_case(tiny_json), tmp_path)
    with pytest.raises(TrainingError, match="holds 3, 9, 40.*Known are 0, 1, 2, 7"):
        opened(one_case(tiny_json, map={}), tmp_path)


def test_labels_that_are_nowhere_are_told(tiny_json, tmp_path, caplog):
    image, labels = phantoms.torso((40, 32, 28), 0, SPACING)
    write(tmp_path / "a", image, np.where(labels == 2, 0, labels))
    with caplog.at_level(logging.WARNING):
        opened(one_case(tiny_json), tmp_path)
    assert "In none of 1 cases: Spleen" in caplog.text
    write(tmp_path / "a", image, labels * 0)
    with pytest.raises(TrainingError, match="None of 1 cases shows any label"):
        opened(one_case(tiny_json), tmp_path)


def test_missing_labels_and_values_that_are_no_numbers_are_refused(tiny_json, tmp_path):
    image, labels = phantoms.torso((40, 32, 28), 0, SPACING)
    broken = image.astype(np.float32)
    broken[3, 3, 3] = np.nan
    write(tmp_path / "a", broken, labels)
    with pytest.raises(VolumeError, match="a/image.nii.gz: 1 of .*NaN"):
        opened(one_case(tiny_json), tmp_path)
    write(tmp_path / "a", image, labels)
    with pytest.raises(TrainingError, match="no label file"):
        opened(one_case(tiny_json, label=None), tmp_path)
    with pytest.raises(VolumeError, match="gone.nii.gz does not exist"):
        opened(one_case(tiny_json, label="a/gone.nii.gz"), tmp_path)


def test_what_only_body_samples_know_is_refused(tiny_json, data_folder):
    tiny_json["cases"][0]["shells"] = [2]
    with pytest.raises(TrainingError, match="has shells.*'body'"):
        opened(tiny_json, data_folder)


def test_sizes_that_cannot_be_are_refused(tiny_json, data_folder):
    with pytest.raises(TrainingError, match="largest is"):
        opened(tiny_json, data_folder, patch=(64, 16, 16))
    with pytest.raises(TrainingError, match="mirrored pairs 1 with 5"):
        opened(tiny_json, data_folder, mirrored=[[1, 5]])


@pytest.mark.parametrize("wrong", [{"noise": 1.5}, {"scale": [0.2, 1.0, 0.3]}, {"gamma_range": [1.5, 0.7]}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        read_options(Options, wrong)
