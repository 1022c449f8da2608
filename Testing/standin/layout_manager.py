"""`slicer.app.layoutManager()`: Slicer's layout logic decides which views there are; each gets one widget here."""

from __future__ import annotations

import slicer
import vtk

from .signals import Emitter
from .views import SliceWidget, ThreeDWidget


class PlotWidget:
    """`layoutManager.plotWidget(0)`: tells which chart is shown; it draws none."""

    def __init__(self, node: slicer.vtkMRMLPlotViewNode) -> None:
        self._node = node

    def mrmlPlotViewNode(self) -> slicer.vtkMRMLPlotViewNode:
        return self._node


class LayoutManager(Emitter):
    """The part of qSlicerLayoutManager that knows slice, 3D and plot views; there are no table views."""

    SIGNALS = ("layoutChanged(int)",)

    def __init__(self, application_logic: slicer.vtkSlicerApplicationLogic) -> None:
        super().__init__()
        self._application_logic = application_logic
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLScene(slicer.mrmlScene)
        self._slice_widgets: dict[str, SliceWidget] = {}
        self._three_d_widgets: list[ThreeDWidget] = []
        self._plot_widgets: list[PlotWidget] = []
        self._layout_seen = self.layout
        node = self._layout_logic.GetLayoutNode()
        # Others change the node directly, such as the Plots logic that shows a chart.
        node.AddObserver("ModifiedEvent", lambda *_: self._layout_node_modified())
        self.setLayout(node.SlicerLayoutFourUpView)

    @property
    def layout(self) -> int:
        return self._layout_logic.GetLayoutNode().GetViewArrangement()

    @property
    def threeDViewCount(self) -> int:
        return len(self._three_d_widgets)

    @property
    def tableViewCount(self) -> int:
        return 0

    @property
    def plotViewCount(self) -> int:
        return len(self._plot_widgets)

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return self._layout_logic

    def setLayout(self, layout: int) -> None:
        """One of the numbers of vtkMRMLLayoutNode.SlicerLayout; views that it needs are made."""
        self._layout_logic.GetLayoutNode().SetViewArrangement(layout)

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slice_widgets)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._slice_widgets.get(name)

    def threeDWidget(self, index: int) -> ThreeDWidget | None:
        return self._three_d_widgets[index] if 0 <= index < len(self._three_d_widgets) else None

    def plotWidget(self, index: int) -> PlotWidget | None:
        return self._plot_widgets[index] if 0 <= index < len(self._plot_widgets) else None

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        return self._application_logic.GetSliceLogics()

    def activeMRMLThreeDViewNode(self) -> slicer.vtkMRMLViewNode | None:
        return self._three_d_widgets[0].mrmlViewNode() if self._three_d_widgets else None

    def resetSliceViews(self) -> None:
        for widget in self._slice_widgets.values():
            widget.sliceLogic().FitSliceToAll()

    def resetThreeDViews(self) -> None:
        for widget in self._three_d_widgets:
            widget.threeDView().resetFocalPoint()

    def _layout_node_modified(self) -> None:
        if self.layout != self._layout_seen:
            self._layout_seen = self.layout
            self._make_missing_widgets()
            self.layoutChanged.emit(self.layout)

    def _make_missing_widgets(self) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if node.GetLayoutName() not in self._slice_widgets:
                widget = SliceWidget(node)
                self._slice_widgets[node.GetLayoutName()] = widget
                self._application_logic.GetSliceLogics().AddItem(widget.sliceLogic())
        known = {widget.mrmlViewNode().GetID() for widget in self._three_d_widgets}
        for node in slicer.util.getNodesByClass("vtkMRMLViewNode"):
            if node.GetID() not in known:
                widget = ThreeDWidget(node)
                self._three_d_widgets.append(widget)
                self._application_logic.GetViewLogics().AddItem(widget.viewLogic())
        known = {widget.mrmlPlotViewNode().GetID() for widget in self._plot_widgets}
        nodes = slicer.util.getNodesByClass("vtkMRMLPlotViewNode")
        self._plot_widgets += [PlotWidget(node) for node in nodes if node.GetID() not in known]
