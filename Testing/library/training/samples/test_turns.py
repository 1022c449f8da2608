"""Flips and quarter turns: voxels change places with their labels, sides keep their names, and sizes stay."""

import numpy as np
import pytest
import torch

from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.samples import Along, Sample, source
from EfficientSegLib.training.samples.transforms import PROBABILITIES, Options
from EfficientSegLib.training.samples.turns import Axes, before_turn, draw_quarters, flipped, mirrored, turned

RAS = Axes.of("RAS")
OFF = dict.fromkeys(PROBABILITIES, 0.0)
SIDES = torch.tensor([0, 2, 1])


def drawn_sample(shape=(4, 6, 5)) -> Sample:
    image = torch.arange(float(np.prod(shape))).reshape(1, *shape)
    return Sample(image, (image[0] % 3).to(torch.uint8), torch.tensor([True, True, False]), "x", Along(2, 9, (1, 4)))


def test_axes_are_found_by_their_letters():
    assert (RAS.sideways, RAS.front, RAS.top) == (0, 1, 2)
    assert Axes.of("SPL") == Axes(sideways=2, front=1, top=0)
    assert Axes.of("SPL").level == (1, 2)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_leaves_the_vertical_alone_and_moves_image_and_labels_together(quarters):
    start = drawn_sample(before_turn((4, 6, 5), quarters, RAS))
    done = turned(start, Options(**OFF), RAS, SIDES, quarters, np.random.default_rng(0))
    assert done.image.shape == (1, 4, 6, 5) and done.along == start.along
    assert torch.equal(done.target, (done.image[0] % 3).to(torch.uint8))
    for number in range(5):
        assert set(done.image[0, ..., number].flatten().tolist()) == set(start.image[0, ..., number].flatten().tolist())
    back = done.image[0].rot90(-quarters, RAS.level)
    assert torch.equal(back, start.image[0])


def test_a_mirror_exchanges_the_sides_names_and_what_is_known_of_them_other_flips_do_not():
    start = drawn_sample()
    mirror = mirrored(start, RAS.sideways, SIDES)
    assert torch.equal(mirror.image, start.image.flip(1))
    assert torch.equal(mirror.target, SIDES[start.target.flip(0).long()].to(torch.uint8))
    assert mirror.annotated.tolist() == [True, False, True] and mirror.along == start.along
    front = flipped(start, RAS.front)
    assert torch.equal(front.target, start.target.flip(1)) and front.annotated.tolist() == [True, True, False]


def test_a_flip_from_top_to_bottom_still_knows_which_slice_is_which():
    start = drawn_sample()
    done = flipped(start, RAS.top)
    for number in range(5):
        assert torch.equal(done.image[..., number], start.image[..., 4 - number])
        assert done.along.index(number) == start.along.index(4 - number)
    assert done.along.shown == (1, 4)


def test_turns_are_as_frequent_as_asked_for_and_cost_no_draw_where_they_are_off():
    generator = np.random.default_rng(0)
    drawn = [draw_quarters(Options(quarter_turn=0.5), generator) for _ in range(600)]
    assert np.bincount(drawn) / 600 == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6], abs=0.06)
    used, fresh = np.random.default_rng(1), np.random.default_rng(1)
    assert draw_quarters(Options(), used) == 0
    assert used.random() == fresh.random()


def test_a_turned_sample_of_a_case_longer_than_wide_has_the_size_of_every_other(tiny_json, data_folder):
    content = {**tiny_json, "samples": {"name": "volume", "options": {**OFF, "quarter_turn": 1.0}}}
    config = read_options(TrainConfig, {**content, "largest": [40, 24, 20]})
    samples = source("volume").open_source(config, config.cases, data_folder, (16, 16, 16), (4, 4, 4))
    shapes = {tuple(samples.draw(np.random.default_rng(seed)).target.shape) for seed in range(8)}
    assert shapes == {(40, 24, 20)}


def test_a_zoom_enlarges_by_its_range(tiny_json, data_folder):
    from EfficientSegLib.training.samples.transforms import shape_change

    options = Options(**{**OFF, "zoom": 1.0})
    found = [shape_change(options, (8, 8, 8), (1, 1, 3), np.random.default_rng(seed))[1] for seed in range(20)]
    diagonals = np.array([1 / np.diag(matrix) for matrix in found])
    assert (diagonals >= 1.3).all() and (diagonals <= 1.5).all() and np.ptp(diagonals[:, 0]) > 0.1
    assert np.ptp(diagonals, axis=1).max() == 0
    assert shape_change(Options(**OFF), (8, 8, 8), (1, 1, 3), np.random.default_rng(0)) is None
    with pytest.raises(OptionError, match="zoom_range"):
        Options(zoom_range=(1.5, 1.3))
