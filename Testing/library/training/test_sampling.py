"""The history of the distribution that patches are drawn from: what it says, and that it goes on."""

import dataclasses
import math

import numpy as np
import pytest

from EfficientSegLib.geometry import patch_grid
from EfficientSegLib.networks.topk import TINY
from EfficientSegLib.options import read_options
from EfficientSegLib.training import sampling
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.sampling import HISTORY, PICTURE, History, Sampling, load, new_history, save
from EfficientSegLib.training.sampling_picture import shown_times

HIDDEN = math.log(TINY)


def config(tiny_json, **changes) -> TrainConfig:
    return read_options(TrainConfig, {**tiny_json, **changes})


def history(*scores: tuple[float, ...]) -> History:
    """Four candidates of 2 x 2 x 4 voxels in a row of 5 x 2 x 4; the second and third hold a label."""
    return History(
        case="case",
        shape=np.array([5, 2, 4]),
        spacing_mm=np.array([1.0, 2.0, 3.0]),
        patch=np.array([2, 2, 4]),
        starts=np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]),
        labelled=np.array([False, True, True, False]),
        k=2,
        images=(np.zeros((2, 4)), np.zeros((5, 4)), np.zeros((5, 2))),
        outlines=(np.zeros((2, 4), bool), np.zeros((5, 4), bool), np.zeros((5, 2), bool)),
        steps=np.arange(len(scores)) * 10,
        scores=np.array(scores, dtype=np.float32),
    )


def test_entropy_is_one_where_all_are_alike_and_nothing_where_one_is_certain():
    np.testing.assert_allclose(history((1, 1, 1, 1), (0, HIDDEN, HIDDEN, HIDDEN)).entropy, (1, 0), atol=1e-9)


def test_hits_count_the_chosen_patches_that_hold_a_label():
    seen = history((0, 2, 1, 0), (2, 1, 0, 0), (2, 0, 0, 1), (0, 0, 0, 0))
    assert seen.hits.tolist() == [1.0, 0.5, 0.0, 0.5]  # ties by index: the first two of four
    assert seen.chosen.sum(1).tolist() == [2, 2, 2, 2]


def test_projections_hold_the_whole_probability_over_the_area_of_a_patch():
    along_l, along_p, along_s = history((0.3, 2.0, -1.0, 0.5)).projections(0)
    assert (along_l.shape, along_p.shape, along_s.shape) == ((2, 4), (5, 4), (5, 2))
    assert along_l.sum() == pytest.approx(2 * 4)
    assert along_p.sum() == pytest.approx(2 * 4)
    assert along_s.sum() == pytest.approx(2 * 2)
    certain = history((HIDDEN, HIDDEN, 0, HIDDEN)).projections(0)[2]
    np.testing.assert_allclose(certain[:, 0], [0, 0, 1, 1, 0], atol=1e-9)


def test_a_history_is_read_as_it_was_written_and_forgets_what_is_made_again(tmp_path):
    written = history((0, 1, 2, 3), (3, 2, 1, 0))
    save(written, tmp_path / HISTORY)
    found = load(tmp_path / HISTORY)
    for field in dataclasses.fields(History):
        np.testing.assert_equal(getattr(found, field.name), getattr(written, field.name))
    assert found.with_row(10, np.zeros(4)).steps.tolist() == [0, 10]
    assert found.with_row(25, np.zeros(4)).steps.tolist() == [0, 10, 25]


@pytest.mark.parametrize("orientation", ["RAS", "SPL"])
def test_boxes_and_labels_are_turned_to_the_body_alike(tiny_json, data_folder, orientation):
    tiny_json["bundle"]["preprocess"]["orientation"] = orientation
    for case in tiny_json["cases"]:
        case["map"] = {"1": 1, "2": 0, "3": 0}
    run = Run(config(tiny_json, samples={"name": "volume"}), data_folder, Place(0, 1))
    sample = run.source.still(0)
    turned = new_history(run, sample)
    grid = patch_grid(tuple(sample.target.shape), run.model.patch_size, run.model.overlap)
    counted = [bool((sample.target[box.slices()] > 0).any()) for box in grid]
    assert turned.labelled.tolist() == counted
    assert not all(counted)
    # The drawn liver lies on the patient's right, and L, the first axis, grows to the left.
    liver = np.argwhere((sample.target == 1).numpy()).mean(0) / sample.target.shape
    side = next(axis for axis, letter in enumerate(orientation) if letter in "LR")
    assert (liver[side] > 0.5) == (orientation[side] == "R")


def test_a_training_leaves_history_and_picture_and_goes_on_with_them(tiny_json, data_folder, tmp_path):
    pytest.importorskip("matplotlib")
    watched = config(tiny_json, picture_every=2)
    train(watched, data_folder, tmp_path)
    found = load(tmp_path / HISTORY)
    assert found.steps.tolist() == [0, 2, 4]
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")
    run = Run(watched, data_folder, Place(0, 1))
    run.step()
    run.step()
    on = Sampling.of(run, data_folder, tmp_path, keep=True)
    assert on.history.steps.tolist() == [0, 2]
    on.record()
    np.testing.assert_array_equal(on.history.steps, [0, 2])
    np.testing.assert_allclose(on.history.scores, found.scores[:2], rtol=1e-5)


def test_other_models_and_other_processes_have_no_picture(tiny_json, data_folder, tmp_path):
    run = Run(config(tiny_json, picture_every=2), data_folder, Place(1, 1))
    assert Sampling.of(run, data_folder, tmp_path, keep=False) is None
    unet = {"name": "unet", "options": {"channels": [4, 6, 6], "strides": [2, 2, 1]}}
    size = {"patch_size": [16, 16, 16]}
    tiny_json["bundle"] |= {"network": unet, "strategy": {"name": "sliding_window", "options": size}}
    patches = {"name": "patch", "options": size}
    run = Run(config(tiny_json, picture_every=2, recipe=patches), data_folder, Place(0, 1))
    assert Sampling.of(run, data_folder, tmp_path, keep=False) is None


def test_a_missing_matplotlib_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(sampling.TrainingError, match="picture_every.*pip install matplotlib"):
        sampling._check_matplotlib()


@pytest.mark.parametrize("count, shown", [(1, [0]), (3, [0, 1, 2]), (11, [0, 2, 4, 6, 8, 10]), (100, None)])
def test_the_first_and_the_last_time_are_always_shown(count, shown):
    times = shown_times(count)
    assert (times[0], times[-1]) == (0, count - 1)
    assert len(times) <= 6
    assert shown is None or times == shown
