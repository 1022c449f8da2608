"""Cases of the trunk: read once, put on the bundle's grid, and kept in memory.

Source labels stay apart here (two kidneys, each vertebra); only `Prepared.values` says which label of ours each is, so
that augmentation can treat structures differently that the network calls the same.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from EfficientSegLib.bundle import Preprocess
from EfficientSegLib.errors import TrainingError
from EfficientSegLib.torso import torso_box
from EfficientSegLib.training.body.chest import hollow, widen
from EfficientSegLib.training.body.lungs import lungs_by_rule
from EfficientSegLib.training.cases import Case, annotated_channels, read_case
from EfficientSegLib.training.label_maps import read_map

OUTSIDE = 1000  # source label of the air around the body
LUNGS = (1001, 1002)  # source labels of lungs made by rule: left, right
HEART = 1003  # source label of a drawn heart
SHELL = 1100  # added to the source label of an organ's outer layer


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
    given = read_case(case, rule, folder)
    hu, source, found = given.image, given.source, given.spacing_mm
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
        annotated=annotated_channels(case, channels),
        heights=_heights(values.numpy()[source]),
        case=case,
    )


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
    given = {value: None if labels is None else next(iter(labels), 0) for value, labels in read_map(case).items()}
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
