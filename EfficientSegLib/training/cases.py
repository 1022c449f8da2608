"""What a training learns from: one image, its labels, and what is known about them."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from EfficientSegLib.bundle import Preprocess
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.preprocess import axis_order, orient
from EfficientSegLib.resampling import shrink
from EfficientSegLib.volume import read


@dataclass(frozen=True)
class Contrast:
    """Source labels that change their brightness together, as a contrast agent does."""

    labels: tuple[int, ...]
    offset: tuple[float, float]  # in image units; one draw for the group and sample


@dataclass(frozen=True)
class Case:
    """One image and what is known about it."""

    image: str  # path inside the data folder
    label: str | None = None  # path inside the data folder; None: an image without any annotation
    map: dict[str, Any] = field(default_factory=dict)  # source label -> our label value; others become background
    annotated: Literal["all"] | tuple[int, ...] = "all"  # label values that are drawn wherever they are
    weight: float = 1.0  # how often it is drawn
    role: Literal["torso", "chest", "limb"] = "torso"  # chest: widened to its full width; limb: not cropped
    lungs: tuple[int, int] | None = None  # our values of the lungs (left, right), made by rule where nothing is drawn
    slices: tuple[float, float] = (0.0, 1.0)  # part of the axis upwards that is used
    hollow: tuple[int, ...] = ()  # source labels that stay while all around them becomes drawn lungs and heart
    shells: tuple[int, ...] = ()  # source labels whose outer layer can change its brightness alone (kidney cortex)
    contrast: tuple[Contrast, ...] = ()

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise OptionError(f"weight is {self.weight}.", why="It is a frequency.", mend="Use a positive number.")
        if not 0 <= self.slices[0] < self.slices[1] <= 1:
            raise OptionError(f"slices is {self.slices}.", why="They are shares.", mend="Use 0 to 1, lower first.")


@dataclass(frozen=True)
class CaseOnGrid:
    """A case in the orientation and near the spacing of a bundle."""

    image: np.ndarray  # (I, J, K), float32, image units
    source: np.ndarray  # (I, J, K), int32, values as in the label file; 0 where the case has none
    spacing_mm: tuple[float, float, float]  # the rule's, up to rounding to whole voxels


def read_case(case: Case, rule: Preprocess, folder: str | os.PathLike) -> CaseOnGrid:
    """Read a case, turn it to the rule's orientation and resample it: the image averaged or linear, labels nearest.

    Args:
        folder: what the paths of the case are relative to.

    Raises:
        VolumeError: a file is missing or unreadable.
        TrainingError: image and label differ in size.
    """
    folder = Path(folder)
    image, spacing = _read(folder / case.image, rule)
    if case.label is None:
        source = np.zeros(image.shape, dtype=np.int32)
    else:
        source = _read(folder / case.label, rule)[0].astype(np.int32)
    if source.shape != image.shape:
        raise TrainingError(
            f"{case.label} has {source.shape} voxels, its image {image.shape}.",
            why="Both must lie on one grid.",
            mend="Resample the labels to the image.",
        )
    grid = tuple(max(round(n * s / w), 1) for n, s, w in zip(image.shape, spacing, rule.spacing_mm))
    resampled = shrink(torch.from_numpy(image.astype(np.float32))[None], grid)[0].numpy()
    found = tuple(n * s / g for n, s, g in zip(image.shape, spacing, grid))
    return CaseOnGrid(resampled, _nearest(source, grid), found)


def _read(path: Path, rule: Preprocess) -> tuple[np.ndarray, tuple[float, ...]]:
    """Array (I, J, K) in the rule's orientation, and its spacing."""
    volume = read(path)
    axes, flips = axis_order(np.asarray(volume.direction, dtype=float).reshape(3, 3), rule.orientation)
    return np.ascontiguousarray(orient(volume.array, axes, flips)[0]), tuple(volume.spacing_mm[a] for a in axes)


def _nearest(labels: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    for axis, cells in enumerate(grid):
        length = labels.shape[axis]
        index = np.minimum(((np.arange(cells) + 0.5) * length / cells).astype(int), length - 1)
        labels = labels.take(index, axis)
    return labels


def annotated_channels(case: Case, channels: dict[int, int]) -> torch.Tensor:
    """(L,), bool: for which channels the case's annotation is complete; background where all are."""
    annotated = torch.zeros(len(channels) + 1, dtype=torch.bool)
    for value, channel in channels.items():
        annotated[channel] = case.annotated == "all" or value in case.annotated
    annotated[0] = bool(annotated[1:].all())
    return annotated
