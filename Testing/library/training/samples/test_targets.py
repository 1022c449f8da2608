"""Targets of labels that overlap: what the map says, what is drawn around, and what mirrors exchange."""

import copy
import logging

import numpy as np
import pytest
import torch

from EfficientSegLib import volume
from EfficientSegLib.errors import TrainingError
from EfficientSegLib.options import read_options
from EfficientSegLib.training.boxes import random_box
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.members import has_label, label_sets, present_labels, table
from EfficientSegLib.training.samples import source
from EfficientSegLib.training.samples.transforms import PROBABILITIES

OFF = dict.fromkeys(PROBABILITIES, 0.0)
TC, WT, ET = 1, 2, 3


def opened(content, folder, options=None, samples="volume", **changes):
    content = {**content, "samples": {"name": samples, "options": options or {}}, **changes}
    config = read_options(TrainConfig, content)
    return source(samples).open_source(config, config.cases, folder, (32, 32, 32), (8, 8, 8))


def masks_of(sample):
    return {label: has_label(sample.target, label, sample.members) for label in (TC, WT, ET)}


def test_a_voxel_has_all_the_labels_that_its_value_stands_for(regions_json, regions_folder):
    still = opened(regions_json, regions_folder).still(0)
    drawn = volume.read(regions_folder / "one" / "label.nii.gz").array[0]
    drawn = torch.from_numpy(drawn.copy())
    found = masks_of(still)
    assert still.target.shape == drawn.shape
    assert torch.equal(found[WT], drawn >= 1)
    assert torch.equal(found[TC], drawn >= 2)
    assert torch.equal(found[ET], drawn == 3)
    assert present_labels(still.target, still.members).tolist() == [TC, WT, ET]


def test_single_labels_give_the_samples_that_exclusive_outputs_have(regions_json, regions_folder):
    for case in regions_json["cases"]:
        case["map"] = {"1": 2, "2": [1], "3": 3}
    exclusive = copy.deepcopy(regions_json)
    exclusive["bundle"]["outputs"] = "exclusive"
    one, other = (opened(content, regions_folder, {"mirror": 1.0}) for content in (regions_json, exclusive))
    for seed in range(2):
        mine, theirs = (samples.draw(np.random.default_rng(seed)) for samples in (one, other))
        assert torch.equal(mine.image, theirs.image) and torch.equal(mine.target, theirs.target)
        assert torch.equal(mine.members, table(label_sets([], 4), 4)) and theirs.members is None
        boxes = [
            random_box(sample.target, (16, 16, 16), 1.0, torch.Generator().manual_seed(seed), sample.members)
            for sample in (mine, theirs)
        ]
        assert boxes[0] == boxes[1]


def test_null_and_0_in_the_map_keep_their_meaning(regions_json, regions_folder):
    regions_json["cases"] = [{**regions_json["cases"][0], "map": {"1": 0, "2": None, "3": [1, 2, 3]}}]
    still = opened(regions_json, regions_folder).still(0)
    drawn = volume.read(regions_folder / "one" / "label.nii.gz").array[0]
    assert int((still.target == IGNORE).sum()) == int((drawn == 2).sum())
    assert all(int(mask.sum()) == int((drawn == 3).sum()) for mask in masks_of(still).values())


def test_changes_of_shape_move_all_labels_with_the_image(regions_json, regions_folder):
    moved = {**OFF, "affine": 1.0, "distortion": 1.0, "quarter_turn": 1.0, "flip_top": 1.0, "mirror": 1.0}
    samples = opened(regions_json, regions_folder, moved)
    plain = opened(regions_json, regions_folder, OFF)
    bright = masks_of(plain.still(0))
    limits = {label: float(plain.still(0).image[0][mask].min()) for label, mask in bright.items()}
    for seed in range(3):
        drawn = samples.draw(np.random.default_rng(seed))
        found = masks_of(drawn)
        assert not (found[TC] & ~found[WT]).any() and not (found[ET] & ~found[TC]).any()
        for label in (WT, TC, ET):
            seen = drawn.image[0] >= limits[label]
            assert 2 * (seen & found[label]).sum() / (seen.sum() + found[label].sum()) > 0.85


