"""Slices lie as a radiologist expects, however the scan was stored."""

import numpy as np
import pytest

from EfficientSegLib.evaluation.views import PLANES, Orientation, refined, shown_values, slice_of, telling_slice
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.volume import Volume


def test_axes_become_left_back_head_for_every_way_a_scan_lies(placed_volume):
    orientation = Orientation.of(placed_volume)
    index = np.indices(placed_volume.shape).reshape(3, -1)
    place = (placed_volume.affine[:3, :3] @ index).reshape(3, *placed_volume.shape)
    for body in range(3):
        turned = orientation.array(place[body])
        assert turned.shape == orientation.shape
        steps = np.diff(turned, axis=body)
        assert (steps > 0).all()  # LPS millimetres grow along their own axis
        assert steps.mean() > 0.5 * orientation.spacing_mm[body]


def test_a_box_stays_over_the_same_voxels(placed_volume):
    orientation = Orientation.of(placed_volume)
    box = PatchBox((1, 2, 0), (4, 3, 3))
    marked = np.zeros(placed_volume.shape, bool)
    marked[box.slices()] = True
    turned = np.zeros(orientation.shape, bool)
    turned[orientation.box(box).slices()] = True
    np.testing.assert_array_equal(orientation.array(marked), turned)


def test_letters_on_the_rims_tell_where_the_patient_is():
    volume = Volume(np.zeros((1, 4, 5, 6)), (1.0, 1.0, 1.0))
    place = Orientation.of(volume).array(np.zeros(volume.shape))
    for plane in PLANES:
        assert slice_of(place, plane, 0).shape == (place.shape[plane.rows], place.shape[plane.columns])
        grows_to = "LPS"
        left, right, top, bottom = plane.rims
        assert right == grows_to[plane.columns] and left == {"L": "R", "P": "A"}[right]
        assert (top if plane.upwards else bottom) == grows_to[plane.rows]
        assert {top, bottom} in ({"A", "P"}, {"S", "I"})


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_the_slice_that_shows_all_labels_is_chosen(plane):
    labels = np.zeros((20, 20, 20), np.uint8)
    slices = [slice(5, 15)] * 3
    slices[plane.normal] = slice(11, 14)
    labels[tuple(slices)] = 1
    slices[plane.normal] = slice(12, 13)
    slices[plane.columns] = slice(7, 9)
    labels[tuple(slices)] = 2
    assert telling_slice(labels, plane) == 12
    assert telling_slice(np.zeros_like(labels), plane) == 10


def test_read_boxes_are_refined_and_nothing_else():
    where = refined((6, 6, 6), [PatchBox((0, 0, 0), (2, 3, 4)), PatchBox((1, 0, 0), (3, 3, 4))])
    assert where.sum() == 3 * 3 * 4 and where[2, 2, 3] and not where[3, 0, 0]


def test_ct_is_shown_in_a_fixed_window_and_mr_by_its_own_values():
    image = np.linspace(0, 1000, 1001)
    assert shown_values(image, "CT") == shown_values(image * 2, "CT")
    assert shown_values(image, "MR") == pytest.approx((10, 995))
    low, high = shown_values(np.zeros(5), "MR")
    assert low < high
