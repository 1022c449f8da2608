"""Volume and grey values of each segment; numbers in, numbers out, in steps that never hold the application up."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from EfficientSegLib.geometry import PatchBox, whole


@dataclass(frozen=True)
class Measure:
    """One segment."""

    voxels: int
    mean: float  # of the volume's values; no number where there is no voxel
    deviation: float  # standard deviation of a sample (n - 1), as Slicer's Segment Statistics gives it


@dataclass(frozen=True)
class LabelImage:
    """What is measured: values that mark segments, in a box of the volume."""

    voxels: np.ndarray  # (K, J, I) of the box
    box: PatchBox
    segments: dict[int, str]  # identifier by value


def measured(images: Sequence[LabelImage], intensities: np.ndarray) -> Generator[None, None, dict[str, Measure]]:
    """Measure all segments of all images, one plane per step.

    Args:
        intensities: the volume's values, (K, J, I).

    Yields:
        None, after each plane.

    Returns:
        Measures by segment identifier; those without a voxel have 0.
    """
    found = {}
    for image in images:
        sums = yield from _sums(image, intensities)
        for value, segmentId in image.segments.items():
            found[segmentId] = sums.measure(value)
    return found


class _Sums:
    """Counts and sums by value; values are taken from `shift` on, so that squares of large ones lose no digits."""

    def __init__(self, length: int, shift: float) -> None:
        self._count, self._sum, self._squares = (np.zeros(length) for _part in range(3))
        self._shift = shift

    def add(self, labels: np.ndarray, values: np.ndarray) -> None:
        values = values.astype(np.float64) - self._shift
        length = len(self._count)
        self._count += np.bincount(labels, minlength=length)
        self._sum += np.bincount(labels, values, minlength=length)
        self._squares += np.bincount(labels, values * values, minlength=length)

    def measure(self, value: int) -> Measure:
        count = int(self._count[value])
        if not count:
            return Measure(0, float("nan"), float("nan"))
        mean = self._sum[value] / count
        rest = max(self._squares[value] - count * mean * mean, 0.0)
        return Measure(count, float(mean + self._shift), float(np.sqrt(rest / (count - 1))) if count > 1 else 0.0)


def _sums(image: LabelImage, intensities: np.ndarray) -> Generator[None, None, _Sums]:
    sums = None
    length = max(image.segments, default=0) + 1
    box = image.box.intersection(whole(intensities.shape[::-1]))
    for k in range(box.start[2], box.stop[2]) if box else ():
        i, j, _k = box.slices()
        inside = box.shifted(tuple(-a for a in image.box.start)).slices()
        plane = image.voxels[k - image.box.start[2], inside[1], inside[0]].ravel()
        places = np.flatnonzero(plane)
        if places.size:
            labels, values = plane[places], intensities[k, j, i].ravel()[places]
            known = labels < length  # a value without a segment is nobody's
            if not known.all():
                labels, values = labels[known], values[known]
            if sums is None:
                sums = _Sums(length, float(values.mean()) if values.size else 0.0)
            sums.add(labels, values)
        yield
    return sums or _Sums(length, 0.0)
