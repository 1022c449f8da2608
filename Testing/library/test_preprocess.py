"""To the bundle's grid and back: `Prepared` must be invertible for every way a scanner may lie."""

import dataclasses
from itertools import permutations, product
from math import ceil

import numpy as np
import pytest

from EfficientSegLib.bundle import Crop, Intensity, Preprocess
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.preprocess import (
    axis_order,
    normalise,
    orient,
    orient_back,
    prepare,
    to_oriented,
    to_prepared,
    to_source,
)
from EfficientSegLib.volume import Volume

WINDOW = Intensity("window", -100.0, 300.0, (0.0, 1.0))
ALL_DIRECTIONS = [
    np.eye(3)[:, list(order)] * signs for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def rule(orientation="RAS", spacing=(2.0, 2.0, 2.0), crop=None):
    return Preprocess(orientation, spacing, WINDOW, crop or Crop())


def volume(direction=None, shape=(8, 10, 12), spacing=(2.0, 2.0, 2.0)):
    direction = np.eye(3) if direction is None else direction
    array = np.random.default_rng(0).integers(-100, 300, (1, *shape)).astype(np.int16)
    return Volume(array, spacing, (5.0, -7.0, 11.0), tuple(map(tuple, direction)))


@pytest.mark.parametrize("direction", ALL_DIRECTIONS)
def test_each_of_the_48_ways_to_lie_is_turned_to_the_bundles_axes_and_back(direction):
    axes, flips = axis_order(direction, "LPS")
    array = np.random.default_rng(1).random((1, 3, 4, 5))
    turned = orient(array, axes, flips)
    # After turning, axis a of the array grows along LPS axis a: its direction is +1 there.
    for axis in range(3):
        assert direction[axis, axes[axis]] * (-1 if flips[axis] else 1) == 1
    assert np.array_equal(orient_back(turned[0], axes, flips), array[0])


def test_same_grid_and_orientation_changes_values_only():
    given = volume()
    prepared = prepare(given, rule("LPS"))
    np.testing.assert_allclose(prepared.array, (given.array + 100) / 400, atol=1e-6)
    assert prepared.crop == whole((8, 10, 12))


def test_spacing_follows_the_field_of_view_to_whole_voxels():
    prepared = prepare(volume(shape=(9, 10, 12), spacing=(1.0, 2.0, 3.5)), rule("LPS"))
    assert prepared.array.shape == (1, 4, 10, 21)
    np.testing.assert_allclose(np.multiply(prepared.spacing_mm, prepared.grid), (9.0, 20.0, 42.0))


@pytest.mark.parametrize("direction", ALL_DIRECTIONS[::7])
def test_native_slices_keep_the_scans_own_along_the_last_axis(direction):
    given = volume(direction, shape=(9, 10, 12), spacing=(1.0, 1.0, 1.0))
    native = dataclasses.replace(rule(spacing=(2.0, 2.0, 5.0)), native_slices=True)
    prepared = prepare(given, native)
    depth = given.shape[prepared.axes[2]]
    assert prepared.array.shape[3] == depth and prepared.spacing_mm[2] == 1.0
    for cell in range(depth):  # each slice depends on itself alone
        alone = np.full_like(given.array, -100)  # 0 for the network
        orient(alone, prepared.axes, prepared.flips)[..., cell] = 300  # a view
        seen = prepare(dataclasses.replace(given, array=alone), native).array
        assert np.array_equal(np.flatnonzero(seen.any((0, 1, 2))), [cell])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 5.0), (0.6, 0.7, 5.0)])
def test_slice_by_slice_gives_what_resampling_the_whole_gives(spacing):
    given = volume(ALL_DIRECTIONS[13], shape=(22, 26, 24), spacing=(1.0, 1.0, 1.0))
    native = dataclasses.replace(rule(spacing=spacing), native_slices=True)
    by_slice = prepare(given, native)
    # The same spacing through the slices: nothing is resampled there either, but by the way of whole volumes.
    whole_volume = prepare(given, rule(spacing=(*spacing[:2], 1.0)))
    np.testing.assert_allclose(by_slice.array, whole_volume.array, atol=1e-6)
    assert by_slice.grid == whole_volume.grid
    if spacing == (1.0, 1.0, 1.0):
        assert np.array_equal(by_slice.array, whole_volume.array)


