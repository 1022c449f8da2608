"""Measures of agreement, on shapes whose answers can be worked out by hand, and by a second route."""

import numpy as np
import pytest
import torch

from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.evaluation.metrics import dice, hd95, nsd, score, whole_numbers
from EfficientSegLib.evaluation.surfaces import bounding_boxes, surface_distances


def cube(start, side=(10, 10, 10), shape=(40, 36, 32)):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, a + n) for a, n in zip(start, side))] = True
    return mask


def ball(radius_mm, spacing_mm, shape):
    axes = np.ix_(*((np.arange(n) - n // 2) * s for n, s in zip(shape, spacing_mm)))
    return sum(axis**2 for axis in axes) <= radius_mm**2


def blob(generator, shape, share):
    noise = torch.from_numpy(generator.normal(size=shape)).float()[None, None]
    smooth = torch.nn.functional.avg_pool3d(noise, 5, 1, 2)[0, 0].numpy()
    return smooth > np.quantile(smooth, 1 - share)


@pytest.mark.parametrize("spacing_mm", [(1, 1, 1), (0.7, 2.5, 5.0)])
@pytest.mark.parametrize("axis, voxels", [(0, 3), (1, 7), (2, 10)])
def test_a_shifted_cube_is_as_far_away_as_it_was_shifted(spacing_mm, axis, voxels):
    start = [5, 5, 5]
    start[axis] += voxels
    one, other = cube((5, 5, 5)), cube(start)
    away_mm = voxels * spacing_mm[axis]  # of the faces across the shift; nothing is farther
    assert dice(one, other) == pytest.approx((10 - voxels) / 10)
    assert hd95(one, other, spacing_mm) <= away_mm * (1 + 1e-6)
    assert nsd(one, other, spacing_mm, away_mm) == pytest.approx(1)
    assert nsd(one, other, spacing_mm, 0.999 * spacing_mm[axis]) < 1


def test_the_farthest_piece_of_two_cubes_apart_is_the_shift_away():
    one, other = cube((2, 5, 5)), cube((24, 5, 5))
    distances = surface_distances(one, other, (2.0, 1.0, 1.0))
    assert distances.to_reference_mm.max() == pytest.approx(44)  # 22 voxels of 2 mm, from the far face
    assert distances.to_reference_mm.min() == pytest.approx(24)
    assert distances.hausdorff_mm(1.0) == pytest.approx(44)


@pytest.mark.parametrize("tolerance_mm, share", [(8.9, 0), (9, 0.5), (10, 1)])
def test_two_parallel_sheets_agree_from_their_distance_on(tolerance_mm, share):
    """Sheets of one voxel have two faces each, 9 and 10 mm from the other sheet; their rims hardly count."""
    one, other = cube((4, 1, 1), (1, 200, 200), (30, 202, 202)), cube((14, 1, 1), (1, 200, 200), (30, 202, 202))
    assert nsd(one, other, (1, 1, 1), tolerance_mm) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("spacing_mm", [(1, 1, 1), (0.8, 0.8, 1.6)])
def test_concentric_balls_are_apart_by_the_difference_of_their_radii(spacing_mm):
    shape = tuple(int(60 / step) for step in spacing_mm)
    small, large = ball(18, spacing_mm, shape), ball(24, spacing_mm, shape)
    step = max(spacing_mm)
    assert hd95(small, large, spacing_mm) == pytest.approx(6, abs=step)
    assert nsd(small, large, spacing_mm, 6 + step) == 1 and nsd(small, large, spacing_mm, 6 - 2 * step) == 0
    assert dice(small, large) == pytest.approx(2 * 18**3 / (18**3 + 24**3), abs=0.01)


def test_the_area_of_a_ball_is_that_of_a_ball():
    mask = ball(20, (1, 1, 1), (50, 50, 50))
    assert surface_distances(mask, mask, (1, 1, 1)).prediction_area.sum() == pytest.approx(4 * np.pi * 400, rel=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_surface_dice_equals_monais_surfaces_with_every_distance_worked_out(seed):
    from monai.metrics.utils import get_mask_edges

    generator = np.random.default_rng(seed)
    shape, spacing_mm = tuple(generator.integers(9, 16, 3)), tuple(generator.uniform(0.5, 4, 3))
    prediction, reference = (blob(generator, shape, share) for share in (0.2, 0.4))
    edges = get_mask_edges(*map(torch.from_numpy, (prediction, reference)), spacing=spacing_mm)
    points = [torch.nonzero(edge) * torch.tensor(spacing_mm) for edge in edges[:2]]
    areas = [area[edge] for edge, area in zip(edges[:2], edges[2:])]
    distances = torch.cdist(points[0].double(), points[1].double(), compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.min(1).values, distances.min(0).values
    for tolerance_mm in (0.0, 1.0, 2.5):
        near = sum(float(area[near <= tolerance_mm].sum()) for area, near in zip(areas, nearest))
        expected = near / float(areas[0].sum() + areas[1].sum())
        assert nsd(prediction, reference, spacing_mm, tolerance_mm) == pytest.approx(expected, abs=1e-6)
    ours = surface_distances(prediction, reference, spacing_mm)
    assert ours.hausdorff_mm(1.0) == pytest.approx(max(float(side.max()) for side in nearest), rel=1e-5)


def test_the_percentile_counts_area_and_the_worse_direction():
    one = cube((5, 5, 5), (20, 20, 20))
    spiked = one | cube((25, 14, 14), (6, 1, 1))  # 24 of 2400 faces: far fewer than 5 %
    assert hd95(one, spiked, (1, 1, 1)) == 0
    tailed = one | cube((25, 5, 5), (10, 20, 20))  # a large part of its surface is up to 10 mm away
    assert hd95(one, tailed, (1, 1, 1)) == pytest.approx(10)
    assert hd95(tailed, one, (1, 1, 1)) == hd95(one, tailed, (1, 1, 1))


def test_a_map_agrees_with_itself_also_at_the_rim_of_the_grid():
    labels = np.full((6, 7, 8), 3, dtype=np.uint16)
    labels[2:4] = 500
    for found in score(labels, labels, (1, 2, 3), (3, 500), tolerance_mm=0).values():
        assert (found.dice, found.nsd, found.hd95_mm, found.one_sided) == (1, 1, 0, False)


def test_where_both_are_empty_nothing_is_counted_and_where_one_is_all_is_lost():
    found, reference = np.zeros((2, 30, 40, 5), dtype=np.uint8)
    found[:10, :10] = 1
    reference[20:, 20:, 2] = 2
    scores = score(found, reference, (1.0, 1.0, 10.0), (1, 2, 3))
    for value, volumes in ((1, (5.0, 0.0)), (2, (0.0, 2.0))):
        one = scores[value]
        assert (one.dice, one.nsd, one.one_sided) == (0, 0, True)
        assert one.hd95_mm == pytest.approx(np.sqrt(30**2 + 40**2 + 50**2))
        assert (one.prediction_ml, one.reference_ml) == pytest.approx(volumes)
    empty = scores[3]
    assert (empty.dice, empty.nsd, empty.hd95_mm, empty.one_sided) == (None, None, None, False)


def test_labels_do_not_disturb_each_other():
    generator = np.random.default_rng(5)
    maps = [blob(generator, (20, 22, 24), 0.3) + 2 * blob(generator, (20, 22, 24), 0.2) for _ in range(2)]
    together = score(*maps, (1.0, 1.5, 2.0), (1, 2, 3))
    for value in (1, 2, 3):
        masks = [(labels == value).astype(np.uint8) for labels in maps]
        assert score(*masks, (1.0, 1.5, 2.0), (1,))[1] == together[value]


def test_the_file_order_of_the_axes_changes_nothing():
    generator = np.random.default_rng(6)
    one, other = (blob(generator, (18, 14, 22), 0.3).astype(np.uint8) for _ in range(2))
    straight = score(one, other, (1.0, 2.0, 3.0), (1,))
    turned = [np.asfortranarray(labels) for labels in (one, other)]
    assert score(*turned, (1.0, 2.0, 3.0), (1,)) == straight
    swapped = [labels.transpose(2, 0, 1) for labels in (one, other)]
    assert score(*swapped, (3.0, 1.0, 2.0), (1,))[1].nsd == pytest.approx(straight[1].nsd, abs=0.02)


def test_boxes_hold_all_of_a_label_and_nothing_else():
    labels = blob(np.random.default_rng(1), (20, 25, 30), 0.02) * 7 + cube((1, 2, 3), (2, 2, 2), (20, 25, 30)) * 1
    boxes = bounding_boxes(labels.astype(np.uint8))
    assert set(boxes) == set(np.unique(labels)) - {0}
    for value, box in boxes.items():
        places = np.argwhere(labels == value)
        assert box.start == tuple(places.min(0)) and box.stop == tuple(places.max(0) + 1)


def test_label_maps_written_as_floating_point_are_read():
    labels = np.array([[[0.0, 1.0, 300.0]]])
    assert whole_numbers(labels, "It").dtype == np.uint16 and whole_numbers(labels, "It").max() == 300


@pytest.mark.parametrize(
    "prediction, more, kind, words",
    [
        (np.zeros((4, 4, 5)), {}, VolumeError, r"4 × 4 × 5 voxels, the reference 4 × 4 × 4.*grid of the reference"),
        (np.full((4, 4, 4), np.nan), {}, VolumeError, r"prediction holds the value nan.*Give the label map"),
        (np.full((4, 4, 4), 0.5), {}, VolumeError, r"prediction holds the value 0.5"),
        (np.full((4, 4, 4), -1), {}, VolumeError, r"prediction holds the value -1"),
        (np.full((4, 4, 4), 9), {}, VolumeError, r"prediction holds label 9.*Known are 1, 2.*map"),
        (np.zeros((4, 4, 4)), {"spacing_mm": (1, 0, 1)}, OptionError, r"spacing is \(1, 0, 1\)"),
        (np.zeros((4, 4, 4)), {"tolerance_mm": -1}, OptionError, r"tolerance is -1 mm"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(prediction, more, kind, words):
    given = {"spacing_mm": (1.0, 1.0, 1.0), "labels": (1, 2), **more}
    with pytest.raises(kind, match=words):
        score(prediction, np.zeros((4, 4, 4), dtype=np.uint8), **given)


def test_a_value_that_is_known_but_not_scored_is_no_mistake():
    labels = np.full((4, 4, 4), 9, dtype=np.uint8)
    assert score(labels, labels, (1, 1, 1), (1,), known=(1, 9))[1].dice is None
