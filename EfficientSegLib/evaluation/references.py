"""What a prediction is compared with: reference labels in our values, on the grid of the image."""

import json
import os
from pathlib import Path

import numpy as np

from EfficientSegLib.bundle import MANIFEST, load
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.evaluation.cases import EvaluationCase
from EfficientSegLib.evaluation.metrics import whole_numbers
from EfficientSegLib.volume import Volume, read

SAME_PLACE = 0.1  # voxels; grids whose corners differ by more are two grids


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
    """
    volume = read(case.label)
    labels = whole_numbers(volume.array[0], case.label.name)
    if case.map:
        lookup = np.zeros(int(labels.max()) + 1, dtype=np.uint16)
        for source, target in case.map.items():
            if source < len(lookup):
                lookup[source] = target
        labels = lookup[labels]
    return Volume(labels[None], volume.spacing_mm, volume.origin_mm, volume.direction)


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
