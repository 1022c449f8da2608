"""What the method looked at: patch boxes in the views, class weights as a table and a chart, all under one folder.

All boxes are one model node: its slice intersections are outlines. Against one ROI node per box, 64 boxes cost 0.7 s
instead of 3.2 s in 20 slice scrolls.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from EfficientSegBridge import nodes
from EfficientSegBridge.translation import _
from EfficientSegLib.bundle import Label
from EfficientSegLib.geometry import ScoredBox

PRIORITY = "Priority"  # name of the cell array: 1 for the patch read first, towards 0 for the last
# Corners of a box's six sides, as numbered by nodes.boxCorners, each in turning order.
SIDES = ((0, 2, 6, 4), (1, 3, 7, 5), (0, 1, 5, 4), (2, 3, 7, 6), (0, 1, 3, 2), (4, 5, 7, 6))
# From last to first: bluish grey, green, yellow, orange; light enough over dark CT, told apart by lightness too.
RAMP = ((0.36, 0.44, 0.60), (0.25, 0.66, 0.62), (0.60, 0.83, 0.40), (0.98, 0.85, 0.30), (1.00, 0.55, 0.20))
COLORS = 64


class Overlay:
    """The overlay of one run; made, shown, hidden and removed as one."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._ids: list[str] = []  # of all nodes made here, the first to be removed last
        self._boxes = None
        self._chart = None
        self._table = None
        self._folder = 0

    @property
    def boxesNode(self):
        """The model node of all boxes, or None."""
        return self._boxes

    @property
    def chartNode(self):
        """The bar chart of the class weights, or None."""
        return self._chart

    @property
    def tableNode(self):
        """The table of the class weights, or None."""
        return self._table

    def showPatches(self, boxes: Sequence[ScoredBox], volumeNode, visible: bool = True) -> None:
        """Draw the boxes, best first, in voxels of the volume; under its parent transform like the volume itself."""
        if not boxes:
            return
        surface = boxSurface(boxes, volumeNode)
        if self._boxes is None:
            self._boxes = self._add(
                "vtkMRMLModelNode", _("Patches of {name}").format(name=volumeNode.GetName()), volumeNode
            )
            self._boxes.SetSelectable(False)  # a click meant for the segment editor passes through
            self._boxes.CreateDefaultDisplayNodes()
            self._boxes.GetDisplayNode().SetAndObserveColorNodeID(self._ramp(volumeNode).GetID())
        self._boxes.SetAndObserveMesh(surface)
        self._boxes.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        display = self._boxes.GetDisplayNode()
        display.SetActiveScalar(PRIORITY, vtk.vtkAssignAttribute.CELL_DATA)
        display.SetScalarRangeFlag(display.UseManualScalarRange)
        display.SetScalarRange(0.0, 1.0)
        display.SetScalarVisibility(True)
        display.SetRepresentation(display.WireframeRepresentation)
        display.SetLighting(False)
        display.SetLineWidth(1)
        display.SetOpacity(0.6)
        display.SetSliceIntersectionThickness(2)
        display.SetVisibility2D(True)
        self.setBoxesVisible(visible)

    def showClassWeights(self, weights: Mapping[int, float], labels: Sequence[Label], volumeNode) -> None:
        """A table and a bar chart of how far each label trusts the patches, 0 to 1, in the order of the labels."""
        named = [(label.name, weights[label.value]) for label in labels if label.value in weights]
        if not named:
            return
        if self._table is None:
            name = volumeNode.GetName()
            self._table = self._add("vtkMRMLTableNode", _("Class weights of {name}").format(name=name), volumeNode)
            series = self._add("vtkMRMLPlotSeriesNode", _("Trust in detail"), volumeNode)
            series.SetAndObserveTableNodeID(self._table.GetID())
            series.SetPlotType(series.PlotTypeBar)
            series.SetYColumnName(_("Trust in detail"))
            series.SetLabelColumnName(_("Structure"))
            series.SetColor(*RAMP[1])
            self._chart = self._add("vtkMRMLPlotChartNode", _("Class weights of {name}").format(name=name), volumeNode)
            self._chart.AddAndObservePlotSeriesNodeID(series.GetID())
            self._chart.SetTitle(_("How far each structure trusts the detail patches"))
            self._chart.SetYAxisTitle(_("0: overview only, 1: detail only"))
            self._chart.SetXAxisTitle("")
            self._chart.SetLegendVisibility(False)
            self._chart.SetYAxisRangeAuto(False)
            self._chart.SetYAxisRange(0.0, 1.0)
        table = vtk.vtkTable()
        names, values = vtk.vtkStringArray(), vtk.vtkDoubleArray()
        names.SetName(_("Structure"))
        values.SetName(_("Trust in detail"))
        for name, value in named:
            names.InsertNextValue(name)
            values.InsertNextValue(float(value))
        table.AddColumn(names)
        table.AddColumn(values)
        self._table.SetAndObserveTable(table)

    def setBoxesVisible(self, visible: bool) -> None:
        if self._boxes is not None and self._boxes.GetScene() is not None:
            self._boxes.GetDisplayNode().SetVisibility(bool(visible))

    def clear(self) -> None:
        """Remove every node made here and the folder; what the user has removed already is passed over."""
        for nodeId in reversed(self._ids):
            node = slicer.mrmlScene.GetNodeByID(nodeId)
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        # A folder into which the user has moved something of his own stays.
        if self._folder and hierarchy is not None and hierarchy.GetItemLevel(self._folder) == "Folder":
            children = vtk.vtkIdList()
            hierarchy.GetItemChildren(self._folder, children)
            if children.GetNumberOfIds() == 0:
                hierarchy.RemoveItem(self._folder)
        self._forget()

    def _add(self, className: str, name: str, volumeNode):
        node = slicer.mrmlScene.AddNewNodeByClass(className, slicer.mrmlScene.GenerateUniqueName(name))
        self._ids.append(node.GetID())
        self._file(node, volumeNode)
        return node

    def _file(self, node, volumeNode) -> None:
        """Put the node into the overlay's folder, which lies beside the volume."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        if not self._folder:
            volumeItem = hierarchy.GetItemByDataNode(volumeNode)
            parent = hierarchy.GetItemParent(volumeItem) if volumeItem else hierarchy.GetSceneItemID()
            name = _("EfficientSeg: where it looked in {name}").format(name=volumeNode.GetName())
            self._folder = hierarchy.CreateFolderItem(parent, name)
            hierarchy.SetItemExpanded(self._folder, False)
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, self._folder)

    def _ramp(self, volumeNode):
        """The colour table, hidden from selectors; saved with the scene because the boxes need it."""
        node = self._add("vtkMRMLColorTableNode", "EfficientSeg priority", volumeNode)
        node.SetTypeToUser()
        node.SetHideFromEditors(True)
        node.SetNumberOfColors(COLORS)
        node.GetLookupTable().SetTableRange(0.0, 1.0)
        for index in range(COLORS):
            place = index / (COLORS - 1)
            color = [
                float(np.interp(place, np.linspace(0, 1, len(RAMP)), [step[part] for step in RAMP]))
                for part in range(3)
            ]
            node.SetColor(index, f"{place:.2f}", *color, 1.0)
        return node


def boxSurface(boxes: Sequence[ScoredBox], volumeNode):
    """All boxes as quads, six per box, in the volume's RAS without its parent transform; priority on each side.

    The last box of the list comes first in the surface, so that better ones are drawn over it.
    """
    points, cells, priorities = [], vtk.vtkCellArray(), []
    for scored in reversed(boxes):
        first = 8 * (len(points))
        points.append(nodes.boxCorners(scored.box, volumeNode))
        for side in SIDES:
            cells.InsertNextCell(4)
            for corner in side:
                cells.InsertCellPoint(first + corner)
        priorities += [1 - (scored.rank - 1) / max(len(boxes) - 1, 1)] * len(SIDES)
    surface = vtk.vtkPolyData()
    vtkPoints = vtk.vtkPoints()
    vtkPoints.SetData(numpy_to_vtk(np.concatenate(points).astype(np.float64), deep=True))
    surface.SetPoints(vtkPoints)
    surface.SetPolys(cells)
    scalars = numpy_to_vtk(np.array(priorities, dtype=np.float32), deep=True)
    scalars.SetName(PRIORITY)
    surface.GetCellData().SetScalars(scalars)
    return surface
