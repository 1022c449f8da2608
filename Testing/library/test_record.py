"""The run record says what was done, and the same run says the same."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct

from EfficientSegLib import record
from EfficientSegLib.geometry import PatchBox, ScoredBox
from EfficientSegLib.options import read_options
from EfficientSegLib.overlaps import Masks
from EfficientSegLib.protocol import Pace, PatchChange, Place, Reviewed, SegmentRefinement
from EfficientSegLib.segment import Segmentation
from EfficientSegLib.volume import read, write

TIMES = {"seconds", "pace", "peak_memory_mb", "written"}


@pytest.fixture
def run(tmp_path):
    """A volume, a bundle and a segmentation of known volumes: 1000 voxels of 8 mm³ are a ball, none a cube."""
    volume = write_tiny_ct(tmp_path / "ct.nrrd")
    labels = np.zeros(volume.shape, np.uint8)
    labels[5:15, 5:15, 5:15] = 1
    boxes = (
        ScoredBox(PatchBox((0, 0, 0), (16, 16, 16)), 0.75, 1),
        ScoredBox(PatchBox((8, 0, 0), (24, 16, 16)), 0.5, 2),
    )
    done = Segmentation(labels, boxes, {1: 0.25, 2: 0.5}, False, 1, 2, 60)
    return volume, write_tiny_bundle(tmp_path / "bundle"), done


def describe(run, **changes):
    volume, bundle, done = run
    given = {
        "strategy": "nmsw",
        "options": {"top_k": 2},
        "device": "cpu",
        "threads": 1,
        "seconds": {"read": 1.0, "patches": 2.5},
        "peak_memory_mb": 321.04,
        "warnings": ["odd"],
    }
    return record.build("/ä/ct.nrrd", volume, bundle, done, **{**given, **changes})


def test_it_tells_what_was_wished_and_what_the_patches_changed(run, tmp_path):
    box = PatchBox((1, 2, 3), (4, 5, 6))
    seen = Reviewed(
        (PatchChange(1, {"1": 0.5}),), (SegmentRefinement(1, 8.0, 0.25, 0.5),), (Place(box, 1, "changed", 0.1, 0.5),)
    )
    wishes = {"first": (asdict(box),), "only_first": False, "structures": (), "region": None}
    record.write(describe(run, review=seen, pace=Pace(2.0, 0.5, 60), wishes=wishes), tmp_path / "run.json")
    said = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert read_options(Reviewed, said["review"]) == seen
    assert said["wishes"]["first"] == [{"start": [1, 2, 3], "stop": [4, 5, 6]}]
    assert said["pace"] == {"base_seconds": 2.0, "patch_seconds": 0.5, "candidates": 60}
    assert describe(run)["review"] is None and describe(run)["pace"] is None


def test_it_tells_input_model_patches_and_volumes(run):
    said = describe(run)
    assert said["input"]["shape"] == [40, 36, 44] and said["input"]["spacing_mm"] == [2.0, 2.0, 2.0]
    assert said["bundle"]["weights_sha256"] == run[1].weights.sha256
    assert said["patches"]["candidates"] == 60 and said["patches"]["chosen"] == 2 and said["patches"]["read"] == 1
    assert [(box["rank"], box["priority"], box["read"]) for box in said["patches"]["boxes"]] == [
        (1, 0.75, True),
        (2, 0.5, False),
    ]
    assert said["volumes_ml"] == {"Ball": 8.0, "Cube": 0.0}
    assert said["class_weights"] == {"Ball": 0.25, "Cube": 0.5}
    assert said["seconds"] == {"read": 1.0, "patches": 2.5, "total": 3.5}
    assert said["complete"] is False and said["warnings"] == ["odd"] and "torch" in said["versions"]


def test_where_labels_overlap_each_has_all_its_voxels(run):
    volume, bundle, done = run
    masks = Masks(2, done.labels.shape)
    masks.mark((slice(None),) * 3, np.stack([done.labels > 0, np.zeros_like(done.labels, bool)]))
    inner = np.zeros_like(done.labels, dtype=bool)
    inner[5:10, 5:10, 5:9] = True  # of the label map the ball has all, which hides the cube
    masks.replace(1, inner)
    said = describe((volume, bundle, replace(done, masks=masks)))
    assert said["volumes_ml"] == {"Ball": 8.0, "Cube": 0.8}


def test_two_runs_differ_in_times_and_memory_only(run):
    one, other = describe(run), describe(run, seconds={"read": 9.0}, peak_memory_mb=1.0)
    assert {name for name in one if one[name] != other[name]} <= TIMES
    assert list(one) == list(other)


def test_a_strategy_without_choice_has_no_boxes_and_no_weights(run):
    volume, bundle, done = run
    plain = replace(done, patches=(), class_weights=None, complete=True)
    said = describe((volume, bundle, plain))
    assert said["patches"]["boxes"] == [] and said["class_weights"] is None


def test_one_scan_in_two_formats_has_one_checksum_and_a_changed_voxel_another(run, tmp_path):
    volume = run[0]
    write(volume, tmp_path / "same.nii.gz")
    sums = [record.voxel_checksum(read(tmp_path / name).array) for name in ("ct.nrrd", "same.nii.gz")]
    assert sums[0] == sums[1] == record.voxel_checksum(volume.array)
    changed = volume.array.copy()
    changed[0, 3, 2, 1] += 1
    assert record.voxel_checksum(changed) != sums[0]
    assert record.voxel_checksum(volume.array.transpose(0, 2, 1, 3)) != sums[0]


def test_it_is_json_in_utf_8_and_replaces_the_older_one_whole(run, tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")
    record.write(describe(run), path)
    assert json.loads(path.read_text(encoding="utf-8"))["input"]["path"] == "/ä/ct.nrrd"
    assert not [other for other in tmp_path.iterdir() if "part" in other.name]
