"""What the method looked at: patch boxes in the views, class weights as a table and a chart, all under one folder.

All boxes are one model node: its slice intersections are outlines. Against one ROI node per box, 64 boxes cost 0.7 s
instead of 3.2 s in 20 slice scrolls.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from EfficientSegBridge import coarse_view, coverage, nodes, overlay_nodes, tokens
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
    """The overlay of the latest run; made, shown, hidden and removed as one.

    It has no memory of its own: its nodes carry their role as an attribute, so that one that was saved with a scene is
    found again when the scene is loaded.
    """

    @property
    def boxesNode(self):
        """The model node of all boxes, or None."""
        return overlay_nodes.find("boxes")

    @property
    def chartNode(self):
        """The bar chart of the class weights, or None."""
        return overlay_nodes.find("chart")

    @property
    def tableNode(self):
        """The table of the class weights, or None."""
        return overlay_nodes.find("weights")

    def showPatches(self, boxes: Sequence[ScoredBox], volumeNode, visible: bool = True) -> None:
        """Draw the boxes, best first, in voxels of the volume; under its parent transform like the volume itself."""
        if not boxes:
            return
        surface = boxSurface(boxes, volumeNode)
        node = self.boxesNode
        if node is None:
            node = overlay_nodes.add(
                "vtkMRMLModelNode", "boxes", _("Patches of {name}").format(name=volumeNode.GetName()), volumeNode
            )
            node.SetSelectable(False)  # a click meant for the segment editor passes through
            node.CreateDefaultDisplayNodes()
            node.GetDisplayNode().SetAndObserveColorNodeID(_ramp(volumeNode).GetID())
        node.SetAndObserveMesh(surface)
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        display = node.GetDisplayNode()
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
        if self.chartNode is None:
            self._addChart(volumeNode)
        table = vtk.vtkTable()
        names, values = vtk.vtkStringArray(), vtk.vtkDoubleArray()
        names.SetName(_("Structure"))
        values.SetName(_("Trust in detail"))
        for name, value in named:
            names.InsertNextValue(name)
            values.InsertNextValue(float(value))
        table.AddColumn(names)
        table.AddColumn(values)
        self.tableNode.SetAndObserveTable(table)

    def _addChart(self, volumeNode) -> None:
        name = _("Class weights of {name}").format(name=volumeNode.GetName())
        table = overlay_nodes.add("vtkMRMLTableNode", "weights", name, volumeNode)
        series = overlay_nodes.add("vtkMRMLPlotSeriesNode", "series", _("Trust in detail"), volumeNode)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(series.PlotTypeBar)
        series.SetYColumnName(_("Trust in detail"))
        series.SetLabelColumnName(_("Structure"))
        series.SetColor(*RAMP[1])
        chart = overlay_nodes.add("vtkMRMLPlotChartNode", "chart", name, volumeNode)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        chart.SetTitle(_("How far each structure trusts the detail patches"))
        chart.SetYAxisTitle(_("0: overview only, 1: detail only"))
        chart.SetXAxisTitle("")
        chart.SetLegendVisibility(False)
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(0.0, 1.0)

    def setBoxesVisible(self, visible: bool) -> None:
        node = self.boxesNode
        if node is not None and bool(node.GetDisplayNode().GetVisibility()) != bool(visible):
            node.GetDisplayNode().SetVisibility(bool(visible))

    def showCoverage(self, boxes: Sequence[ScoredBox], volumeNode, visible: bool) -> None:
        """Tint what these patches cover; see `coverage`."""
        coverage.show(boxes, volumeNode, visible)

    def showTokens(self, tokenMap: tokens.TokenMap, volumeNode, visible: bool) -> None:
        """Colour where the network stopped looking closely; see `tokens`."""
        tokens.show(tokenMap, volumeNode, visible)

    def setVisible(self, boxes: bool, refinedArea: bool, droppedTokens: bool) -> None:
        """Show or hide its parts."""
        self.setBoxesVisible(boxes)
        coverage.setVisible(refinedArea)
        tokens.setVisible(droppedTokens)

    @property
    def coarseIsShown(self) -> bool:
        """True while the coarse labels stand in the place of the refined ones."""
        return coarse_view.isShown()

    def showCoarse(self, shown: bool) -> None:
        """Put the coarse labels in the place of the refined ones, or take them away; see `coarse_view`."""
        coarse_view.show(shown)

    def clear(self) -> None:
        """Remove every node of an overlay, and its folder; what the user has removed already is passed over."""
        coarse_view.letGo()
        overlay_nodes.clear()


def _ramp(volumeNode):
    """The colour table, hidden from selectors; saved with the scene because the boxes need it."""
    node = overlay_nodes.add("vtkMRMLColorTableNode", "colors", "EfficientSeg priority", volumeNode)
    node.SetTypeToUser()
    node.SetHideFromEditors(True)
    node.SetNumberOfColors(COLORS)
    node.GetLookupTable().SetTableRange(0.0, 1.0)
    steps = np.linspace(0, 1, len(RAMP))
    for index in range(COLORS):
        place = index / (COLORS - 1)
        color = [float(np.interp(place, steps, [step[part] for step in RAMP])) for part in range(3)]
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
