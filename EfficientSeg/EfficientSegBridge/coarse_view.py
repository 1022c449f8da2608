"""Coarse in the place of refined: a segmentation of its own, so that what the user edits is never touched."""

from collections.abc import Iterator, Sequence

import numpy as np
import slicer
import vtk

from EfficientSegBridge import overlay_nodes
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, LABEL_TAG, labelTag
from EfficientSegBridge.translation import _
from EfficientSegBridge.volume_image import VolumeImage
from EfficientSegLib.bundle import Label

REFINED = "EfficientSeg.Refined"  # reference from the coarse node to the one in whose place it is shown
# Attribute of a refined segmentation while it is hidden for the coarse one. Slicer tells nobody that it is going to
# save a scene: one that was saved in between hides the result, which is mended when it is loaded.
HIDDEN = "EfficientSeg.HiddenForCoarse"
OUTLINE = 0.55  # of coarse labels, as during a run


def making(coarse: np.ndarray, bundleName: str, labels: Sequence[Label], refinedNode, volumeNode) -> Iterator[None]:
    """Make the node of the coarse labels, hidden, in short steps; with the refined one's names and colours.

    Args:
        coarse: label values, (I, J, K).
        bundleName: with a label's value it marks our segments.
        labels: those that become segments.
        refinedNode: the segmentation in whose place it can be shown.
    """
    letGo()
    image = VolumeImage(volumeNode, max((label.value for label in labels), default=0))
    voxels = image.voxels
    for rows in image.slabs():
        voxels[rows] = coarse.T[rows]
        yield
    name = _("Coarse labels of {name}").format(name=volumeNode.GetName())
    node = overlay_nodes.add("vtkMRMLSegmentationNode", "coarse", name, volumeNode, hidden=True)
    node.SetSaveWithScene(False)  # to look at, not to keep
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSaveWithScene(False)
    node.GetDisplayNode().SetVisibility(False)
    node.GetDisplayNode().SetVisibility3D(False)
    node.GetDisplayNode().SetOpacity2DOutline(OUTLINE)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetNodeReferenceID(REFINED, refinedNode.GetID())
    found = dict(_tagged(refinedNode.GetSegmentation()))
    for label in labels:
        tag = labelTag(bundleName, label)
        like = found.get(tag)
        segment = slicer.vtkSegment()
        segment.SetName(like.GetName() if like else label.name)
        segment.SetColor(*(like.GetColor() if like else [part / 255 for part in label.color]))
        segment.SetTag(LABEL_TAG, tag)
        segment.SetLabelValue(label.value)
        segment.AddRepresentation(BINARY_LABELMAP, image.image)
        node.GetSegmentation().AddSegment(segment, str(label.value))
    yield


def isMade(refinedNode) -> bool:
    """True if the node of the coarse labels is that of this segmentation."""
    node = overlay_nodes.find("coarse")
    return node is not None and refinedNode is not None and node.GetNodeReferenceID(REFINED) == refinedNode.GetID()


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
    display = refined.GetDisplayNode()
    if shown:
        hideAlike()
        if display.GetVisibility():  # else the user has hidden it
            refined.SetAttribute(HIDDEN, "1")
            display.SetVisibility(False)
    else:
        _unhide(refined)
    node.GetDisplayNode().SetVisibility(shown)


def mend() -> None:
    """Show results of a loaded scene that was saved while their coarse labels stood in their place."""
    node = overlay_nodes.find("coarse") if isShown() else None
    shown = node.GetNodeReference(REFINED) if node is not None else None
    for refined in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if refined is not shown:
            _unhide(refined)


def _unhide(refined) -> None:
    if refined.GetAttribute(HIDDEN):
        refined.RemoveAttribute(HIDDEN)
        if refined.GetDisplayNode() is not None:
            refined.GetDisplayNode().SetVisibility(True)


def letGo() -> None:
    """Show refined, and remove the coarse node; its segments first, since a segmentation that is deleted erases them
    from the image that they share one by one, which takes seconds for a large volume."""
    show(False)
    node = overlay_nodes.find("coarse")
    if node is not None:
        for _name, segment in _tagged(node.GetSegmentation()):
            segment.RemoveRepresentation(BINARY_LABELMAP)
        slicer.mrmlScene.RemoveNode(node)


def hideAlike() -> None:
    """Hide the coarse segments whose refined ones the user has hidden, and only these."""
    node = overlay_nodes.find("coarse")
    refined = node.GetNodeReference(REFINED) if node is not None else None
    if refined is None or refined.GetDisplayNode() is None:
        return
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
