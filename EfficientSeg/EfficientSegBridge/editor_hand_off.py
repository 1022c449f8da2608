"""Hands a segmentation over to the Segment Editor, at a segment and a place where these are given."""

import slicer

from EfficientSegBridge import world
from EfficientSegLib.geometry import PatchBox


def openEditor(segmentationNode, volumeNode, segmentId: str = "", box: PatchBox | None = None) -> None:
    """Open the Segment Editor with this segmentation and volume, with the segment chosen and the place in the views."""
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.util.getModuleWidget("SegmentEditor").editor
    editor.setSegmentationNode(segmentationNode)
    if volumeNode is not None:
        editor.setSourceVolumeNode(volumeNode)
    if segmentId and segmentationNode.GetSegmentation().GetSegment(segmentId):
        editor.setCurrentSegmentID(segmentId)
    if box is not None and volumeNode is not None:
        world.jumpTo(volumeNode, box)
