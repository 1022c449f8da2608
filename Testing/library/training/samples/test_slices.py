"""Batches of stacks: neighbours, positions and sides are those of the whole case, and what inference sees."""

import numpy as np
import pytest
import torch

import phantoms
from EfficientSegLib import preprocess, volume
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.options import read_options
from EfficientSegLib.strategies import slices as strategy
from EfficientSegLib.training.config import TrainConfig, check
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.samples import Along, source
from EfficientSegLib.training.samples.brightness import STEPS
from EfficientSegLib.training.samples.stacks import chosen_slices, neighbours, whole_stacks

SPACING = (8.0, 8.0, 8.0)
OFF = dict.fromkeys((*STEPS, "mirror", "flip", "affine", "elastic"), 0.0)
STILL = {**OFF, "inner": {"translation": 0.0}}


def opened(slices_json, folder, options=None, slices=3, **changes):
    content = {**slices_json, "samples": {"name": "slices", "options": options or {}}, **changes}
    config = read_options(TrainConfig, content)
    check(config)
    return source("slices").open_source(config, config.cases, folder, (slices,), (32, 32))


def prepared(slices_json, folder, number=0):
    config = read_options(TrainConfig, slices_json)
    return preprocess.prepare(volume.read(folder / config.cases[number].image), config.template.preprocess).array


def counted(slices_json, folder, shape=(20, 24, 30)):
    """A case whose every slice is its own number; label 1 in all slices, label 2 in slice 25 alone."""
    numbers = np.broadcast_to(np.arange(shape[2], dtype=np.int16) * 10 - 200, shape).copy()
    numbers[0, 0, 0] = -1000  # a CT has air
    labels = np.zeros(shape, dtype=np.uint8)
    labels[2:4, 2:4], labels[8:12, 8:12, 25] = 1, 2
    (folder / "a").mkdir()
    for name, array in (("image", numbers), ("label", labels)):
        image = volume.Volume(array[None], SPACING, direction=((-1.0, 0, 0), (0, -1.0, 0), (0, 0, 1.0)))
        volume.write(image, folder / "a" / f"{name}.nii.gz")
    return {**slices_json, "cases": [{"image": "a/image.nii.gz", "label": "a/label.nii.gz", "map": {"1": 1, "2": 2}}]}


def slice_numbers(batch):
    """Which slices of a counted case are in each stack, (B, 3)."""
    values = batch.image[:, :, 12 + 5, 12 + 5]  # a pixel inside the case, which lies in the middle of 32 x 32
    return (((values + 1) / 2 * 750 - 250 + 200) / 10).round().int()


def test_a_still_batch_is_what_inference_reads(slices_json, data_folder):
    still = opened(slices_json, data_folder).still(0)
    array = torch.from_numpy(prepared(slices_json, data_folder))
    assert still.image.shape == (28, 3, 64, 32)
    assert torch.equal(still.image[:, :, :40, :32], strategy.stack(array, 0, 28, 3))
    assert (still.image[:, :, 40:] == -1).all() and not still.target[:, 40:].any()
    torch.testing.assert_close(still.position, torch.arange(28) / 27)
    assert torch.equal(still.as_volume().image[:, :40], array)
    assert set(still.target.unique().tolist()) == {0, 1, 2, 3}


def test_a_still_batch_costs_little_more_than_its_case(slices_json, data_folder):
    still = opened(slices_json, data_folder, slices=5).still(0)
    assert still.image.shape[1] == 5
    assert still.image.untyped_storage().nbytes() == (28 + 4) * 64 * 32 * 4


def test_chunks_are_the_same_stacks_in_order(slices_json, data_folder):
    still = opened(slices_json, data_folder).still(1)
    chunks = list(still.chunks(8))
    assert [len(chunk) for chunk in chunks] == [8, 8, 8, 4]
    for name in ("image", "target", "position", "annotated"):
        assert torch.equal(torch.cat([getattr(chunk, name) for chunk in chunks]), getattr(still, name))


@pytest.mark.parametrize("depth", [30, 8])
def test_neighbours_are_repeated_at_the_ends_of_the_case_alone_and_positions_are_those_in_it(
    depth, slices_json, tmp_path
):
    given = counted(slices_json, tmp_path)
    samples = opened(given, tmp_path, {**STILL, "volumes": 4, "slices_per_volume": 8}, largest=[32, 32, depth])
    ends = set()
    for seed in range(8):
        batch = samples.draw(np.random.default_rng(seed))
        numbers, middle = slice_numbers(batch), (batch.position * 29).round().int()
        assert torch.equal(numbers[:, 1], middle)
        assert torch.equal(numbers, (middle[:, None] + torch.tensor([-1, 0, 1])).clamp(0, 29))
        ends |= set(middle.tolist()) & {0, 29}
    assert ends == {0, 29}


