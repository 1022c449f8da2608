"""Coarse in the place of refined: a segmentation of its own, so that what the user edits is never touched."""

from collections.abc import Iterator

import numpy as np
import slicer
import vtk

from EfficientSegBridge import overlay_nodes
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, LABEL_TAG, labelTag
from EfficientSegBridge.translation import _
from EfficientSegBridge.volume_image import VolumeImage
from EfficientSegLib.bundle import Bundle

REFINED = "EfficientSeg.Refined"  # reference from the coarse node to the one in whose place it is shown
OUTLINE = 0.55  # of coarse labels, as during a run


def making(coarse: np.ndarray, bundle: Bundle, refinedNode, volumeNode) -> Iterator[None]:
    """Make the node of the coarse labels, hidden, in short steps; with the refined one's names and colours.

    Args:
        coarse: label values, (I, J, K).
        refinedNode: the segmentation in whose place it can be shown.
    """
    image = VolumeImage(volumeNode, max(label.value for label in bundle.shown_labels))
    voxels = image.voxels
    for rows in image.slabs():
        voxels[rows] = coarse.T[rows]
        yield
    name = _("Coarse labels of {name}").format(name=volumeNode.GetName())
    node = overlay_nodes.add("vtkMRMLSegmentationNode", "coarse", name, volumeNode, hidden=True)
    node.SetSaveWithScene(False)  # to look at, not to keep
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility(False)
    node.GetDisplayNode().SetVisibility3D(False)
    node.GetDisplayNode().SetOpacity2DOutline(OUTLINE)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetNodeReferenceID(REFINED, refinedNode.GetID())
    found = dict(_tagged(refinedNode.GetSegmentation()))
    for label in bundle.shown_labels:
        like = found.get(labelTag(bundle, label))
        segment = slicer.vtkSegment()
        segment.SetName(like.GetName() if like else label.name)
        segment.SetColor(*(like.GetColor() if like else [part / 255 for part in label.color]))
        segment.SetTag(LABEL_TAG, labelTag(bundle, label))
        segment.SetLabelValue(label.value)
        segment.AddRepresentation(BINARY_LABELMAP, image.image)
        node.GetSegmentation().AddSegment(segment, str(label.value))
    yield


def isMade() -> bool:
    return overlay_nodes.find("coarse") is not None


def isShown() -> bool:
    node = overlay_nodes.find("coarse")
    return node is not None and bool(node.GetDisplayNode().GetVisibility())


def show(shown: bool) -> None:
    """Coarse in the place of refined, or the other way round; without the node nothing happens.

    Segments that the user has hidden are hidden in both.
    """
    node = overlay_nodes.find("coarse")
    if node is None or shown == isShown():
        return
    refined = node.GetNodeReference(REFINED)
    if refined is None or refined.GetDisplayNode() is None:
        node.GetDisplayNode().SetVisibility(False)
        return
    if shown:
        _hideAlike(node, refined)
    refined.GetDisplayNode().SetVisibility(not shown)
    node.GetDisplayNode().SetVisibility(shown)


def letGo() -> None:
    """Show refined, and take the image from the coarse segments: a segmentation that is deleted erases them from the
    image that they share one by one, which takes seconds for a large volume."""
    show(False)
    node = overlay_nodes.find("coarse")
    if node is not None:
        for _name, segment in _tagged(node.GetSegmentation()):
            segment.RemoveRepresentation(BINARY_LABELMAP)


def _hideAlike(node, refined) -> None:
    ids = {}
    segmentation = refined.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        ids[_tag(segmentation.GetNthSegment(index))] = segmentation.GetNthSegmentID(index)
    for index in range(node.GetSegmentation().GetNumberOfSegments()):
        tag, own = _tag(node.GetSegmentation().GetNthSegment(index)), node.GetSegmentation().GetNthSegmentID(index)
        visible = tag not in ids or refined.GetDisplayNode().GetSegmentVisibility(ids[tag])
        if bool(node.GetDisplayNode().GetSegmentVisibility(own)) != bool(visible):
            node.GetDisplayNode().SetSegmentVisibility(own, visible)


def _tagged(segmentation) -> Iterator[tuple[str, object]]:
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        yield _tag(segment), segment


def _tag(segment) -> str:
    value = vtk.reference("")
    return str(value) if segment.GetTag(LABEL_TAG, value) else ""
