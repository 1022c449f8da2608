"""The overlay's nodes: each carries its role as an attribute, and all lie in one folder beside the volume.

They have no other memory, so that those of a saved scene are found again when it is loaded.
"""

import slicer
import vtk

from EfficientSegBridge.translation import _

ROLE = "EfficientSeg.Overlay"  # attribute of the overlay's nodes and of their folder
ROLES = {  # and the class of each
    "boxes": "vtkMRMLModelNode",
    "colors": "vtkMRMLColorTableNode",
    "weights": "vtkMRMLTableNode",
    "series": "vtkMRMLPlotSeriesNode",
    "chart": "vtkMRMLPlotChartNode",
    "coverage": "vtkMRMLSegmentationNode",
    "tokens": "vtkMRMLSegmentationNode",
    "coarse": "vtkMRMLSegmentationNode",
}


def find(role: str):
    """The node of this role in the scene, or None."""
    nodeClass = ROLES[role]
    for index in range(slicer.mrmlScene.GetNumberOfNodesByClass(nodeClass)):
        node = slicer.mrmlScene.GetNthNodeByClass(index, nodeClass)
        if node.GetAttribute(ROLE) == role:
            return node
    return None


def add(className: str, role: str, name: str, volumeNode, hidden: bool = False):
    """A node of this role, in the overlay's folder, which lies beside the volume; a hidden one is in no list at all."""
    node = addNode(className, slicer.mrmlScene.GenerateUniqueName(name), hidden)
    node.SetAttribute(ROLE, role)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, _folder(hierarchy, volumeNode))
    return node


def addNode(className: str, name: str, hidden: bool):
    """A new node of the scene; hidden before it is added, because subject hierarchy asks only then."""
    node = getattr(slicer, className)()
    node.SetName(name)
    node.SetHideFromEditors(hidden)
    return slicer.mrmlScene.AddNode(node)


def _folder(hierarchy, volumeNode) -> int:
    """The overlay's folder, made where there is none."""
    items = [hierarchy.GetItemByDataNode(node) for node in (find(role) for role in ROLES) if node is not None]
    for parent in (hierarchy.GetItemParent(item) for item in items if item):
        if hierarchy.GetItemAttribute(parent, ROLE):
            return parent
    volumeItem = hierarchy.GetItemByDataNode(volumeNode)
    parent = hierarchy.GetItemParent(volumeItem) if volumeItem else hierarchy.GetSceneItemID()
    name = _("EfficientSeg: where it looked in {name}").format(name=volumeNode.GetName())
    folder = hierarchy.CreateFolderItem(parent, name)
    hierarchy.SetItemAttribute(folder, ROLE, "folder")
    hierarchy.SetItemExpanded(folder, False)
    return folder


def clear() -> None:
    """Remove every node of an overlay, and its folder; what the user has removed already is passed over."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folders = set()
    for role in reversed(list(ROLES)):
        while (node := find(role)) is not None:
            item = hierarchy.GetItemByDataNode(node)
            folders |= {hierarchy.GetItemParent(item)} if item else set()
            slicer.mrmlScene.RemoveNode(node)
    for folder in folders:
        children = vtk.vtkIdList()
        hierarchy.GetItemChildren(folder, children)
        # A folder into which the user has moved something of his own stays, and so does one that is not ours.
        if hierarchy.GetItemAttribute(folder, ROLE) and children.GetNumberOfIds() == 0:
            hierarchy.RemoveItem(folder)
