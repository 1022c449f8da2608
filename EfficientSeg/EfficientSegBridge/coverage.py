"""The refined area: one translucent segment over everything that was read at full detail.

Its voxels are larger than the volume's where that has more than 128 along an axis: 2 MB instead of 105 for
512 x 512 x 400, at the price of an edge that is off by two voxels; the boxes' outlines are exact.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import slicer
import vtk

from EfficientSegBridge import nodes, overlay_nodes
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, asArray
from EfficientSegBridge.translation import _
from EfficientSegLib.geometry import ScoredBox

MOST = 128  # voxels along an axis
COLOR = (0.25, 0.66, 0.62)
FILL, OUTLINE = 0.18, 0.5
SEGMENT = "refined"


def show(boxes: Sequence[ScoredBox], volumeNode, visible: bool) -> None:
    """Tint what the boxes cover, in slice views; in 3D only where the user asks for it there."""
    node = overlay_nodes.find("coverage")
    if node is None:
        if not boxes:
            return
        node = _make(volumeNode)
    image = node.GetSegmentation().GetSegment(SEGMENT).GetRepresentation(BINARY_LABELMAP)
    fresh = covered(boxes, nodes.shape(volumeNode))
    if not np.array_equal(asArray(image), fresh):
        asArray(image)[:] = fresh
        image.GetPointData().GetScalars().Modified()
        image.Modified()
        node.Modified()
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    setVisible(visible)


def setVisible(visible: bool) -> None:
    node = overlay_nodes.find("coverage")
    if node is not None and bool(node.GetDisplayNode().GetVisibility()) != bool(visible):
        node.GetDisplayNode().SetVisibility(bool(visible))


def factors(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """How many of the volume's voxels go into one, per axis."""
    return tuple(ceil(length / MOST) for length in shape)


def covered(boxes: Sequence[ScoredBox], shape: tuple[int, int, int]) -> np.ndarray:
    """1 where the middle of a large voxel lies in a box, (K, J, I)."""
    steps = factors(shape)
    mask = np.zeros(tuple(ceil(length / step) for length, step in zip(shape, steps))[::-1], np.uint8)
    for scored in boxes:
        # Voxel n has its middle at (n + 1/2) * step - 1/2; it is inside from start - 1/2 on, to stop - 1/2.
        place = tuple(
            slice(max(ceil(start / step - 0.5), 0), max(ceil(stop / step - 0.5), 0))
            for start, stop, step in zip(scored.box.start, scored.box.stop, steps)
        )
        mask[place[::-1]] = 1
    return mask


def _make(volumeNode):
    name = _("Refined area of {name}").format(name=volumeNode.GetName())
    node = overlay_nodes.add("vtkMRMLSegmentationNode", "coverage", name, volumeNode, hidden=True)
    # Hidden: there is nothing in it to be edited, and it is no place for a result.
    node.SetSelectable(False)
    node.CreateDefaultDisplayNodes()
    shape = nodes.shape(volumeNode)
    steps = factors(shape)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(value for length, step in zip(shape, steps) for value in (0, ceil(length / step) - 1)))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    asArray(image)[:] = 0
    larger = np.diag([*steps, 1.0])
    larger[:3, 3] = [(step - 1) / 2 for step in steps]
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(nodes.ijkToRas(volumeNode) @ larger))
    segment = slicer.vtkSegment()
    segment.SetName(_("Read at full detail"))
    segment.SetColor(*COLOR)
    segment.SetLabelValue(1)
    segment.AddRepresentation(BINARY_LABELMAP, image)
    node.GetSegmentation().AddSegment(segment, SEGMENT)
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(FILL)
    display.SetOpacity2DOutline(OUTLINE)
    display.SetVisibility3D(False)
    return node
