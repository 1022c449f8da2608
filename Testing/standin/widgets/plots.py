"""Stand-ins for the plot view and the plot widget: the chart node's series, drawn from their tables."""

from itertools import pairwise
from typing import Any, NamedTuple

import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .base import Watch, fill, standin


class Series(NamedTuple):
    """What one vtkMRMLPlotSeriesNode says."""

    name: str
    labels: list
    x: list
    y: list
    color: tuple
    bars: bool


def read_series(node: Any) -> Series | None:
    """The data of a series node, or None where its table or column is missing."""
    table = node.GetTableNode().GetTable() if node.GetTableNode() is not None else None
    column = table.GetColumnByName(node.GetYColumnName() or "") if table is not None else None
    if column is None:
        return None
    rows = range(column.GetNumberOfValues())
    y = [column.GetVariantValue(row).ToDouble() for row in rows]
    across = table.GetColumnByName(node.GetXColumnName() or "")
    x = [across.GetVariantValue(row).ToDouble() for row in rows] if across is not None else list(map(float, rows))
    words = table.GetColumnByName(node.GetLabelColumnName() or "")
    labels = [words.GetVariantValue(row).ToString() for row in rows] if words is not None else []
    bars = node.GetPlotType() == node.PlotTypeBar
    return Series(node.GetName() or "", labels, list(map(float, rows)) if bars else x, y, node.GetColor(), bars)


@standin(QtWidgets.QWidget)
class qMRMLPlotView:
    """Draws the chart of a vtkMRMLPlotViewNode."""

    def _setup(self) -> None:
        self._view = None
        self._watch = Watch(self, "_changed")
        self.setMinimumSize(120, 90)

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._view = node
        self._changed()

    def _chart(self) -> Any:
        return self._view.GetPlotChartNode() if self._view is not None else None

    def _series(self) -> list[Series]:
        chart = self._chart()
        count = chart.GetNumberOfPlotSeriesNodes() if chart is not None else 0
        found = [read_series(chart.GetNthPlotSeriesNode(i)) for i in range(count)]
        return [series for series in found if series is not None and series.y]

    def _changed(self) -> None:
        """Watch the view, its chart, series and tables, and draw again."""
        self._watch.clear()
        chart = self._chart()
        watched = [self._view, chart]
        for i in range(chart.GetNumberOfPlotSeriesNodes() if chart is not None else 0):
            node = chart.GetNthPlotSeriesNode(i)
            watched += [node, node.GetTableNode()]
        for thing in watched:
            self._watch.observe(thing, vtk.vtkCommand.ModifiedEvent)
        self.update()

    def fitToContent(self) -> None:
        self.update()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect, self.palette.color(QtGui.QPalette.Base))
        painter.setPen(self.palette.color(QtGui.QPalette.Text))
        chart, series = self._chart(), self._series()
        if chart is not None and chart.GetTitle():
            painter.drawText(QtCore.QRect(0, 2, self.width, 18), int(QtCore.Qt.AlignCenter), chart.GetTitle())
        if series:
            paint_series(painter, QtCore.QRectF(44, 40, self.width - 54, self.height - 40 - 34), series)
            if chart.GetYAxisTitle():
                painter.drawText(QtCore.QPointF(2, 32), chart.GetYAxisTitle())
            if chart.GetXAxisTitle():
                box = QtCore.QRect(44, self.height - 16, self.width - 54, 16)
                painter.drawText(box, int(QtCore.Qt.AlignCenter), chart.GetXAxisTitle())
        painter.end()


def paint_series(painter: QtGui.QPainter, area: QtCore.QRectF, series: list[Series]) -> None:
    """Axes with their limits, then bars or lines, then the labels under them."""
    bars = any(s.bars for s in series)
    top = max(max(s.y) for s in series)
    low = min(0.0, min(min(s.y) for s in series)) if bars else min(min(s.y) for s in series)
    top = top if top > low else low + 1.0
    left = min(min(s.x) for s in series) - (0.5 if bars else 0.0)
    right = max(max(s.x) for s in series) + (0.5 if bars else 0.0)
    right = right if right > left else left + 1.0

    def place(x: float, y: float) -> QtCore.QPointF:
        across = area.left() + (x - left) / (right - left) * area.width()
        return QtCore.QPointF(across, area.bottom() - (y - low) / (top - low) * area.height())

    painter.drawLine(area.bottomLeft(), area.bottomRight())
    painter.drawLine(area.bottomLeft(), area.topLeft())
    for value in (low, top):
        box = QtCore.QRectF(0, place(left, value).y() - 8, area.left() - 4, 16)
        painter.drawText(box, int(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter), f"{value:.3g}")
    ink = painter.pen()
    width = 0.8 / sum(s.bars for s in series) if bars else 0.0
    for number, one in enumerate(series):
        color = QtGui.QColor.fromRgbF(*one.color)
        if one.bars:
            for x, y in zip(one.x, one.y):
                start = x - 0.4 + number * width
                painter.fillRect(QtCore.QRectF(place(start, y), place(start + width, 0.0)).normalized(), color)
        else:
            painter.setPen(QtGui.QPen(color, 2))
            points = [place(x, y) for x, y in zip(one.x, one.y)]
            for a, b in pairwise(points):
                painter.drawLine(a, b)
            painter.setPen(ink)
        for x, words in zip(one.x, one.labels if number == 0 else []):
            cell = area.width() / max(len(one.x), 1)
            shown = painter.fontMetrics().elidedText(words, QtCore.Qt.ElideRight, int(cell))
            box = QtCore.QRectF(place(x, low).x() - cell / 2, area.bottom() + 2, cell, 16)
            painter.drawText(box, int(QtCore.Qt.AlignCenter), shown)


@standin(QtWidgets.QWidget)
class qMRMLPlotWidget:
    """A plot view with a frame of its own."""

    def _setup(self) -> None:
        self._plot = qMRMLPlotView(self)
        self._node = None
        fill(self, self._plot)

    def plotView(self) -> Any:
        return self._plot

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def mrmlAbstractViewNode(self) -> Any:
        return self._node

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._node = node
        self._plot.setMRMLPlotViewNode(node)

    def setMRMLAbstractViewNode(self, node: Any) -> None:
        self.setMRMLPlotViewNode(node)

    def _scene_changed(self, scene: Any) -> None:
        self._plot.setMRMLScene(scene)