def test_a_mirror_exchanges_paired_labels_in_all_their_sets(regions_json, regions_folder):
    regions_json["cases"] = [{**regions_json["cases"][0], "annotated": [TC, WT]}]
    samples = opened(regions_json, regions_folder, {**OFF, "mirror": 1.0}, mirrored=[[TC, ET]])
    mirrored, still = samples.draw(np.random.default_rng(0)), samples.still(0)
    before, after = masks_of(still), masks_of(mirrored)
    assert torch.equal(after[ET], before[TC].flip(0)) and torch.equal(after[TC], before[ET].flip(0))
    assert torch.equal(after[WT], before[WT].flip(0))
    assert still.annotated.tolist() == [False, True, True, False]
    assert mirrored.annotated.tolist() == [False, False, True, True]


def test_patches_are_drawn_around_every_label_as_often_as_around_the_others():
    """WT alone, core and enhancing part lie far from each other."""
    labels = np.zeros((64, 64, 64), dtype=np.uint8)
    labels[4:8, 4:8, 4:8], labels[28:36, 28:36, 28:36], labels[56:60, 56:60, 56:60] = 1, 2, 3
    members = table(label_sets([(2,), (1, 2), (1, 2, 3)], 4), 4)
    target = torch.tensor([0, 2, 4, 5], dtype=torch.uint8)[torch.from_numpy(labels).long()]
    generator = torch.Generator().manual_seed(0)
    boxes = [random_box(target, (8, 8, 8), 1.0, generator, members) for _ in range(300)]
    found = [bool((target[box.slices()] == number).any()) for box in boxes for number in (2, 4, 5)]
    oedema, core, enhancing = np.array(found).reshape(-1, 3).mean(0)
    # Each label is drawn with 1/3: ET is 3 alone, TC is 2 and 3 (512 to 64 voxels), WT all (512 to 64 to 64).
    assert enhancing == pytest.approx(1 / 3 + (64 / 576 + 64 / 640) / 3, abs=0.08)
    assert core == pytest.approx((512 / 576 + 512 / 640) / 3, abs=0.08)
    assert oedema == pytest.approx(64 / 640 / 3, abs=0.04)


def test_parts_of_large_cases_are_chosen_around_overlapping_labels(regions_json, tmp_path):
    labels = np.zeros((64, 64, 64), dtype=np.uint8)
    labels[50:52, 50:52, 50:52] = 3
    image = np.random.default_rng(0).integers(1, 300, labels.shape).astype(np.int16)
    for name, array in (("image", image), ("label", labels)):
        volume.write(volume.Volume(array[None], (4.0, 4.0, 4.0)), tmp_path / f"{name}.nii.gz")
    case = {**regions_json["cases"][0], "image": "image.nii.gz", "label": "label.nii.gz"}
    samples = opened({**regions_json, "cases": [case]}, tmp_path, {**OFF, "focus": 1.0}, largest=[32, 32, 32])
    for seed in range(5):
        assert int(masks_of(samples.draw(np.random.default_rng(seed)))[TC].sum()) == 8


def test_a_label_that_is_in_no_set_that_is_there_is_told(regions_json, regions_folder, caplog):
    for case in regions_json["cases"]:
        case["map"] = {"1": [2], "2": [1, 2], "3": [1, 2]}
    with caplog.at_level(logging.WARNING):
        opened(regions_json, regions_folder)
    assert "In none of 2 cases: ET. " in caplog.text


def test_wrong_maps_are_refused_in_words(regions_json, regions_folder, tmp_path):
    def refused(match, outputs="independent", samples="volume", **given):
        content = copy.deepcopy(regions_json)
        content["bundle"]["outputs"] = outputs
        content["cases"][0]["map"] |= given
        with pytest.raises(TrainingError, match=match):
            opened(content, regions_folder, samples=samples)

    refused(r"one/image.nii.gz maps to 9.*labels are \[1, 2, 3\]", **{"2": [1, 9]})
    refused(r"one/image.nii.gz maps 2 to \[1, 2\].*outputs of the bundle are exclusive", "exclusive")
    refused(r"maps 2 to \[1, 2\].*'body' have one label.*Use samples 'volume'", samples="body")
    refused(r"maps 2 to \[1, 2\].*labels compete for each pixel.*recipe 'patch'", samples="slices")


def test_samples_of_the_trunk_tell_that_outputs_are_independent_too(tiny_json, data_folder):
    plain = opened(tiny_json, data_folder, samples="body")
    tiny_json["bundle"]["outputs"] = "independent"
    samples = opened(tiny_json, data_folder, {"mirror": 1.0}, samples="body", mirrored=[[1, 2]])
    assert plain.still(0).members is None
    for sample in (samples.still(0), samples.draw(np.random.default_rng(0))):
        assert torch.equal(sample.members, table(label_sets([], 4), 4))
    assert torch.equal(samples.still(0).target, plain.still(0).target)
