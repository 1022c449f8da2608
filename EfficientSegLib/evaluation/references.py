"""What a prediction is compared with: reference labels in our values, on the grid of the image."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from EfficientSegLib.bundle import MANIFEST, load
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.evaluation.cases import EvaluationCase
from EfficientSegLib.evaluation.metrics import whole_numbers
from EfficientSegLib.volume import Volume, read

SAME_PLACE = 0.1  # voxels; grids whose corners differ by more are two grids


@dataclass(frozen=True)
class Regions:
    """Reference labels that may overlap."""

    volume: Volume  # values as in the label file
    values: Mapping[int, tuple[int, ...]]  # of the file, by label of ours: where any of them is, the label is

    def mask(self, label: int) -> np.ndarray:
        """Where a label of ours is, (I, J, K), bool."""
        return np.isin(self.volume.array[0], self.values.get(label, ()))


def read_label_names(path: str | os.PathLike) -> dict[int, str]:
    """Names by value: of a bundle's folder, or of the `dataset.json` of the Decathlon or of nnU-Net.

    Raises:
        BundleError: the bundle cannot be used.
        OptionError: the file has no labels.
    """
    path = Path(path)
    if path.is_dir() and (path / MANIFEST).is_file():
        return {label.value: label.name for label in load(path).shown_labels}
    path = path / "dataset.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["labels"]
        pairs = [(int(key), value) if key.isdecimal() else (int(value), key) for key, value in content.items()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise OptionError(
            f"{path} names no labels.",
            why="A bundle's folder, or a dataset.json with an object of labels and their whole numbers, was expected.",
            mend="Give one of them.",
        ) from error
    return {value: str(name) for value, name in sorted(pairs) if value > 0}


def read_reference(case: EvaluationCase) -> Volume:
    """The case's reference labels in our values.

    Raises:
        VolumeError: the file cannot be read, or holds what is no label.
        OptionError: the labels overlap, so that no label map holds them; see `read_regions`.
    """
    if case.overlaps:
        raise OptionError(
            f"The reference labels of case {case.name!r} overlap.",
            why="What is compared with them has one label in each voxel: what that hides would count as missed.",
            mend="Evaluate a bundle whose outputs are independent, or map each value of the reference to one label.",
        )
    volume = read(case.label)
    labels = whole_numbers(volume.array[0], case.label.name)
    if case.map:
        lookup = np.zeros(int(labels.max()) + 1, dtype=np.uint16)
        for source, target in case.map.items():
            if source < len(lookup):
                lookup[source] = next(iter(target), 0) if isinstance(target, tuple) else target
        labels = lookup[labels]
    return Volume(labels[None], volume.spacing_mm, volume.origin_mm, volume.direction)


def read_regions(case: EvaluationCase) -> Regions:
    """The case's reference labels, each by itself.

    Raises:
        VolumeError: the file cannot be read, or holds what is no label.
    """
    volume = read(case.label)
    labels = whole_numbers(volume.array[0], case.label.name)
    values: dict[int, tuple[int, ...]] = {}
    for source in sorted(set(np.unique(labels).tolist()) & set(case.map)):
        ours = case.map[source]
        for label in ours if isinstance(ours, tuple) else (ours,):
            values[label] = (*values.get(label, ()), source)
    values.pop(0, None)
    return Regions(Volume(labels[None], volume.spacing_mm, volume.origin_mm, volume.direction), values)


def check_same_grid(one: Volume, other: Volume, what: str, mend: str) -> None:
    """Refuse two volumes that do not lie voxel on voxel.

    Args:
        what: names both, as "The image and its label".

    Raises:
        VolumeError: they differ in size or place.
    """
    if one.shape != other.shape:
        sizes = (" × ".join(map(str, volume.shape)) for volume in (one, other))
        raise VolumeError(f"{what} have {' and '.join(sizes)} voxels.", why="They must lie on one grid.", mend=mend)
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*one.shape, 1]
    apart = np.abs(corners @ (one.affine - other.affine).T)[:, :3].max() / min(one.spacing_mm)
    if apart > SAME_PLACE:
        raise VolumeError(
            f"{what} lie up to {apart:.2g} voxels apart.",
            why="They have one size and not one place: origin, spacing or direction differ.",
            mend=mend,
        )
