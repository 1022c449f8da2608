"""What a training learns from: one image, its labels, and what is known about them."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from EfficientSegLib.bundle import Preprocess
from EfficientSegLib.errors import OptionError, TrainingError, VolumeError
from EfficientSegLib.preprocess import axis_order, orient
from EfficientSegLib.resampling import shrink
from EfficientSegLib.volume import Volume, read

APART = 0.1  # voxels by which the corners of two grids may lie apart and still be the same


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
    # Source label -> our label value, or a list of them where labels overlap ({"1": [2], "2": [1, 2]}; independent
    # outputs only), 0: background, null: left out of the loss; see label_maps. {}: the values are ours.
    map: dict[str, Any] = field(default_factory=dict)
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
        TrainingError: image and label lie on different grids.
    """
    volume, labels = read_pair(case, folder)
    image, spacing = _turned(volume, rule)
    source = np.zeros(image.shape, dtype=np.int32) if labels is None else _turned(labels, rule)[0].astype(np.int32)
    grid = tuple(max(round(n * s / w), 1) for n, s, w in zip(image.shape, spacing, rule.spacing_mm))
    resampled = shrink(torch.from_numpy(image.astype(np.float32))[None], grid)[0].numpy()
    found = tuple(n * s / g for n, s, g in zip(image.shape, spacing, grid))
    return CaseOnGrid(resampled, nearest(source, grid), found)


def read_pair(case: Case, folder: str | os.PathLike) -> tuple[Volume, Volume | None]:
    """The image of a case and its labels, as the files have them; None where it has none.

    Args:
        folder: what the paths of the case are relative to.

    Raises:
        VolumeError: a file is missing or unreadable.
        TrainingError: image and label lie on different grids: size, spacing, origin or direction differ.
    """
    image = _read(case.image, folder)
    if case.label is None:
        return image, None
    labels = _read(case.label, folder)
    _check_one_grid(case, image, labels)
    return image, labels


def _read(path: str, folder: str | os.PathLike) -> Volume:
    try:
        return read(Path(folder) / path)
    except VolumeError as error:
        # Cases often share one file name, so the folder must be told too.
        raise VolumeError(f"{path}: {error.what}", why=error.why, mend=error.mend) from error


def _check_one_grid(case: Case, image: Volume, labels: Volume) -> None:
    facts = ("shape", "spacing_mm", "origin_mm", "direction")
    apart = np.inf
    if image.shape == labels.shape:
        ends = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * (*(n - 1 for n in image.shape), 1)
        apart = np.linalg.norm((ends @ (image.affine - labels.affine).T)[:, :3], axis=1).max() / min(image.spacing_mm)
    if apart <= APART:
        return
    told = [
        f"{name} {getattr(labels, name)}, not {getattr(image, name)}" for name in facts if _differ(image, labels, name)
    ]
    raise TrainingError(
        f"{case.label} does not lie on the grid of {case.image}: {'; '.join(told)}.",
        why="Each voxel of the labels must be the one of the image.",
        mend="Resample the labels to the image (nearest neighbour), or correct the header that is wrong.",
    )


def _differ(one: Volume, other: Volume, name: str) -> bool:
    a, b = getattr(one, name), getattr(other, name)
    return not np.allclose(a, b, rtol=0, atol=1e-6)


def _turned(volume: Volume, rule: Preprocess) -> tuple[np.ndarray, tuple[float, ...]]:
    """Array (I, J, K) in the rule's orientation, and its spacing."""
    axes, flips = axis_order(np.asarray(volume.direction, dtype=float).reshape(3, 3), rule.orientation)
    return np.ascontiguousarray(orient(volume.array, axes, flips)[0]), tuple(volume.spacing_mm[a] for a in axes)


def nearest(labels: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Labels (I, J, K) on another grid of the same extent: of each new voxel, the label at its centre."""
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
