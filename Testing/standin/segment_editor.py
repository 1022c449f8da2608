"""The Segment Editor module as far as other modules hand it work: which segmentation, volume, segment and effect."""

from __future__ import annotations

import slicer
from PySide6 import QtWidgets

from .module_widget import qSlicerScriptedLoadableModuleWidget
from .modules import qSlicerScriptedLoadableModule
from .scripted_module import ScriptedLoadableModuleWidget


class Editor(QtWidgets.QWidget):
    """The names of qMRMLSegmentEditorWidget that read or write its vtkMRMLSegmentEditorNode; it has no effects."""

    def __init__(self) -> None:
        super().__init__()
        self._node: slicer.vtkMRMLSegmentEditorNode | None = None

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return slicer.mrmlScene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        """There is one scene only; accepted because every qMRML widget has it."""

    def mrmlSegmentEditorNode(self) -> slicer.vtkMRMLSegmentEditorNode | None:
        return self._node

    def setMRMLSegmentEditorNode(self, node: slicer.vtkMRMLSegmentEditorNode) -> None:
        self._node = node

    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._node.GetSegmentationNode() if self._node else None

    def setSegmentationNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        if self._node:
            self._node.SetAndObserveSegmentationNode(node)

    def sourceVolumeNode(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        return self._node.GetSourceVolumeNode() if self._node else None

    def setSourceVolumeNode(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        if self._node:
            self._node.SetAndObserveSourceVolumeNode(node)

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node else ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        if self._node:
            self._node.SetSelectedSegmentID(segmentID)

    def setActiveEffectByName(self, name: str) -> None:
        if self._node:
            self._node.SetActiveEffectName(name)


class SegmentEditorWidget(ScriptedLoadableModuleWidget):
    """`slicer.util.getModuleWidget("SegmentEditor")`: its `editor` works after the module was entered, as in Slicer."""

    def setup(self) -> None:
        self.editor = Editor()
        self.layout.addWidget(self.editor)
        self.parameterSetNode = None

    def enter(self) -> None:
        """Take the scene's Segment Editor node, or make it."""
        tag, kind = "SegmentEditor", "vtkMRMLSegmentEditorNode"
        self.parameterSetNode = slicer.mrmlScene.GetSingletonNode(tag, kind)
        if self.parameterSetNode is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag(tag)
            self.parameterSetNode = slicer.mrmlScene.AddNode(node)
        self.editor.setMRMLSegmentEditorNode(self.parameterSetNode)


def make_module() -> qSlicerScriptedLoadableModule:
    """The module object that goes into slicer.modules."""
    module = qSlicerScriptedLoadableModule("SegmentEditor", "")
    module._new_widget = lambda: qSlicerScriptedLoadableModuleWidget("SegmentEditor", SegmentEditorWidget)
    return module
