"""Which nodes the parameter node names: the first volume, and a segmentation that fits the volume."""

import slicer

from EfficientSegBridge.segment_parts import belongsTo


def firstVolume():
    """The first volume of grey values in the scene; None where there is none."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((node for node in volumes if node.GetClassName() == "vtkMRMLScalarVolumeNode"), None)


def keepResult(parameterNode, run) -> None:
    """The next run goes into the segmentation of the latest result, if that is of the chosen volume."""
    if parameterNode is not None and run.canUndo and run.volumeNode is parameterNode.volume:
        parameterNode.segmentation = run.segments.node


def keepFitting(parameterNode) -> None:
    """A result belongs to one volume: with another one chosen, the next result goes into a new segmentation."""
    if parameterNode is None or parameterNode.segmentation is None or parameterNode.volume is None:
        return
    if not belongsTo(parameterNode.segmentation, parameterNode.volume):
        parameterNode.segmentation = None
