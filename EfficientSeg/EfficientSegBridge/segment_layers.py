"""The segments of a segmentation as arrays on the voxels of a volume, whoever made or edited them."""

from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from EfficientSegBridge import nodes
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, LABEL_TAG
from EfficientSegBridge.translation import _
from EfficientSegBridge.volume_image import asArray
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import Index, PatchBox

SAME_GRID = 0.01  # voxels by which a corner of the image may miss the volume's grid


@dataclass(frozen=True)
class Layer:
    """One label image; segments that do not overlap share one."""

    image: object  # vtkOrientedImageData
    offset: Index  # the image's first voxel in the volume's grid, I J K
    segments: dict[int, str]  # segment identifier by the value that marks it in the image

    @property
    def box(self) -> PatchBox:
        """The image's place in the volume's grid; it may reach beyond the volume."""
        return PatchBox(self.offset, tuple(a + n for a, n in zip(self.offset, self.image.GetDimensions())))

    @property
    def voxels(self) -> np.ndarray:
        """Values, (K, J, I) of `box`; writing into it writes the image."""
        return asArray(self.image)

    def part(self, box: PatchBox) -> np.ndarray:
        """The voxels of a box that lies inside `box`, (I, J, K), as a view."""
        return self.voxels.T[box.shifted(tuple(-a for a in self.offset)).slices()]


def layers(segmentationNode, volumeNode) -> list[Layer]:
    """All label images that hold voxels; segments without one are passed over.

    Raises:
        VolumeError: an image lies on another grid than the volume, or under another parent transform.
    """
    if segmentationNode.GetTransformNodeID() != volumeNode.GetTransformNodeID():
        raise _other(segmentationNode, volumeNode, _("They are under different transforms."))
    found: dict[object, Layer] = {}
    segmentation = segmentationNode.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        image = segment.GetRepresentation(BINARY_LABELMAP)
        if image is None or image.IsEmpty() or min(image.GetDimensions()) < 1:
            continue
        if image not in found:
            found[image] = Layer(image, _offset(image, segmentationNode, volumeNode), {})
        found[image].segments[segment.GetLabelValue()] = segmentation.GetNthSegmentID(index)
    return list(found.values())


def labelValue(segment, bundleName: str) -> int | None:
    """The label of this bundle that our segment stands for; None for any other segment."""
    tag = vtk.reference("")
    if not segment.GetTag(LABEL_TAG, tag):
        return None
    name, _colon, value = str(tag).rpartition(":")
    return int(value) if name == bundleName and value.isdigit() else None


def segmentIds(segmentationNode, bundleName: str) -> dict[int, str]:
    """Our segments by label value."""
    segmentation = segmentationNode.GetSegmentation()
    found = {}
    for index in range(segmentation.GetNumberOfSegments()):
        value = labelValue(segmentation.GetNthSegment(index), bundleName)
        if value is not None:
            found.setdefault(value, segmentation.GetNthSegmentID(index))
    return found


def labelPart(segmentationNode, volumeNode, bundleName: str, box: PatchBox, step: int = 1) -> np.ndarray:
    """Our segments as label values, (I, J, K) of every `step`-th voxel of a box; 0 where there is none of ours.

    Raises:
        VolumeError: as for `layers`.
    """
    array = np.zeros(tuple(-(-length // step) for length in box.shape), np.uint16)
    labels = {segmentId: value for value, segmentId in segmentIds(segmentationNode, bundleName).items()}
    for layer in layers(segmentationNode, volumeNode):
        shared = layer.box.intersection(box)
        ours = {value: labels[segmentId] for value, segmentId in layer.segments.items() if segmentId in labels}
        if shared is None or not ours:
            continue
        # The first voxel of the coarser grid that lies inside the shared box, in both countings.
        first = tuple(-(-(a - b) // step) for a, b in zip(shared.start, box.start))
        start = tuple(n * step + b for n, b in zip(first, box.start))
        if any(a >= b for a, b in zip(start, shared.stop)):
            continue
        part = layer.part(PatchBox(start, shared.stop))[::step, ::step, ::step]
        names = np.zeros(np.iinfo(part.dtype).max + 1, np.uint16)
        names[list(ours)] = list(ours.values())
        fresh = names[part]
        target = array[tuple(slice(n, n + length) for n, length in zip(first, fresh.shape))]
        np.copyto(target, fresh, where=fresh > 0)
    return array


def _offset(image, segmentationNode, volumeNode) -> Index:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    onGrid = np.linalg.inv(nodes.ijkToRas(volumeNode)) @ slicer.util.arrayFromVTKMatrix(matrix)
    extent = image.GetExtent()
    ends = np.array([extent[0::2], extent[1::2]], float)
    corners = ends @ onGrid[:3, :3].T + onGrid[:3, 3]
    if not np.allclose(corners - np.round(corners), 0, atol=SAME_GRID) or not np.allclose(
        np.round(corners[1] - corners[0]), ends[1] - ends[0]
    ):
        raise _other(segmentationNode, volumeNode, _("They lie on different grids of voxels."))
    return tuple(int(value) for value in np.round(corners[0]))


def _other(segmentationNode, volumeNode, why: str) -> VolumeError:
    return VolumeError(
        _("The voxels of {segmentation} are not those of {volume}.").format(
            segmentation=segmentationNode.GetName(), volume=volumeNode.GetName()
        ),
        why=why,
        mend=_("Choose the volume that it was made from, or use Slicer's module Segment Statistics."),
    )