def test_one_slice_is_no_stack_and_three_fit_a_case_of_two(slices_json, tmp_path):
    given = counted(slices_json, tmp_path, (20, 24, 26))
    assert opened(given, tmp_path, STILL, slices=1).draw(np.random.default_rng(0)).image.shape[1] == 1
    assert torch.equal(
        neighbours(torch.arange(2.0)[:, None, None], 3)[:, :, 0, 0], torch.tensor([[0.0, 0, 1], [0, 1, 1]])
    )


@pytest.mark.parametrize(
    "along, half, expected",
    [
        (Along(0, 10, (0, 10)), 1, range(10)),
        (Along(3, 10, (0, 5)), 1, range(1, 4)),
        (Along(0, 10, (0, 5)), 2, range(3)),
        (Along(5, 10, (0, 5)), 1, range(1, 5)),
        (Along(-2, 10, (2, 12)), 1, range(2, 12)),
        (Along(4, 10, (0, 2)), 1, range(2)),  # thinner than a stack: taken for a whole scan
        (Along(-1.7, 10, (1, 6), 2.0), 1, range(1, 6)),  # begins at 0.3 and ends at 8.3 of 9
    ],
)
def test_stacks_are_made_where_neighbours_were_not_cut_off(along, half, expected):
    assert whole_stacks(along, half).tolist() == list(expected)


def test_a_share_of_the_slices_holds_a_label_drawn_at_random(slices_json, tmp_path):
    given = counted(slices_json, tmp_path)
    always = opened(given, tmp_path, {**STILL, "foreground": 1.0, "slices_per_volume": 1})
    never = opened(given, tmp_path, {**STILL, "foreground": 0.0, "slices_per_volume": 1})
    rare = [
        float(
            np.mean(
                [
                    (s.draw(np.random.default_rng(seed)).target == 2).flatten(1).any(1).float().mean()
                    for seed in range(20)
                ]
            )
        )
        for s in (always, never)
    ]
    assert rare[0] == pytest.approx(0.5, abs=0.15)  # one of two labels, which is in one slice of 30
    assert rare[1] == pytest.approx(1 / 30, abs=0.04)


def test_a_slice_comes_twice_only_once_all_were_taken():
    target, generator = torch.zeros(4, 4, 6, dtype=torch.uint8), np.random.default_rng(0)
    target[..., 2], target[0, 0, 3] = 1, IGNORE
    chosen = chosen_slices(target, np.arange(1, 6), 8, 1.0, generator)
    assert chosen[0] == 2 and sorted(chosen[:5]) == [1, 2, 3, 4, 5] and len(chosen) == 8


def test_a_mirror_exchanges_sides_and_paired_labels_and_a_flip_front_and_back(slices_json, data_folder):
    slices_json["cases"] = slices_json["cases"][:1]
    one = {"volumes": 1, "slices_per_volume": 28}
    plain, mirrored, flipped = (
        opened(slices_json, data_folder, {**STILL, **one, **change}, mirrored=[[1, 2]]).draw(np.random.default_rng(3))
        for change in ({}, {"mirror": 1.0}, {"flip": 1.0})
    )
    plain, mirrored, flipped = (in_order(batch) for batch in (plain, mirrored, flipped))
    assert torch.equal(mirrored.image, plain.image.flip(2)) and torch.equal(flipped.image, plain.image.flip(3))
    exchanged = torch.tensor([0, 2, 1, 3], dtype=torch.uint8)[plain.target.long()]
    assert torch.equal(mirrored.target, exchanged.flip(1)) and torch.equal(flipped.target, plain.target.flip(2))


def in_order(batch):
    order = batch.position.argsort()
    return type(batch)(batch.image[order], batch.target[order], batch.position[order], batch.annotated[order], "")


def test_a_mirror_exchanges_what_is_annotated(slices_json, data_folder):
    slices_json["cases"] = [{**slices_json["cases"][0], "annotated": [1]}]
    batch = opened(slices_json, data_folder, {**STILL, "mirror": 1.0}, mirrored=[[1, 2]]).draw(np.random.default_rng(0))
    assert batch.annotated.tolist() == [[False, False, True, False]] * len(batch)


def test_a_label_with_a_side_must_be_paired_or_nothing_is_mirrored(slices_json, data_folder):
    slices_json["bundle"]["labels"][0]["name"] = "left_lung"
    slices_json["bundle"]["labels"][1]["name"] = "Right lung"
    with pytest.raises(TrainingError, match="'left_lung' has a side.*mirrored"):
        opened(slices_json, data_folder)
    opened(slices_json, data_folder, mirrored=[[1, 2]])
    opened(slices_json, data_folder, {"mirror": 0.0})


@pytest.mark.parametrize("name", ["affine", "elastic", "mirror", "flip", *STEPS])
def test_each_change_alone_is_repeatable_and_changes_something(name, slices_json, data_folder):
    samples, plain = (opened(slices_json, data_folder, {**STILL, **change}) for change in ({name: 1.0}, {}))
    first, second, still = (s.draw(np.random.default_rng(5)) for s in (samples, samples, plain))
    assert torch.equal(first.image, second.image) and torch.equal(first.target, second.target)
    assert first.image.shape == still.image.shape
    assert not any(torch.equal(a, b) for a, b in zip(first.image, still.image))


