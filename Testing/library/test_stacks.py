"""Remarks on how slices lie, for bundles that read them one by one."""

import numpy as np
import pytest

from EfficientSegLib.bundle import Intensity, Preprocess
from EfficientSegLib.stacks import slice_warnings
from EfficientSegLib.suitability import warnings

RULE = Preprocess("RAS", (1.5, 1.5, 1.5), Intensity("window", -1000.0, 400.0), native_slices=True)
SAGITTAL, CORONAL = np.eye(3)[:, [1, 2, 0]], np.eye(3)[:, [0, 2, 1]]  # K runs to the side, or to the front


def turned(degrees, axis=0):
    """Rotation about one of the patient's axes."""
    one, other = (index for index in range(3) if index != axis)
    matrix = np.eye(3)
    matrix[one, one] = matrix[other, other] = np.cos(np.radians(degrees))
    matrix[one, other], matrix[other, one] = -np.sin(np.radians(degrees)), np.sin(np.radians(degrees))
    return matrix


@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1, -1, 1]), np.diag([1, 1, -1]), SAGITTAL, CORONAL])
def test_a_fine_scan_passes_whichever_way_its_axes_run(direction):
    assert slice_warnings((1.0, 1.0, 1.0), direction, RULE) == []


@pytest.mark.parametrize("direction, plane", [(SAGITTAL, "sagittal"), (CORONAL, "coronal")])
def test_a_stack_acquired_in_another_plane_is_named_by_it(direction, plane):
    (said,) = slice_warnings((0.8, 0.8, 5.0), direction, RULE)
    assert f"made of {plane} slices, 5 mm apart" in said and "A series of axial slices" in said


def test_an_axial_stack_of_thick_slices_is_remarked_for_its_thickness_alone():
    (said,) = slice_warnings((0.8, 0.8, 5.0), np.eye(3), RULE)
    assert said.startswith("Slices are 5 mm apart and the model was trained at 1.5 mm") and "missed" in said


def test_slices_much_thinner_than_the_trainings_are_remarked():
    (said,) = slice_warnings((0.8, 0.8, 0.5), np.eye(3), RULE)
    assert said.startswith("Slices are 0.5 mm apart") and "more alike" in said
    assert slice_warnings((0.8, 0.8, 1.0), np.eye(3), RULE) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_angle_of_an_oblique_scan_is_told_in_degrees(axis):
    (said,) = slice_warnings((1.0, 1.0, 1.0), turned(23.4, axis), RULE)
    assert "lies 23 degrees askew" in said
    assert slice_warnings((1.0, 1.0, 1.0), turned(8, axis), RULE) == []
    assert "lies 20 degrees" in slice_warnings((1.0, 1.0, 1.0), turned(20, axis) @ np.diag([-1, 1, -1]), RULE)[0]


def test_coarse_pixels_are_remarked():
    (said,) = slice_warnings((3.5, 3.5, 2.0), np.eye(3), RULE)
    assert "Pixels are 3.5 mm wide and the model was trained at 1.5 mm" in said


def test_everything_odd_is_said_and_nothing_twice():
    body = np.random.default_rng(0).normal(0, 300, (60, 60, 60)).clip(-1000, 900)
    found = warnings(body, (0.8, 0.8, 5.0), "CT", RULE, said="CT", direction=turned(15))
    assert sum("mm apart" in line for line in found) == 1 and sum("askew" in line for line in found) == 1
    volumes = Preprocess("RAS", (1.5, 1.5, 1.5), Intensity("window", -1000.0, 400.0))
    found = warnings(body, (0.8, 0.8, 5.0), "CT", volumes, said="CT", direction=turned(15))
    assert not any("askew" in line for line in found)
