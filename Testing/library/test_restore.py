"""Labels on the scanner's grid against torch's interpolation of the whole logits."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from EfficientSegLib.bundle import Crop, Intensity, Preprocess
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.preprocess import orient_back, prepare
from EfficientSegLib.restore import restore_labels, restore_nearest
from EfficientSegLib.volume import Volume

LEFT_HANDED = ((0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
RULE = Preprocess("RAS", (3.0, 3.0, 3.0), Intensity("window", 0.0, 100.0), Crop())


class Whole:
    """A field that exists."""

    def __init__(self, logits):
        self.logits, self.shape, self.num_labels = logits, tuple(logits.shape[1:]), logits.shape[0]

    def region(self, box):
        return self.logits[(slice(None), *box.slices())]

    def winner(self, box):
        return None


def case(shape=(70, 66, 41), spacing=(0.9, 1.1, 2.5), direction=LEFT_HANDED, labels=5, seed=0):
    prepared = prepare(Volume(np.zeros((1, *shape), np.int16), spacing, (0, 0, 0), direction), RULE)
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(1, labels, 5, 5, 5, generator=generator)
    logits = functional.interpolate(small, size=prepared.array.shape[1:], mode="trilinear")[0]
    return prepared, Whole(logits)


def expected(prepared, field, values):
    full = functional.interpolate(
        field.logits[None], size=prepared.oriented_shape, mode="trilinear", align_corners=False
    )[0]
    return orient_back(np.asarray(values)[full.argmax(0).numpy()], prepared.axes, prepared.flips)


def test_tiles_give_the_labels_of_the_whole_interpolation():
    prepared, field = case()
    values = (0, 1, 7, 0, 3)
    labels = restore_labels(field, prepared, values)
    assert labels.shape == (70, 66, 41) and labels.dtype == np.uint8
    assert (labels == expected(prepared, field, values)).mean() > 0.99999


@pytest.mark.parametrize("box", [PatchBox((0, 0, 0), (70, 66, 41)), PatchBox((3, 20, 7), (50, 41, 8))])
def test_a_box_gives_the_same_labels_as_the_whole(box):
    prepared, field = case()
    whole = restore_labels(field, prepared, (0, 1, 2, 3, 4))
    assert np.array_equal(restore_labels(field, prepared, (0, 1, 2, 3, 4), box), whole[box.slices()])


def test_the_same_grid_needs_no_interpolation():
    prepared, field = case(spacing=(3.0, 3.0, 3.0))
    labels = restore_labels(field, prepared, (0, 1, 2, 3, 4))
    turned = orient_back(field.logits.argmax(0).numpy(), prepared.axes, prepared.flips)
    assert np.array_equal(labels, turned)


def test_a_value_above_255_makes_the_map_sixteen_bits():
    prepared, field = case()
    labels = restore_labels(field, prepared, (0, 1, 2, 3, 400))
    assert labels.dtype == np.uint16 and labels.max() == 400


def test_outside_the_crop_lies_background():
    hu = np.full((1, 100, 80, 30), -1000, np.int16)
    hu[0, 30:70, 20:60] = 40
    rule = Preprocess("LPS", (3.0, 3.0, 3.0), Intensity("window", -200.0, 200.0), Crop("torso", 6.0, 6.0))
    prepared = prepare(Volume(hu, (3.0, 3.0, 3.0)), rule)
    assert prepared.array.shape[1:] == (44, 44, 30)
    labels = restore_labels(Whole(torch.stack([torch.zeros(44, 44, 30), torch.ones(44, 44, 30)])), prepared, (0, 1))
    assert labels.sum() == 44 * 44 * 30
    assert labels[28:72, 18:62].all()


class Thin(Whole):
    """A field that must never hold more than one slice of logits, and is asked in order."""

    slab = 1

    def __init__(self, logits):
        super().__init__(logits)
        self.asked = []

    def region(self, box):
        self.asked.append((box.start[2], box.stop[2]))
        return super().region(box)


def test_a_field_that_wants_thin_slabs_gets_them_in_order_and_gives_the_same_labels():
    prepared, field = case(spacing=(0.9, 1.1, 3.0), direction=np.eye(3))
    thin = Thin(field.logits)
    assert np.array_equal(
        restore_labels(thin, prepared, (0, 1, 2, 3, 4)), restore_labels(field, prepared, (0, 1, 2, 3, 4))
    )
    assert thin.asked == sorted(thin.asked) and {stop - start for start, stop in thin.asked} == {1}


def test_between_cells_a_thin_slab_needs_its_two_neighbours_only():
    prepared, field = case()
    thin = Thin(field.logits)
    assert np.array_equal(
        restore_labels(thin, prepared, (0, 1, 2, 3, 4)), restore_labels(field, prepared, (0, 1, 2, 3, 4))
    )
    assert max(stop - start for start, stop in thin.asked) == 2


@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1.0, 1.0, -1.0]), LEFT_HANDED])
def test_slabs_are_reported_as_they_are_done_and_make_up_the_whole(direction):
    prepared, field = case(direction=tuple(map(tuple, direction)))
    painted, seen = np.zeros((70, 66, 41), np.uint8), np.zeros((70, 66, 41), int)

    def report(labels, box):
        painted[box.slices()] = labels[box.slices()]
        seen[box.slices()] += 1

    labels = restore_labels(Thin(field.logits), prepared, (0, 1, 2, 3, 4), report=report)
    assert (seen == 1).all() and np.array_equal(painted, labels)


def _nearest(cells, prepared):
    """Voxel by voxel: the value of the cell that its centre lies in."""
    result = np.zeros(prepared.oriented_shape, cells.dtype)
    for voxel in np.ndindex(*result.shape):
        cell = tuple(
            int((n + 0.5) * count / length) - first
            for n, count, length, first in zip(voxel, prepared.grid, result.shape, prepared.crop.start)
        )
        if all(0 <= n < size for n, size in zip(cell, cells.shape)):
            result[voxel] = cells[cell]
    return orient_back(result, prepared.axes, prepared.flips)


def test_the_nearest_cell_is_the_one_a_voxels_centre_lies_in_however_the_scan_lies(placed_volume):
    prepared = prepare(placed_volume, RULE)
    cells = np.random.default_rng(0).integers(1, 200, prepared.array.shape[1:]).astype(np.uint8)
    found = restore_nearest(cells, prepared)
    assert found.shape == placed_volume.array.shape[1:] and found.dtype == np.uint8
    np.testing.assert_array_equal(found, _nearest(cells, prepared))


def test_nearest_values_are_cropped_and_padded_as_labels_are():
    hu = np.full((1, 50, 40, 15), -1000, np.int16)
    hu[0, 15:35, 10:30] = 40
    rule = Preprocess("LPS", (3.0, 3.0, 3.0), Intensity("window", -200.0, 200.0), Crop("torso", 6.0, 6.0))
    prepared = prepare(Volume(hu, (1.5, 2.0, 3.0)), rule)
    shape = prepared.array.shape[1:]
    assert shape != prepared.grid
    ones = restore_nearest(np.ones(shape, np.uint8), prepared)
    labels = restore_labels(Whole(torch.stack([torch.zeros(shape), torch.ones(shape)])), prepared, (0, 1))
    assert 0 < ones.sum() < ones.size
    np.testing.assert_array_equal(ones, labels)


def test_outside_a_region_nearest_values_are_none_and_inside_the_same():
    prepared, _ = case()
    cells = np.random.default_rng(0).integers(1, 200, prepared.array.shape[1:]).astype(np.uint8)
    region = PatchBox((3, 20, 7), (50, 41, 8))
    found = restore_nearest(cells, prepared, region)
    np.testing.assert_array_equal(found[region.slices()], restore_nearest(cells, prepared)[region.slices()])
    assert np.count_nonzero(found) == 47 * 21
