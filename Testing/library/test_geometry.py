"""Boxes and grids: nothing uncovered, nothing outside."""

from itertools import pairwise

import numpy as np
import pytest

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox, enlarged, grid_shape, patch_grid, patch_starts, whole

LINES = [(7, 7, 0.5), (100, 32, 0.25), (33, 32, 0.9), (5, 1, 0.0), (64, 16, 0.0), (97, 40, 0.99)]


@pytest.mark.parametrize("length, patch, overlap", LINES)
def test_patches_leave_no_voxel_uncovered_and_stay_inside(length, patch, overlap):
    covered = np.zeros(length, dtype=bool)
    starts = patch_starts(length, patch, overlap)
    for start in starts:
        assert 0 <= start <= length - patch
        covered[start : start + patch] = True
    assert covered.all()
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("length, patch, overlap", LINES)
def test_neighbours_share_at_least_the_overlap(length, patch, overlap):
    starts = patch_starts(length, patch, overlap)
    for one, other in pairwise(starts):
        assert patch - (other - one) >= int(patch * overlap)


def test_the_published_count_of_patches():
    assert len(patch_starts(480, 128, 0.5)) == 7


def test_half_overlapping_grid_is_that_of_monais_sliding_window():
    scan_interval = pytest.importorskip("monai.data.utils").dense_patch_slices
    for shape, patch in (((50, 41, 33), (16, 20, 33)), ((64, 64, 64), (32, 32, 32)), ((17, 100, 31), (16, 64, 30))):
        expected = scan_interval(shape, patch, tuple(max(int(size * 0.5), 1) for size in patch))
        assert [box.slices() for box in patch_grid(shape, patch, 0.5)] == [tuple(item) for item in expected]


def test_the_grid_is_in_raster_order_and_counted_per_axis():
    boxes = patch_grid((8, 6, 4), (4, 4, 4), 0.5)
    assert grid_shape((8, 6, 4), (4, 4, 4), 0.5) == (3, 2, 1)
    assert [box.start for box in boxes] == [(0, 0, 0), (0, 2, 0), (2, 0, 0), (2, 2, 0), (4, 0, 0), (4, 2, 0)]
    assert {box.shape for box in boxes} == {(4, 4, 4)}


def test_a_patch_too_large_says_what_to_do():
    with pytest.raises(OptionError, match="64 voxels.* axis of 48.*Pad the volume"):
        patch_starts(length=48, patch=64, overlap=0.5)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2])
def test_an_overlap_out_of_range_is_refused(overlap):
    with pytest.raises(OptionError, match="fraction"):
        patch_starts(10, 5, overlap)


@pytest.mark.parametrize("start, stop", [((0, 0, 0), (1, 0, 1)), ((2, 2, 2), (1, 3, 3)), ((0, 0), (1, 1))])
def test_an_empty_box_is_refused(start, stop):
    with pytest.raises(OptionError, match="empty"):
        PatchBox(start, stop)


def test_a_box_cuts_its_own_shape_out_of_an_array():
    box = PatchBox((1, 2, 3), (4, 4, 9))
    assert np.zeros((10, 10, 10))[box.slices()].shape == box.shape == (3, 2, 6)


def test_a_box_of_numpy_numbers_is_one_of_plain_numbers():
    assert PatchBox(np.array([0, 1, 2]), np.array([3, 4, 5])) == PatchBox((0, 1, 2), (3, 4, 5))
    assert type(PatchBox(np.array([0, 1, 2]), np.array([3, 4, 5])).start[0]) is int


@pytest.mark.parametrize("factor", [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (0.5, 0.5, 0.5), (0.3, 1.7, 2.9), (0.01, 1, 3)])
def test_a_scaled_box_holds_the_first_one_and_little_more(factor):
    box = PatchBox((3, 5, 7), (9, 6, 20))
    scaled = box.scaled(factor)
    for a, b, f, start, stop in zip(box.start, box.stop, factor, scaled.start, scaled.stop):
        assert start <= a * f + 1e-6
        assert stop >= b * f - 1e-6
        assert start > a * f - 1
        assert stop < b * f + 1 + 1e-6


def test_whole_factors_scale_exactly_and_back():
    box = PatchBox((3, 5, 7), (9, 6, 20))
    assert box.scaled((3, 3, 3)).scaled((1 / 3, 1 / 3, 1 / 3)) == box


def test_the_shared_box_is_what_both_cover():
    one, other = PatchBox((0, 2, 1), (6, 7, 5)), PatchBox((3, 0, 4), (9, 5, 8))
    marked = np.zeros((10, 10, 10), int)
    marked[one.slices()] += 1
    marked[other.slices()] += 1
    shared = one.intersection(other)
    assert shared == other.intersection(one)
    assert (marked == 2).sum() == np.prod(shared.shape)
    assert (marked[shared.slices()] == 2).all()


def test_boxes_that_only_touch_share_nothing():
    assert PatchBox((0, 0, 0), (3, 3, 3)).intersection(PatchBox((3, 0, 0), (6, 3, 3))) is None


def test_shifting_there_and_back_changes_nothing():
    box = PatchBox((3, 5, 7), (9, 6, 20))
    assert box.shifted((4, -5, 6)).shifted((-4, 5, -6)) == box
    assert whole((9, 6, 20)).shape == (9, 6, 20)


@pytest.mark.parametrize(
    "start, stop, expected",
    [
        ((4, 4, 4), (6, 6, 6), ((1, 1, 3), (9, 9, 7))),  # grown evenly on both sides
        ((0, 10, 4), (1, 12, 6), ((0, 4, 3), (8, 12, 7))),  # moved inside at the borders
        ((1, 0, 0), (10, 12, 8), ((1, 0, 0), (10, 12, 8))),  # large enough already
        ((-5, 9, 7), (2, 20, 9), ((0, 4, 4), (8, 12, 8))),  # what lies outside does not count
    ],
)
def test_an_enlarged_box_holds_the_box_and_lies_inside(start, stop, expected):
    assert enlarged(PatchBox(start, stop), (8, 8, 4), (12, 12, 8)) == PatchBox(*expected)


def test_a_box_is_not_enlarged_beyond_the_volume():
    with pytest.raises(OptionError, match=r"patch has \(8, 8, 4\) voxels, the volume \(12, 7, 8\).*Pad"):
        enlarged(PatchBox((0, 0, 0), (1, 1, 1)), (8, 8, 4), (12, 7, 8))
    with pytest.raises(OptionError, match="lies outside the volume"):
        enlarged(PatchBox((20, 0, 0), (21, 1, 1)), (8, 7, 4), (12, 7, 8))
