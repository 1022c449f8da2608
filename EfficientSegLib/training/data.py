"""Cases for training: read once, put on the bundle's grid, and kept in memory.

Source labels stay apart here (two kidneys, each vertebra); only `Prepared.values` says which label of ours each is, so
that augmentation can treat structures differently that the network calls the same.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
import torch

from EfficientSegLib.bundle import Preprocess
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.preprocess import axis_order, orient
from EfficientSegLib.resampling import shrink
from EfficientSegLib.torso import torso_box
from EfficientSegLib.training.chest import hollow, widen
from EfficientSegLib.training.lungs import lungs_by_rule
from EfficientSegLib.volume import read

OUTSIDE = 1000  # source label of the air around the body
LUNGS = (1001, 1002)  # source labels of lungs made by rule: left, right
HEART = 1003  # source label of a drawn heart
SHELL = 1100  # added to the source label of an organ's outer layer


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
class PreparedCase:
    """A case on the bundle's grid."""

    name: str
    hu: torch.Tensor  # (I, J, K), float32, image units
    source: torch.Tensor  # (I, J, K), float32, source labels
    values: torch.Tensor  # (source labels,), long: channel of each source label
    annotated: torch.Tensor  # (L,), bool
    heights: tuple[np.ndarray, ...]  # per label that is there, the indices along K of its voxels
    case: Case


def prepare_case(case: Case, rule: Preprocess, channels: dict[int, int], folder: Path, seed: int) -> PreparedCase:
    """Read one case and put it on the grid of `rule`.

    Args:
        channels: logit channel of each label value.
        folder: what the paths of the case are relative to.
        seed: of what is drawn into a widened chest.

    Raises:
        VolumeError: a file is missing or unreadable.
        TrainingError: image and label differ in size, or the case maps to a label that the bundle lacks.
    """
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
    hu = shrink(torch.from_numpy(image.astype(np.float32))[None], grid)[0].numpy()
    source = _nearest(source, grid)
    found = tuple(n * s / g for n, s, g in zip(image.shape, spacing, grid))
    if rule.crop.kind == "torso" and case.role == "torso":
        box = torso_box(hu, found, rule.crop.erode_mm, rule.crop.margin_mm, 2)
        hu, source = hu[box.slices()], source[box.slices()]
    if case.role == "chest":
        hu, source = widen(hu, source, found, np.random.default_rng(seed))
    part = slice(*(round(share * hu.shape[2]) for share in case.slices))
    hu, source = hu[..., part], source[..., part]
    if case.hollow:
        drawn = hollow(hu, np.isin(source, case.hollow), ~_around(hu), found, np.random.default_rng(seed))
        hu, source = drawn.hu, np.where(drawn.left, LUNGS[0], np.where(drawn.right, LUNGS[1], source))
        source[drawn.heart] = HEART
    source = _with_rules(hu, source, found, case)
    values = _values(case, source, channels)
    return PreparedCase(
        name=case.image,
        hu=torch.from_numpy(np.ascontiguousarray(hu, dtype=np.float32)),
        source=torch.from_numpy(np.ascontiguousarray(source, dtype=np.float32)),
        values=values,
        annotated=_annotated(case, channels),
        heights=_heights(values.numpy()[source]),
        case=case,
    )


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


def _with_rules(hu: np.ndarray, source: np.ndarray, spacing_mm: tuple, case: Case) -> np.ndarray:
    """Source labels with the air around the body, lungs by rule and shells added."""
    source = source.copy()
    if case.lungs is not None and not case.hollow:
        for mask, value in zip(lungs_by_rule(hu, spacing_mm), LUNGS):
            source[mask & (source == 0)] = value
    for label in case.shells:
        mask = source == label
        inner = sitk.BinaryErode(sitk.GetImageFromArray(mask.astype(np.uint8)), [2, 2, 2])
        source[mask & ~sitk.GetArrayFromImage(inner).astype(bool)] = label + SHELL
    source[_around(hu) & (source == 0)] = OUTSIDE
    return source


def _around(hu: np.ndarray) -> np.ndarray:
    """Dark voxels that reach the rim of their slice once thin walls are closed."""
    body = sitk.GetArrayFromImage(
        sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray((hu > -350).astype(np.uint8)), [2, 2, 0])
    )
    around = np.zeros(hu.shape, dtype=bool)
    for k in range(hu.shape[2]):
        filled = sitk.BinaryFillhole(sitk.GetImageFromArray(body[:, :, k]))
        around[:, :, k] = sitk.GetArrayFromImage(filled) == 0
    return around


def _values(case: Case, source: np.ndarray, channels: dict[int, int]) -> torch.Tensor:
    values = torch.zeros(int(max(source.max(), SHELL + 1000)) + 1, dtype=torch.long)
    given = {int(key): value for key, value in case.map.items()}
    given |= dict(zip(LUNGS, case.lungs or (), strict=False))
    given |= {label + SHELL: given[label] for label in case.shells if label in given}
    for label, value in given.items():
        if value not in channels:
            raise TrainingError(
                f"{case.image} maps {label} to {value}.", why="The bundle has no such label.", mend="Correct the map."
            )
        if label < len(values):
            values[label] = channels[value]
    return values


def _heights(target: np.ndarray) -> tuple[np.ndarray, ...]:
    there = [np.nonzero(target == channel)[2] for channel in np.unique(target) if channel]
    return tuple(there) or (np.arange(target.shape[2]),)


def _annotated(case: Case, channels: dict[int, int]) -> torch.Tensor:
    annotated = torch.zeros(len(channels) + 1, dtype=torch.bool)
    for value, channel in channels.items():
        annotated[channel] = case.annotated == "all" or value in case.annotated
    annotated[0] = bool(annotated[1:].all())
    return annotated


def shrink_labels(labels: torch.Tensor, factor: tuple[int, int, int]) -> torch.Tensor:
    """Most frequent label of each block of `factor` voxels; (I, J, K) uint8 -> (I/r, J/r, K/r) uint8.

    A single voxel picked from each block would shift the picture by half a voxel. A block that is ignored in part
    votes with the rest.
    """
    i, j, k = (length // step for length, step in zip(labels.shape, factor))
    blocks = labels[: i * factor[0], : j * factor[1], : k * factor[2]]
    blocks = blocks.reshape(i, factor[0], j, factor[1], k, factor[2]).permute(0, 2, 4, 1, 3, 5).reshape(i, j, k, -1)
    return torch.mode(blocks, dim=-1).values.to(torch.uint8)
