"""Subject-hierarchy items for nodes: in Slicer the work of qSlicerSubjectHierarchyPluginLogic, which is Qt."""

from __future__ import annotations

import slicer
import vtk
from vtk.util.misc import calldata_type

# The owner plugin by node class, in the order in which Slicer's plugins would claim the node.
PLUGINS = (
    ("vtkMRMLLabelMapVolumeNode", "LabelMaps"),
    ("vtkMRMLScalarVolumeNode", "Volumes"),
    ("vtkMRMLSegmentationNode", "Segmentations"),
    ("vtkMRMLMarkupsNode", "Markups"),
    ("vtkMRMLModelNode", "Models"),
    ("vtkMRMLTransformNode", "Transforms"),
    ("vtkMRMLTableNode", "Tables"),
    ("vtkMRMLPlotChartNode", "Charts"),
    ("vtkMRMLPlotSeriesNode", "PlotSeries"),
    ("vtkMRMLTextNode", "Texts"),
)


def owner_plugin(node: slicer.vtkMRMLNode) -> str | None:
    """Name of the plugin that shows this node in the tree, None where Slicer shows none."""
    if node.GetHideFromEditors() or node.GetAttribute("SubjectHierarchy.ExcludeFromTree"):
        return None
    return next((plugin for class_name, plugin in PLUGINS if node.IsA(class_name)), None)


class SubjectHierarchyKeeper:
    """Adds an item for each node that comes, and takes it away when the node goes."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene

        @calldata_type(vtk.VTK_OBJECT)
        def node_added(_scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
            # A scene being read brings its own hierarchy node, whose items are resolved at the end of the import.
            if not scene.IsImporting():
                self.add(node)

        @calldata_type(vtk.VTK_OBJECT)
        def node_going(_scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
            self.remove(node)

        scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, node_added)
        scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, node_going)
        scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, lambda *_: self.add_missing())
        self.add_missing()

    def add(self, node: slicer.vtkMRMLNode) -> None:
        plugin = owner_plugin(node)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        if plugin and hierarchy and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node, plugin)

    def remove(self, node: slicer.vtkMRMLNode) -> None:
        """Remove the node's item; items below it move up to its parent, and no other node is removed."""
        hierarchy = self._scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
        if hierarchy is None or hierarchy is node or owner_plugin(node) is None:
            return
        item = hierarchy.GetItemByDataNode(node)
        if item != hierarchy.GetInvalidItemID():
            hierarchy.RemoveItem(item, False, False)

    def add_missing(self) -> None:
        for index in range(self._scene.GetNumberOfNodes()):
            self.add(self._scene.GetNthNode(index))
