"""Where a box lies, in the words of anatomy: "Left kidney, upper pole". Right and left are the patient's.

The label around the box's centre names the structure; the direction of the centre within that structure's own extent
names the part. Positions are points of the patient (RAS, with any parent transform), so that words are right however
the scan lies.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import numpy as np

from EfficientSegBridge.translation import _
from EfficientSegLib.bundle import Label

Points = Callable[[np.ndarray], np.ndarray]  # voxel indices (N, 3) to RAS millimetres (N, 3)

TRIM = 2  # percent of a structure's voxels at each end that do not count for its extent: stray ones would stretch it
LOW, HIGH = 1 / 3, 2 / 3  # of the extent: below and above lie its ends
MOST_SAMPLES = 4000  # voxels of a structure that are looked at
WITH_POLES = {"SCT:64033007", "SCT:78961009"}  # kidney and spleen: their ends are called poles
# Along R, A and S: what lies at the lower and at the upper end.
ENDS = (("left", "right"), ("back", "front"), ("lower", "upper"))


@dataclass(frozen=True)
class Extent:
    """How far a structure reaches, in RAS millimetres."""

    low: np.ndarray  # (3,)
    high: np.ndarray  # (3,)

    def place(self, point: np.ndarray) -> np.ndarray:
        """Where a point lies along R, A and S: 0 at the low end, 1 at the high end, (3,)."""
        return (point - self.low) / np.maximum(self.high - self.low, 1e-6)


def extents(labels: np.ndarray, step: int, points: Points) -> Generator[None, None, dict[int, Extent]]:
    """The extent of every structure, one per step.

    Args:
        labels: label values, (I, J, K), every `step`-th voxel of the volume.
        step: between two voxels of `labels`.
        points: from voxels of the volume to RAS.
    """
    places = np.flatnonzero(labels)
    values = labels.ravel()[places]
    yield
    order = np.argsort(values, kind="stable")
    values, places = values[order], places[order]
    starts = np.flatnonzero(np.diff(values, prepend=-1)) if values.size else []
    found = {}
    for start, stop in zip(starts, [*starts[1:], values.size]):
        yield
        chosen = places[start : stop : max((stop - start) // MOST_SAMPLES, 1)]
        index = np.stack(np.unravel_index(chosen, labels.shape), axis=1) * step
        low, high = np.percentile(points(index), (TRIM, 100 - TRIM), axis=0)
        found[int(values[start])] = Extent(low, high)
    return found


def structure(labels: np.ndarray) -> int:
    """The label that a box is about: the one with the most voxels, those near the centre counting most; 0 for none.

    Args:
        labels: label values of the box, (I, J, K).
    """
    weights = np.ones(1)
    for length in labels.shape:
        near = 1 - np.abs((np.arange(length) + 0.5) / length * 2 - 1)
        weights = np.multiply.outer(weights, near)
    sums = np.bincount(labels.ravel(), weights.ravel())
    sums[0] = 0
    return int(sums.argmax()) if sums.max(initial=0) > 0 else 0


def part(point: np.ndarray, extent: Extent, poles: bool = False) -> str:
    """The part of a structure where a point lies: "upper pole", "lower left part", "middle"."""
    along = extent.place(point)
    size = extent.high - extent.low
    ends = [axis for axis in (2, 1, 0) if not LOW <= along[axis] <= HIGH]
    if poles and size[2] >= size[:2].max() and 2 in ends:
        return _("upper pole") if along[2] > HIGH else _("lower pole")
    # Two words at most, those that say most: how far from the middle, in millimetres.
    ends = sorted(ends, key=lambda axis: -abs(along[axis] - 0.5) * size[axis])[:2]
    words = [_(ENDS[axis][int(along[axis] > HIGH)]) for axis in sorted(ends, reverse=True)]
    return _("{words} part").format(words=" ".join(words)) if words else _("middle")


def say(value: int, point: np.ndarray, extents: Mapping[int, Extent], label: Label | None) -> str:
    """A structure and its part, such as "Left kidney, upper pole"."""
    name = label.name if label else _("outside all structures")
    extent = extents.get(value)
    if extent is None:
        return name
    return f"{name}, {part(point, extent, poles=bool(label) and label.code in WITH_POLES)}"
