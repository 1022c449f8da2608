"""The one box that is looked at now, drawn in the views over all others; gone when nothing is looked at."""

import slicer

from EfficientSegBridge.overlay import boxSurface
from EfficientSegBridge.translation import _
from EfficientSegLib.geometry import PatchBox, ScoredBox

ROLE = "EfficientSeg.Highlight"
COLOR = (1.0, 1.0, 1.0)
WIDTH = 4  # pixels; the boxes of the overlay have 2, so that it is told by more than its colour


class Highlight:
    """One box in the scene, whoever shows it. It is not saved, cannot be picked, and is in no selector."""

    @property
    def node(self):
        """The model node, or None."""
        for node in slicer.util.getNodesByClass("vtkMRMLModelNode"):
            if node.GetAttribute(ROLE):
                return node
        return None

    def show(self, box: PatchBox, volumeNode) -> None:
        node = self.node or self._make()
        node.SetAndObserveMesh(boxSurface((ScoredBox(box, 0.0, 1),), volumeNode))
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        node.GetDisplayNode().SetVisibility(True)

    def hide(self) -> None:
        """Remove it."""
        node = self.node
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)

    def _make(self):
        node = slicer.vtkMRMLModelNode()
        node.SetName(_("EfficientSeg: the place that is looked at"))
        node.SetAttribute(ROLE, "1")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetSelectable(False)
        slicer.mrmlScene.AddNode(node)
        display = slicer.vtkMRMLModelDisplayNode()
        display.SetHideFromEditors(True)
        display.SetSaveWithScene(False)
        display.SetColor(*COLOR)
        display.SetRepresentation(display.WireframeRepresentation)
        display.SetLighting(False)
        display.SetLineWidth(WIDTH // 2)
        display.SetSliceIntersectionThickness(WIDTH)
        display.SetVisibility2D(True)
        slicer.mrmlScene.AddNode(display)
        node.SetAndObserveDisplayNodeID(display.GetID())
        return node