def test_image_and_labels_move_together_and_only_within_the_plane(slices_json, tmp_path):
    labels = (phantoms.torso((40, 32, 28), 0, SPACING)[1] == 1).astype(np.uint8)
    (tmp_path / "a").mkdir()
    for name, array in (("image", np.where(labels, 500, -250).astype(np.int16)), ("label", labels)):
        volume.write(volume.Volume(array[None], SPACING), tmp_path / "a" / f"{name}.nii.gz")
    given = {**slices_json, "cases": [{"image": "a/image.nii.gz", "label": "a/label.nii.gz", "map": {"1": 1}}]}
    given["bundle"]["preprocess"]["intensity"]["low"] = -300
    changes = {**STILL, "affine": 1.0, "elastic": 1.0, "mirror": 0.5, "flip": 0.5, "foreground": 1.0}
    samples = opened(given, tmp_path, {**changes, "slices_per_volume": 4})
    for seed in range(4):
        batch = samples.draw(np.random.default_rng(seed))
        bright, drawn = batch.image[:, 1] > 0.4, batch.target == 1
        assert 2 * int((bright & drawn).sum()) / int(bright.sum() + drawn.sum()) > 0.94


def test_padding_keeps_its_value_under_every_change(slices_json, data_folder):
    always = {**dict.fromkeys((*STEPS, "affine", "elastic"), 1.0), "mirror": 0.0, "inner": {"translation": 0.0}}
    batch = opened(slices_json, data_folder, {**always, "rotation_deg": 0.0, "shear_deg": 0.0}).draw(
        np.random.default_rng(0)
    )
    assert (batch.image[:, :, 0] == -1).all() and (batch.image[:, :, -1] == -1).all()
    assert bool((batch.image[:, :, 30] != -1).any())


def test_cases_of_different_size_share_a_batch(slices_json, tmp_path):
    for number, shape in enumerate(((40, 32, 28), (30, 50, 20))):
        phantoms.write_case(tmp_path / f"torso_{number}", *phantoms.torso(shape, number, SPACING), SPACING)
    batch = opened(slices_json, tmp_path, {"volumes": 8, "slices_per_volume": 1}, largest=[64, 64, 28]).draw(
        np.random.default_rng(0)
    )
    assert batch.name == "torso_0/image.nii.gz, torso_1/image.nii.gz"
    assert batch.image.shape == (8, 3, 64, 64) and batch.target.shape == (8, 64, 64)


def test_samples_of_body_tell_where_their_slices_lie_in_the_whole_case(slices_json, data_folder):
    """The spine of the phantom leaves no trace of height, so the position is checked against the drawing's own."""
    inner = {"scale": [1.0, 1.0], "stretch": 0.0, "bend_mm": 0.0, "rotation_deg": [0.0, 0.0, 0.0], "longest_mm": 400.0}
    quiet = dict.fromkeys(("contrast", "thick", "blur", "noise", "arms", "table"), 0.0)
    inner |= {**quiet, "gain": [1.0, 1.0], "shift": 0.0, "slab": 0.5, "slab_mm": [40.0, 80.0], "focus": 0.5}
    slices_json["cases"] = slices_json["cases"][:1]
    samples = opened(slices_json, data_folder, {**OFF, "of": "body", "inner": inner, "slices_per_volume": 4})
    still = samples.still(0)
    assert still.position[0] == 0 and still.position[-1] == 1 and len(still) == 28
    areas = (still.target > 0).flatten(1).sum(1).float()
    for seed in range(6):
        batch = samples.draw(np.random.default_rng(seed))
        expected = areas[(batch.position * 27).round().long()]
        known = (batch.target != IGNORE).flatten(1).all(1)
        found = ((batch.target > 0) & (batch.target != IGNORE)).flatten(1).sum(1).float()
        assert known.all()
        assert (found - expected).abs().max() <= 12  # half a slice beside, at most


@pytest.mark.parametrize(
    "options, words",
    [
        ({"inner": {"affine": 0.3}}, "inner has 'affine'.*within their plane"),
        ({"inner": {"nothing": 1}, "of": "body"}, "nothing"),
        ({"volumes": 1, "slices_per_volume": 1}, "two stacks"),
        ({"shear_deg": 50}, "shear_deg"),
        ({"elastic": 2}, "elastic"),
    ],
)
def test_wrong_options_are_refused(options, words, slices_json, data_folder):
    with pytest.raises(OptionError, match=words):
        opened(slices_json, data_folder, options)


def test_what_gives_no_axial_stack_is_refused(slices_json, data_folder):
    with pytest.raises(TrainingError, match="A stack has 3 slices"):
        opened(slices_json, data_folder, largest=[64, 64, 2])
    slices_json["bundle"]["preprocess"]["orientation"] = "ASR"
    with pytest.raises(TrainingError, match="axial"):
        opened(slices_json, data_folder)
