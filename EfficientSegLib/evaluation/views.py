"""Slices of a volume as a radiologist looks at them: the patient's right on the left of the picture, millimetres true.

Axes here are L, P, S: index 0 grows to the patient's left, 1 to the back, 2 to the head; an oblique scan is shown along
its own axes, each named after the nearest of the body's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.volume import Volume

SAMPLES_PER_AXIS = 128  # are enough to find the slice that shows most


@dataclass(frozen=True)
class Plane:
    """How one kind of slice is shown: its columns and rows grow along two body axes."""

    name: str
    normal: int  # axis that the slice lies across
    columns: int
    rows: int
    upwards: bool  # whether rows grow upwards in the picture
    rims: tuple[str, str, str, str]  # letters at the left, right, top and bottom


PLANES = (
    Plane("axial", 2, 0, 1, False, ("R", "L", "A", "P")),
    Plane("coronal", 1, 0, 2, True, ("R", "L", "S", "I")),
    Plane("sagittal", 0, 1, 2, True, ("A", "P", "S", "I")),
)


@dataclass(frozen=True)
class Orientation:
    """The way from a volume's axes I, J, K to L, P, S."""

    order: tuple[int, int, int]  # which of I, J, K runs along L, P, S
    flips: tuple[bool, bool, bool]  # of L, P, S
    shape: tuple[int, int, int]  # along L, P, S
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, volume: Volume) -> "Orientation":
        direction = np.asarray(volume.direction)
        order, left = [0, 0, 0], [0, 1, 2]
        for body in sorted(range(3), key=lambda body: -np.abs(direction[body]).max()):
            order[body] = max(left, key=lambda axis: abs(direction[body, axis]))
            left.remove(order[body])
        return cls(
            tuple(order),
            tuple(bool(direction[body, axis] < 0) for body, axis in enumerate(order)),
            tuple(volume.shape[axis] for axis in order),
            tuple(volume.spacing_mm[axis] for axis in order),
        )

    def array(self, array: np.ndarray) -> np.ndarray:
        """A view of (I, J, K) as (L, P, S)."""
        steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        return array.transpose(self.order)[steps]

    def box(self, box: PatchBox) -> PatchBox:
        """A box of I, J, K as one of L, P, S."""
        pairs = [(box.start[axis], box.stop[axis]) for axis in self.order]
        pairs = [(n - b, n - a) if flip else (a, b) for (a, b), flip, n in zip(pairs, self.flips, self.shape)]
        return PatchBox(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def slice_of(array: np.ndarray, plane: Plane, index: int) -> np.ndarray:
    """One slice of (L, P, S) as (rows, columns)."""
    piece = np.take(array, index, axis=plane.normal)
    return piece.T if plane.columns < plane.rows else piece


def telling_slice(labels: np.ndarray, plane: Plane) -> int:
    """The slice that shows most of most labels: each counts by its area, relative to its largest slice.

    Args:
        labels: (L, P, S). Without any label, the middle slice.
    """
    steps = [max(length // SAMPLES_PER_AXIS, 1) for length in labels.shape]
    sample = labels[:: steps[0], :: steps[1], :: steps[2]]
    planes = np.moveaxis(sample, plane.normal, 0).reshape(sample.shape[plane.normal], -1)
    counts = np.stack([np.bincount(row, minlength=int(sample.max()) + 1) for row in planes])[:, 1:].astype(float)
    counts = counts[:, counts.any(axis=0)]
    if not counts.size:
        return labels.shape[plane.normal] // 2
    score = (counts / counts.max(axis=0)).sum(axis=1)
    smooth = np.convolve(score, np.ones(3), mode="same")
    return min(int(smooth.argmax()) * steps[plane.normal], labels.shape[plane.normal] - 1)


def refined(shape: Sequence[int], boxes: Sequence[PatchBox]) -> np.ndarray:
    """Where a patch was read, bool, of the given shape."""
    where = np.zeros(shape, dtype=bool)
    for box in boxes:
        where[box.slices()] = True
    return where


def shown_values(image: np.ndarray, modality: str) -> tuple[float, float]:
    """Darkest and brightest value of the picture: a soft-tissue window for CT, most of the values for MR."""
    if modality == "CT":
        return -160.0, 240.0
    low, high = np.percentile(image, (1, 99.5))
    return float(low), float(max(high, low + 1e-6))
