"""What a plan needs to know of the voxels: each case is read once, its numbers are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from EfficientSegLib.bundle import Intensity
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.preprocess import axis_order, normalise, orient
from EfficientSegLib.suitability import check_grid, check_intensities
from EfficientSegLib.training.cases import Case, read_pair

STEP = 10_000  # values kept of each case's structures, evenly spread


@dataclass(frozen=True)
class Seen:
    """One case, axes in the order of the plan's orientation."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    lowest: float  # image value
    lowest_normal: float  # network value of the lowest voxel under the zscore rule
    foreground: np.ndarray  # image values inside labels, a sample
    labels: tuple[int, ...]  # values in the label file, 0 left out


def look(case: Case, folder: Path, orientation: str, zscore: Intensity) -> Seen:
    """Read one case.

    Raises:
        VolumeError: a file is missing or broken.
        TrainingError: image and labels lie on different grids.
    """
    image, labels = read_pair(case, folder)
    try:
        check_grid(image.shape, image.spacing_mm, image.direction)
        check_intensities(image.array, "MR")
    except VolumeError as error:
        raise VolumeError(f"{case.image}: {error.what}", why=error.why, mend=error.mend) from error
    axes, flips = axis_order(np.asarray(image.direction, dtype=float).reshape(3, 3), orientation)
    array = orient(image.array, axes, flips)[0]
    drawn = orient(labels.array, axes, flips)[0]
    inside = array[drawn > 0]
    return Seen(
        shape=tuple(array.shape),
        spacing_mm=tuple(image.spacing_mm[axis] for axis in axes),
        lowest=float(array.min()),
        lowest_normal=float(normalise(array.astype(np.float32), zscore).min()),
        foreground=inside[:: max(len(inside) // STEP, 1)].astype(np.float32),
        labels=tuple(int(value) for value in np.unique(drawn) if value != 0),
    )


def median(values: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Per axis."""
    return tuple(float(value) for value in np.median(np.asarray(values, dtype=float), axis=0))
