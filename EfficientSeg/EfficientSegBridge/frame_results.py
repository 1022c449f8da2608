"""Segmentations of a sequence's frames: a sequence of their own, which plays together with the images."""

from collections.abc import Iterator

import numpy as np
import slicer
import vtk

from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.segments import LiveSegmentation
from EfficientSegBridge.translation import _

IMAGES = "EfficientSeg.Images"  # role: of which sequence of images these are the segmentations


def title(sequenceNode, index: int) -> str:
    """How a frame is called: "4D CT, frame 3 (time 20 %)"."""
    value, unit = sequenceNode.GetNthIndexValue(index), sequenceNode.GetIndexUnit()
    name = sequenceNode.GetIndexName()
    said = " ".join(part for part in (name, value, unit) if part)
    return _("{sequence}, frame {number} ({value})").format(
        sequence=sequenceNode.GetName(), number=index + 1, value=said
    )


def isSequenceOfVolumes(sequenceNode) -> bool:
    """True if there is a frame, and it is a volume of grey values."""
    return sequenceNode.GetNumberOfDataNodes() > 0 and sequenceNode.GetDataNodeClassName() == "vtkMRMLScalarVolumeNode"


def adding(sequenceNode, frame, index: int, labels: np.ndarray, parameters: Parameters) -> Iterator[None]:
    """Put the labels of a frame into the sequence of segmentations, in steps; both nodes in between go again.

    Args:
        sequenceNode: the images.
        frame: its volume node, which lives in the sequence's own scene.
        index: of the frame.
        labels: (I, J, K).
        parameters: names and colours.
    """
    volume = _stand_in(frame)
    segments = LiveSegmentation(volume, parameters.bundle, None, parameters.shown)
    try:
        yield from segments.finishing(labels)
        node = segments.node
        node.SetName(f"{sequenceNode.GetName()} segmentation")
        node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), _imagesOnShow(sequenceNode))
        results = _results(sequenceNode)
        results.SetDataNodeAtValue(node, sequenceNode.GetNthIndexValue(index))
        _playTogether(sequenceNode, results)
    finally:
        for node in (segments.node, volume):
            if node is not None and slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)


def results(sequenceNode):
    """The sequence of segmentations of these images; None where there is none."""
    for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
        if node.GetNodeReferenceID(IMAGES) == sequenceNode.GetID():
            return node
    return None


def _stand_in(frame):
    """A volume in the scene with the frame's voxels, not copied: segmentation nodes refer to nodes of their scene."""
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    node.UnRegister(None)
    node.SetName(frame.GetName())
    node.SetHideFromEditors(True)
    node.SetAndObserveImageData(frame.GetImageData())
    matrix = vtk.vtkMatrix4x4()
    frame.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    return slicer.mrmlScene.AddNode(node)


def _results(sequenceNode):
    found = results(sequenceNode)
    if found is not None:
        return found
    name = slicer.mrmlScene.GenerateUniqueName(f"{sequenceNode.GetName()} segmentations")
    made = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    made.SetIndexName(sequenceNode.GetIndexName())
    made.SetIndexUnit(sequenceNode.GetIndexUnit())
    made.SetIndexType(sequenceNode.GetIndexType())
    made.SetNodeReferenceID(IMAGES, sequenceNode.GetID())
    return made


def _browser(sequenceNode):
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        if browser.IsSynchronizedSequenceNode(sequenceNode, True):
            return browser
    return None


def _imagesOnShow(sequenceNode) -> str | None:
    """The node through which the sequence is seen; it is there whichever frame is on show."""
    browser = _browser(sequenceNode)
    proxy = browser.GetProxyNode(sequenceNode) if browser is not None else None
    return proxy.GetID() if proxy is not None else None


def _playTogether(sequenceNode, results) -> None:
    browser = _browser(sequenceNode)
    if browser is not None and not browser.IsSynchronizedSequenceNode(results, True):
        browser.AddSynchronizedSequenceNode(results)