def test_standardising_is_albumentations_normalize_to_the_last_bit():
    """Its formula, spelled out: (value - mean * 255) * (1 / (deviation * 255)), every step in float32."""
    array = np.random.default_rng(3).uniform(-1200, 700, (1, 9, 8, 7)).astype(np.float32)
    found = normalise(array, Intensity("window", -1000.0, 400.0, (0.0, 1.0), (0.485, 0.229, 255.0)))
    value = normalise(array, Intensity("window", -1000.0, 400.0))
    mean = np.array(0.485, dtype=np.float32)
    mean = (mean * np.float32(255.0)).astype(np.float32)
    deviation = (np.array(0.229, dtype=np.float32) * np.float32(255.0)).astype(np.float32)
    factor = np.reciprocal(deviation, dtype=np.float32)
    expected = (value - mean).astype(np.float32)
    expected = (expected * factor).astype(np.float32)
    assert found.dtype == np.float32 and np.array_equal(found, expected)
    assert not np.array_equal(found, (value - mean) / deviation)  # a division would round otherwise


def test_the_authors_second_normalisation_leaves_eight_thousandths():
    array = np.array([[[[-2000, -1000, 400, 3000]]]], dtype=np.int16)
    found = normalise(array, Intensity("window", -1000.0, 400.0, (0.0, 1.0), (0.5, 0.5, 255.0)))
    np.testing.assert_allclose(found[0, 0, 0], [-1, -1, 1 / 127.5 - 1, 1 / 127.5 - 1], atol=1e-7)


@pytest.mark.parametrize("depth", [200, 60])
def test_a_long_axis_is_averaged_the_same_slab_by_slab_as_at_once(depth):
    array = np.random.default_rng(2).integers(-1000, 1000, (1, 12, 10, depth)).astype(np.int16)
    prepared = prepare(Volume(array, (1.0, 1.0, 1.0)), rule("LPS", (2.0, 2.0, 2.0)))
    clipped = array.astype(float).reshape(1, 6, 2, 5, 2, depth // 2, 2).mean((2, 4, 6))
    np.testing.assert_allclose(prepared.array, normalise(clipped, WINDOW), atol=1e-4)


@pytest.mark.parametrize("direction", ALL_DIRECTIONS[::5])
def test_a_box_of_the_prepared_volume_holds_the_same_tissue_in_the_source(direction):
    given = volume(direction, shape=(16, 20, 24), spacing=(1.0, 1.0, 1.0))
    given.array[:] = -100
    prepared = prepare(given, rule())
    box = PatchBox((1, 2, 3), (4, 6, 5))
    source = to_source(box, prepared)
    given.array[(0, *source.slices())] = 300
    inside = prepare(given, rule()).array[0]
    assert (inside[box.slices()] == 1).all()
    assert inside.sum() == pytest.approx(np.prod(box.shape))


@pytest.mark.parametrize("direction", ALL_DIRECTIONS[::7])
def test_a_source_box_turned_to_the_arrays_axes_cuts_the_same_voxels(direction):
    given = volume(direction)
    prepared = prepare(given, rule())
    box = PatchBox((1, 2, 3), (5, 9, 10))
    turned = orient(given.array, prepared.axes, prepared.flips)[0]
    part = turned[to_oriented(box, prepared).slices()]
    assert sorted(part.flatten()) == sorted(given.array[0][box.slices()].flatten())


def test_zscore_clips_and_brings_mean_and_deviation():
    array = np.random.default_rng(3).normal(500, 50, (1, 20, 20, 20))
    array[0, 0, 0, 0] = 1e7
    result = normalise(array, Intensity("zscore", 0.5, 99.5))
    assert abs(float(result.mean())) < 1e-4
    assert float(result.std()) == pytest.approx(1, abs=1e-3)
    assert result.max() < 4


def test_a_box_goes_to_the_prepared_grid_and_back_around_itself(placed_volume):
    prepared = prepare(placed_volume, rule(spacing=(1.3, 0.6, 1.7)))
    box = PatchBox((1, 2, 3), (4, 5, 4))
    there = to_prepared(box, prepared)
    assert whole(prepared.array.shape[1:]).intersection(there) == there
    back = to_source(there, prepared)
    assert back.intersection(box) == box
    # On either side at most one voxel of the prepared grid, rounded up to whole voxels, sticks out.
    margins = [ceil(max(prepared.spacing_mm) / step) for step in placed_volume.spacing_mm]
    assert all(a - b <= margin for a, b, margin in zip(box.start, back.start, margins))
    assert all(b - a <= margin for a, b, margin in zip(box.stop, back.stop, margins))


def test_on_one_grid_a_box_comes_back_exactly():
    prepared = prepare(volume(ALL_DIRECTIONS[7]), rule())
    box = PatchBox((1, 2, 3), (4, 6, 9))
    assert to_source(to_prepared(box, prepared), prepared) == box


def test_what_was_cropped_away_has_no_place_on_the_prepared_grid():
    prepared = dataclasses.replace(prepare(volume(), rule()), crop=PatchBox((0, 0, 6), (8, 10, 12)))
    low, high = PatchBox((0, 0, 0), (8, 10, 2)), PatchBox((0, 0, 5), (8, 10, 9))
    assert to_prepared(low, prepared) is None
    assert to_prepared(high, prepared).shape == (8, 10, 3)
