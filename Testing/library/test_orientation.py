"""Which axis of a scan runs along which direction of the patient."""

from itertools import permutations, product

import numpy as np
import pytest

from EfficientSegLib.orientation import axis_order


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_axes_are_found_whatever_their_order_and_sense(order):
    for signs in product((1, -1), repeat=3):
        direction = np.eye(3)[:, list(order)] * signs
        axes, flips = axis_order(direction, "LPS")
        assert [order[axis] for axis in axes] == [0, 1, 2]
        assert [signs[axis] < 0 for axis in axes] == list(flips)


def test_the_orientation_names_the_directions_in_which_the_axes_grow():
    # An LPS file whose first voxel is the patient's right front foot: RAS must flip I and J, and keep K.
    assert axis_order(np.eye(3), "RAS") == ((0, 1, 2), (True, True, False))
    assert axis_order(np.eye(3), "SAL") == ((2, 1, 0), (False, True, False))


def test_an_oblique_scan_goes_to_the_nearest_axes():
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    assert axis_order(turn @ np.eye(3)[:, [1, 0, 2]], "LPS") == ((1, 0, 2), (False, False, False))
