"""Label map → `.seg.nrrd`, the file that 3D Slicer opens as a segmentation.

One shared layer on the whole grid of the image, so that programs that read plain NRRD see an ordinary label map with
the geometry of the image. Source: Slicer's documentation of the segmentation file format.
"""

import os
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from EfficientSegLib.bundle import Label
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.files import replacing
from EfficientSegLib.terminology import terminology_entry

REPRESENTATION = "Binary labelmap"
LEVEL = 4  # of zlib: label maps shrink little further, and level 9 takes several times as long
GZIP = 31  # zlib's window bits that ask for a gzip stream
SLAB_BYTES = 1 << 22


def write(labels: np.ndarray, affine: np.ndarray, shown: Sequence[Label], path: str | os.PathLike) -> None:
    """Write a segmentation; an older file is replaced in one step.

    Args:
        labels: label values, (I, J, K), integer; 0 is background.
        affine: 4 x 4, from voxel indices to LPS millimetres.
        shown: the segments, in this order; one without voxels becomes an empty segment.
        path: ends with ".seg.nrrd".

    Raises:
        VolumeError: the name has another ending, a value has no label, or the file cannot be written.
    """
    path = Path(path)
    if not path.name.endswith(".seg.nrrd"):
        raise VolumeError(
            f"{path.name} is no segmentation's name.", why="Slicer knows them by .seg.nrrd.", mend="Use that ending."
        )
    stored, extent = _storable(labels, shown)
    header = _header(stored, affine, shown, extent).encode("utf-8")
    pack = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    # Slab by slab along K, where NRRD's order (I fastest) is the order of memory: no second copy of the volume.
    step = max(SLAB_BYTES // max(stored[:, :, :1].nbytes, 1), 1)
    with replacing(path) as part, open(part, "wb") as file:
        file.write(header)
        for first in range(0, stored.shape[2], step):
            slab = np.ascontiguousarray(stored[:, :, first : first + step].transpose(2, 1, 0))
            file.write(pack.compress(slab.data))
        file.write(pack.flush())


def _storable(labels: np.ndarray, shown: Sequence[Label]) -> tuple[np.ndarray, tuple[int, ...]]:
    """The labels in the smallest unsigned type, and the box that holds all segments."""
    if labels.ndim != 3 or labels.dtype.kind not in "ui":
        raise VolumeError(
            f"A label map of shape {labels.shape} and type {labels.dtype} cannot be written.",
            why="It has three axes and whole numbers.",
            mend="Convert it first.",
        )
    largest = max((label.value for label in shown), default=0)
    known = np.zeros(max(largest, int(labels.max(initial=0))) + 1, dtype=bool)
    known[[0, *(label.value for label in shown)]] = True
    negative = int(labels.min(initial=0)) < 0
    unknown = np.flatnonzero(~known & np.isin(np.arange(len(known)), labels)) if not negative else [labels.min()]
    if len(unknown):
        raise VolumeError(
            f"The label map holds value {unknown[0]}.",
            why="No label of the bundle has this value.",
            mend="Check the labels in bundle.json.",
        )
    return labels.astype(np.uint8 if largest < 256 else np.uint16, copy=False), _extent(labels)


def _extent(labels: np.ndarray) -> tuple[int, ...]:
    """First and last index with a label per axis, as Slicer counts; an empty box is 0 to -1."""
    marked = labels != 0
    ends = []
    for axis in range(3):
        found = np.flatnonzero(marked.any(axis=tuple(other for other in range(3) if other != axis)))
        ends += [int(found[0]), int(found[-1])] if len(found) else [0, -1]
    return tuple(ends)


def _header(stored: np.ndarray, affine: np.ndarray, shown: Sequence[Label], extent: tuple[int, ...]) -> str:
    lines = [
        "NRRD0004",
        f"type: {'unsigned char' if stored.dtype == np.uint8 else 'unsigned short'}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, stored.shape))}",
        f"space directions: {' '.join(_vector(affine[:3, axis]) for axis in range(3))}",
        "kinds: domain domain domain",
        f"endian: {sys.byteorder}",
        "encoding: gzip",
        f"space origin: {_vector(affine[:3, 3])}",
    ]
    for index, label in enumerate(shown):
        lines += [f"Segment{index}_{key}:={value}" for key, value in _segment_keys(index, label, extent).items()]
    lines += [
        f"Segmentation_ContainedRepresentationNames:={REPRESENTATION}|",
        "Segmentation_ConversionParameters:=",
        f"Segmentation_MasterRepresentation:={REPRESENTATION}",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return "\n".join(lines) + "\n\n"


def _segment_keys(index: int, label: Label, extent: tuple[int, ...]) -> dict[str, str]:
    entry = terminology_entry(label)
    return {
        "Color": " ".join(repr(part / 255) for part in label.color),
        "ColorAutoGenerated": "0",
        "Extent": " ".join(map(str, extent)),
        "ID": f"Segment_{label.value}",
        "LabelValue": str(label.value),
        "Layer": "0",
        "Name": " ".join(label.name.split()),
        "NameAutoGenerated": "0",
        "Tags": f"TerminologyEntry:{entry}|" if entry else "",
    }


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
