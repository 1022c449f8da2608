"""The refined area: one translucent segment over everything that was read at full detail.

Its voxels are larger than the volume's (see `overlay_image`), at the price of an edge that is off by two of them; the
boxes' outlines are exact.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import slicer

from EfficientSegBridge import nodes, overlay_image, overlay_nodes
from EfficientSegBridge.overlay_image import factors, size
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, asArray
from EfficientSegBridge.translation import _
from EfficientSegLib.geometry import ScoredBox

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


def covered(boxes: Sequence[ScoredBox], shape: tuple[int, int, int]) -> np.ndarray:
    """1 where the middle of a large voxel lies in a box, (K, J, I)."""
    steps = factors(shape)
    mask = np.zeros(size(shape)[::-1], np.uint8)
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
    image = overlay_image.make(volumeNode)
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
