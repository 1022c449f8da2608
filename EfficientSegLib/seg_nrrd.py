"""Label map → `.seg.nrrd`, the file that 3D Slicer opens as a segmentation.

One shared layer on the whole grid of the image, so that programs that read plain NRRD see an ordinary label map with
the geometry of the image. Segments that overlap take more layers: a list of label maps, its axis before those of the
image. Source: Slicer's documentation of the segmentation file format.
"""

import os
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from EfficientSegLib.bundle import Label
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.files import replacing
from EfficientSegLib.overlaps import Masks
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
    stored, extent = _storable(labels, shown)
    header = _header(stored.shape, stored.dtype, affine, shown, extent, [0] * len(shown))
    step = max(SLAB_BYTES // max(stored[:, :, :1].nbytes, 1), 1)
    slabs = (stored[None, :, :, first : first + step] for first in range(0, stored.shape[2], step))
    _write(header, slabs, Path(path))


def write_overlapping(
    masks: Masks, channels: Sequence[int], affine: np.ndarray, shown: Sequence[Label], path: str | os.PathLike
) -> None:
    """Write segments that may overlap, in no more layers than a first fit needs; one layer is an ordinary label map.

    Args:
        masks: where each label is.
        channels: of the masks, one for each of `shown`.
        affine, shown, path: see `write`.

    Raises:
        VolumeError: the name has another ending, or the file cannot be written.
    """
    groups = masks.layers(channels)
    value_of = {channel: label.value for channel, label in zip(channels, shown, strict=True)}
    dtype = np.dtype(np.uint8 if max(value_of.values(), default=0) < 256 else np.uint16)
    layer_of = {channel: layer for layer, group in enumerate(groups) for channel in group}
    sizes = masks.shape if len(groups) < 2 else (len(groups), *masks.shape)
    layers = [layer_of[channel] for channel in channels]
    header = _header(sizes, dtype, affine, shown, _extent(masks.any_of(channels)), layers)
    step = max(SLAB_BYTES // (max(len(groups), 1) * dtype.itemsize * masks.shape[0] * masks.shape[1]), 1)
    values = [[value_of[channel] for channel in group] for group in groups]
    planes = [slice(first, first + step) for first in range(0, masks.shape[2], step)]
    slabs = (np.stack([masks.values(*layer, here) for layer in zip(groups, values)]).astype(dtype) for here in planes)
    _write(header, slabs, Path(path))


def _write(header: str, slabs: Iterable[np.ndarray], path: Path) -> None:
    """Header, then slabs (layers, I, J, k) in order of K: no second copy of the volume."""
    if not path.name.endswith(".seg.nrrd"):
        raise VolumeError(
            f"{path.name} is no segmentation's name.", why="Slicer knows them by .seg.nrrd.", mend="Use that ending."
        )
    pack = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    with replacing(path) as part, open(part, "wb") as file:
        file.write(header.encode("utf-8"))
        for slab in slabs:  # NRRD's order: the first axis fastest
            file.write(pack.compress(np.ascontiguousarray(slab.transpose(3, 2, 1, 0)).data))
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


def _header(
    sizes: Sequence[int],
    dtype: np.dtype,
    affine: np.ndarray,
    shown: Sequence[Label],
    extent: tuple[int, ...],
    layers: Sequence[int],
) -> str:
    """The text before the voxels; four `sizes` are those of a list of layers."""
    is_list = len(sizes) == 4
    directions = " ".join(_vector(affine[:3, axis]) for axis in range(3))
    lines = [
        "NRRD0004",
        f"type: {'unsigned char' if dtype == np.uint8 else 'unsigned short'}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {'none ' if is_list else ''}{directions}",
        f"kinds: {'list ' if is_list else ''}domain domain domain",
        f"endian: {sys.byteorder}",
        "encoding: gzip",
        f"space origin: {_vector(affine[:3, 3])}",
    ]
    for index, (label, layer) in enumerate(zip(shown, layers, strict=True)):
        keys = _segment_keys(label, extent, layer)
        lines += [f"Segment{index}_{key}:={value}" for key, value in keys.items()]
    lines += [
        f"Segmentation_ContainedRepresentationNames:={REPRESENTATION}|",
        "Segmentation_ConversionParameters:=",
        f"Segmentation_MasterRepresentation:={REPRESENTATION}",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return "\n".join(lines) + "\n\n"


def _segment_keys(label: Label, extent: tuple[int, ...], layer: int) -> dict[str, str]:
    entry = terminology_entry(label)
    return {
        "Color": " ".join(repr(part / 255) for part in label.color),
        "ColorAutoGenerated": "0",
        "Extent": " ".join(map(str, extent)),
        "ID": f"Segment_{label.value}",
        "LabelValue": str(label.value),
        "Layer": str(layer),
        "Name": " ".join(label.name.split()),
        "NameAutoGenerated": "0",
        "Tags": f"TerminologyEntry:{entry}|" if entry else "",
    }


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
