"""How the slices of a scan lie, and what a model that reads slice by slice may find odd about it."""

import numpy as np

from EfficientSegLib.bundle import Preprocess
from EfficientSegLib.orientation import axis_order

PLANES = {"RL": "sagittal", "AP": "coronal", "SI": "axial"}  # by the direction across them
THICK = 1.5  # so many times as long as wide, a voxel shows how the scan was acquired
OBLIQUE_DEGREES = 10.0
MUCH = 2.0  # so many times thicker or thinner than in the training


def slice_warnings(spacing_mm: tuple[float, float, float], direction: np.ndarray, rule: Preprocess) -> list[str]:
    """What is odd about a scan for a bundle that keeps its slices, one sentence each.

    Args:
        spacing_mm: along I, J, K.
        direction: column a is the direction of axis a, 3 x 3; LPS or RAS, since signs do not matter here.
        rule: the bundle's.
    """
    direction = np.asarray(direction, dtype=float).reshape(3, 3)
    axes, _ = axis_order(direction, rule.orientation)
    sides = [spacing_mm[axis] for axis in axes]
    return [
        *_acquired_otherwise(sides, rule),
        *_oblique(direction),
        *_thickness(sides[2], rule.spacing_mm[2]),
    ]


def _acquired_otherwise(sides: list[float], rule: Preprocess) -> list[str]:
    """Slices of the scan that those of the model cut across, or pixels much larger than it knows."""
    trained, thickest = max(rule.spacing_mm[:2]), int(np.argmax(sides))
    if thickest != 2 and sides[thickest] >= THICK * max(sides[2], sides[1 - thickest]):
        acquired, read = (_plane(rule.orientation[axis]) for axis in (thickest, 2))
        return [
            f"The scan seems to be made of {acquired} slices, {sides[thickest]:.3g} mm apart, and the model reads "
            f"{read} ones, whose pixels are that wide here: borders will be rough. A series of {read} slices suits."
        ]
    if max(sides[:2]) <= MUCH * trained:
        return []
    return [
        f"Pixels are {max(sides[:2]):.3g} mm wide and the model was trained at {trained:g} mm: small structures and "
        "borders will be rough."
    ]


def _oblique(direction: np.ndarray) -> list[str]:
    cosines = np.abs(direction).max(axis=0)  # of each axis with the patient's nearest one
    degrees = float(np.degrees(np.arccos(np.clip(cosines.min(), 0, 1))))
    if degrees <= OBLIQUE_DEGREES:
        return []
    return [
        f"The scan lies {degrees:.0f} degrees askew to the patient's axes. Its slices are read as they are, and the "
        "model learned from straight ones: structures may be missed."
    ]


def _thickness(apart: float, trained: float) -> list[str]:
    if 1 / MUCH < apart / trained < MUCH:
        return []
    effect = (
        "what continues from slice to slice is hard to see, and small structures may be missed"
        if apart > trained
        else "neighbouring slices look more alike than those it knows"
    )
    return [f"Slices are {apart:.3g} mm apart and the model was trained at {trained:g} mm: {effect}."]


def _plane(letter: str) -> str:
    return next(name for across, name in PLANES.items() if letter in across)
