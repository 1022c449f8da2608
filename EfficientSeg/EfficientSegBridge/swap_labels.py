"""Puts coarse labels back where refinement has changed them, or the refined ones again; only where nobody has edited
since, and never in a segment that the user has completed.
"""

from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from EfficientSegBridge import surfaces, undo_point
from EfficientSegBridge.changes import Changes
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.segment_layers import Layer, layers, segmentIds
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, findSegment, isCompleted, makeSegment
from EfficientSegBridge.volume_image import asArray, copyShared

FOREIGN = -1  # a voxel that belongs to a segment of somebody else in the same image


@dataclass(frozen=True)
class Swapped:
    """What became of the voxels of a place."""

    written: int
    edited: int  # left alone, because somebody has edited them since
    locked: int  # left alone, because their segment is completed


def swap(segmentationNode, volumeNode, findings: Findings, moves: Changes) -> Swapped:
    """Give each voxel of `moves` its coarse label, where it still has its refined one.

    Raises:
        VolumeError: the segmentation lies on other voxels than the volume.
    """
    ours = segmentIds(segmentationNode, findings.bundle)
    held = _held(layers(segmentationNode, volumeNode), ours, moves)
    untouched = held == moves.refined
    locked = untouched & _isLocked(segmentationNode, ours, moves)
    chosen = moves.only(untouched & ~locked)
    if chosen.index.size:
        undo_point.save(segmentationNode)
        with surfaces.kept(segmentationNode) as touched:
            touched |= _write(segmentationNode, volumeNode, findings, chosen)
    edited = ~untouched & (held != moves.coarse)  # those that are coarse already need nothing
    return Swapped(int(chosen.index.size), int(edited.sum()), int(locked.sum()))


def _held(found: list[Layer], ours: dict[int, str], moves: Changes) -> np.ndarray:
    """The label that each voxel has now: 0 for none, FOREIGN where it is not to be touched."""
    labels = {segmentId: value for value, segmentId in ours.items()}
    held = np.zeros(moves.index.size, np.int64)
    for layer in found:
        values = _values(layer, moves)
        for shown in np.unique(values[values > 0]):
            label = labels.get(layer.segments.get(int(shown), ""), FOREIGN)
            if label == FOREIGN and not any(segmentId in labels for segmentId in layer.segments.values()):
                continue  # an image of the user's alone: nothing is written into it
            here = values == shown
            # Two of our labels at one voxel: the user has let them overlap.
            held[here] = np.where(held[here] == 0, label, FOREIGN)
    return held


def _values(layer: Layer, moves: Changes) -> np.ndarray:
    """The values of an image at the voxels, 0 outside it."""
    index = [position - first for position, first in zip(moves.positions(), layer.offset)]
    inside = np.ones(moves.index.size, bool)
    for position, length in zip(index, layer.image.GetDimensions()):
        inside &= (position >= 0) & (position < length)
    values = np.zeros(moves.index.size, np.int64)
    i, j, k = (position[inside] for position in index)
    values[inside] = layer.voxels[k, j, i]
    return values


def _isLocked(segmentationNode, ours: dict[int, str], moves: Changes) -> np.ndarray:
    segmentation = segmentationNode.GetSegmentation()
    completed = [value for value, name in ours.items() if isCompleted(segmentation.GetSegment(name))]
    return np.isin(moves.coarse, completed) | np.isin(moves.refined, completed)


def _write(segmentationNode, volumeNode, findings: Findings, moves: Changes) -> set[str]:
    """Clear the refined labels, then set the coarse ones; returns the segments that it has touched."""
    segmentation = segmentationNode.GetSegmentation()
    for value in np.unique(moves.coarse[moves.coarse > 0]):
        _makeMissing(segmentation, volumeNode, findings, int(value), moves.only(moves.coarse == value))
    ours = segmentIds(segmentationNode, findings.bundle)
    touched = set()
    for column, sets in ((moves.refined, False), (moves.coarse, True)):
        for value in np.unique(column[column > 0]):
            if int(value) in ours:
                segmentId = ours[int(value)]
                _put(segmentationNode, volumeNode, segmentId, moves.only(column == value), sets)
                touched.add(segmentId)
    segmentationNode.Modified()
    return touched


def _makeMissing(segmentation, volumeNode, findings: Findings, value: int, moves: Changes) -> None:
    """Refinement has taken a whole structure away: its segment comes back. One that the user has deleted does not."""
    label, refinement = findings.label(value), findings.refinement(value)
    tag = f"{findings.bundle}:{value}"
    if label is None or refinement is None or refinement.ml > 0 or findSegment(segmentation, tag):
        return
    positions = moves.positions()
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(int(end) for position in positions for end in (position.min(), position.max())))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR if value < 256 else vtk.VTK_UNSIGNED_SHORT, 1)
    asArray(image)[:] = 0
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    name = segmentation.GenerateUniqueSegmentID(f"{findings.bundle}_{value}")
    segmentation.AddSegment(makeSegment(label, tag, image), name)


def _put(segmentationNode, volumeNode, segmentId: str, moves: Changes, sets: bool) -> None:
    """Add voxels to one of our segments, or take them out of it."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    image = segment.GetRepresentation(BINARY_LABELMAP)
    layer = next(each for each in layers(segmentationNode, volumeNode) if each.image is image)
    index = np.stack([position - first for position, first in zip(moves.positions(), layer.offset)])
    if sets:
        index -= _grow(image, index.min(axis=1), index.max(axis=1))[:, None]
    i, j, k = index
    asArray(image)[k, j, i] = segment.GetLabelValue() if sets else 0
    image.GetPointData().GetScalars().Modified()
    image.Modified()


def _grow(image, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Make room for voxels from `low` to `high`, counted from the image's first; returns where the first lies then."""
    extent = np.array(image.GetExtent()).reshape(3, 2)
    start = np.minimum(extent[:, 0], extent[:, 0] + low)
    stop = np.maximum(extent[:, 1], extent[:, 0] + high)
    if (start < extent[:, 0]).any() or (stop > extent[:, 1]).any():
        old, kind = asArray(image).copy(), image.GetScalarType()
        image.SetExtent(*(int(end) for pair in zip(start, stop) for end in pair))
        image.AllocateScalars(kind, 1)
        grown = asArray(image)
        grown[:] = 0
        copyShared(old, tuple(int(end) for end in extent.ravel()), grown, image.GetExtent())
    return start - extent[:, 0]
