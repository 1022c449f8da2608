"""Stand-ins for the segments table and the table view."""

from typing import Any

import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .base import Watch, emit, fill, standin

VISIBLE, COLOR, OPACITY, NAME, STATUS = range(5)
STATES = ("Not started", "In progress", "Completed", "Flagged")
COLUMN_OF = {
    "visibilityColumnVisible": VISIBLE,
    "colorColumnVisible": COLOR,
    "opacityColumnVisible": OPACITY,
    "statusColumnVisible": STATUS,
}
STATUS_TAG = "Segmentation.Status"


def eye(visible: bool, ink: QtGui.QColor) -> QtGui.QIcon:
    """An eye, open or struck out."""
    picture = QtGui.QPixmap(16, 16)
    picture.fill(QtCore.Qt.transparent)
    painter = QtGui.QPainter(picture)
    painter.setRenderHint(QtGui.QPainter.Antialiasing)
    painter.setPen(QtGui.QPen(ink, 1.4))
    painter.drawEllipse(QtCore.QRectF(1, 4, 14, 8))
    if visible:
        painter.setBrush(ink)
        painter.drawEllipse(QtCore.QRectF(5.5, 5.5, 5, 5))
    else:
        painter.drawLine(2, 14, 14, 2)
    painter.end()
    return QtGui.QIcon(picture)


@standin(QtWidgets.QWidget)
class qMRMLSegmentsTableView:
    """The segments of a segmentation: eye, colour, opacity, name, status."""

    def _setup(self) -> None:
        self._node = None
        self._filling = False
        self._hidden = ()
        self._rows = ()  # what stands in each row
        self._watch = Watch(self, "_refresh")
        self._table = QtWidgets.QTableWidget(0, 5, self)
        self._table.setHorizontalHeaderLabels(["", "", "Opacity", "Name", "Status"])
        self._table.horizontalHeader().setSectionResizeMode(QtWidgets.QHeaderView.ResizeToContents)
        self._table.horizontalHeader().setSectionResizeMode(NAME, QtWidgets.QHeaderView.Stretch)
        self._table.verticalHeader().hide()
        self._table.horizontalHeader().hide()
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self._table.itemClicked.connect(self._clicked)
        self._table.itemChanged.connect(self._edited)
        self._table.selectionModel().selectionChanged.connect(self._selected)
        fill(self, self._table)

    def _column(name: str) -> Any:
        def write(self: Any, value: bool) -> None:
            self._values[name] = value
            self._table.setColumnHidden(COLUMN_OF[name], not value)

        return write

    _set_visibilityColumnVisible = _column("visibilityColumnVisible")
    _set_colorColumnVisible = _column("colorColumnVisible")
    _set_opacityColumnVisible = _column("opacityColumnVisible")
    _set_statusColumnVisible = _column("statusColumnVisible")
    del _column

    def _set_headerVisible(self, value: bool) -> None:
        self._values["headerVisible"] = value
        self._table.horizontalHeader().setVisible(value)

    def _get_selectionMode(self) -> int:
        return self._table.selectionMode

    def _set_selectionMode(self, value: int) -> None:
        self._table.selectionMode = value

    def _get_segmentCount(self) -> int:
        return len(self._ids())

    def _set_textFilter(self, value: str) -> None:
        self._values["textFilter"] = value
        self._refill()

    def tableWidget(self) -> QtWidgets.QTableWidget:
        return self._table

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node if node is not None and node.IsA("vtkMRMLSegmentationNode") else None
        self._refill()

    def _scene_changed(self, scene: Any) -> None:
        self.setSegmentationNode(None)

    def _ids(self) -> list[str]:
        return list(self._node.GetSegmentation().GetSegmentIDs()) if self._node is not None else []

    def displayedSegmentIDs(self) -> list[str]:
        return [self.segmentIDForRow(row) for row in range(self._table.rowCount)]

    def segmentIDForRow(self, row: int) -> str:
        item = self._table.item(row, NAME)
        return item.data(QtCore.Qt.UserRole) if item is not None else ""

    def rowForSegmentID(self, segment_id: str) -> int:
        ids = self.displayedSegmentIDs()
        return ids.index(segment_id) if segment_id in ids else -1

    def selectedSegmentIDs(self) -> list[str]:
        rows = sorted({item.row() for item in self._table.selectedItems()})
        return [self.segmentIDForRow(row) for row in rows]

    def setSelectedSegmentIDs(self, ids: list[str]) -> None:
        self._table.clearSelection()
        model, choose = self._table.selectionModel(), QtCore.QItemSelectionModel.Select
        for row in [self.rowForSegmentID(i) for i in ids]:
            if row >= 0:
                model.select(self._table.model().index(row, NAME), choose | QtCore.QItemSelectionModel.Rows)

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def setHideSegments(self, ids: list[str]) -> None:
        self._hidden = tuple(ids)
        self._refill()

    def hideSegments(self) -> list[str]:
        return list(self._hidden)

    def _refresh(self) -> None:
        """Something of the node has changed: as in Slicer, only the rows concerned are written again."""
        rows = self._wanted()
        if [row[0] for row in rows] != [row[0] for row in self._rows]:
            self._refill()
            return
        self._filling = True
        for number, (row, shown) in enumerate(zip(rows, self._rows)):
            if row != shown:
                self._write(number, row)
        self._rows = rows
        self._filling = False

    def _wanted(self) -> tuple[tuple, ...]:
        """Per row: segment, visibility, opacity, name, status, colour."""
        rows = []
        display = self._node.GetDisplayNode() if self._node is not None else None
        for segment_id in self._ids():
            segment = self._node.GetSegmentation().GetSegment(segment_id)
            if self.textFilter.lower() not in segment.GetName().lower() or segment_id in self._hidden:
                continue
            text = vtk.reference("")
            segment.GetTag(STATUS_TAG, text)
            status = STATES[int(str(text))] if str(text).isdigit() else STATES[0]
            visible = display is None or bool(display.GetSegmentVisibility(segment_id))
            opacity = 1.0 if display is None else display.GetSegmentOpacity2DFill(segment_id)
            rows.append((segment_id, visible, opacity, segment.GetName(), status, segment.GetColor()))
        return tuple(rows)

    def _refill(self) -> None:
        """Read the node again and watch the node, its segments and its display."""
        self._watch.clear()
        keep = self.selectedSegmentIDs() if self._table.rowCount else []
        self._filling = True
        self._table.setRowCount(0)
        if self._node is not None:
            segmentation, display = self._node.GetSegmentation(), self._node.GetDisplayNode()
            events = (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified)
            self._watch.observe(segmentation, *events, segmentation.SegmentsOrderModified)
            self._watch.observe(display, vtk.vtkCommand.ModifiedEvent)
        self._rows = self._wanted()
        for number, row in enumerate(self._rows):
            self._table.insertRow(number)
            self._write(number, row)
        self._filling = False
        self.setSelectedSegmentIDs(keep)

    def _write(self, number: int, row: tuple) -> None:
        segment_id, visible, opacity, name, status, color = row
        items = [QtWidgets.QTableWidgetItem(words) for words in ("", "", f"{opacity:.2f}", name, status)]
        items[VISIBLE].setIcon(eye(visible, self.palette.color(QtGui.QPalette.Text)))
        items[COLOR].setBackground(QtGui.QColor.fromRgbF(*color))
        for column, item in enumerate(items):
            if column != NAME or self.readOnly:
                item.setFlags(item.flags() & ~int(QtCore.Qt.ItemIsEditable))
            item.setData(QtCore.Qt.UserRole, segment_id)
            self._table.setItem(number, column, item)

    def _clicked(self, item: QtWidgets.QTableWidgetItem) -> None:
        display = self._node.GetDisplayNode() if self._node is not None else None
        if item.column() == VISIBLE and display is not None:
            segment_id = item.data(QtCore.Qt.UserRole)
            display.SetSegmentVisibility(segment_id, not display.GetSegmentVisibility(segment_id))

    def _edited(self, item: QtWidgets.QTableWidgetItem) -> None:
        if not self._filling and item.column() == NAME:
            self._node.GetSegmentation().GetSegment(item.data(QtCore.Qt.UserRole)).SetName(item.text())

    def _selected(self, chosen: QtCore.QItemSelection, left: QtCore.QItemSelection) -> None:
        if not self._filling:
            emit(self, "selectionChanged(QItemSelection,QItemSelection)", chosen, left)


@standin(QtWidgets.QTableView)
class qMRMLTableView:
    """The columns of a vtkMRMLTableNode."""

    def _setup(self) -> None:
        self._node = None
        self._filling = False
        self._watch = Watch(self, "_refill")
        self._model = QtGui.QStandardItemModel(self)
        self._model.itemChanged.connect(self._edited)
        self.setModel(self._model)
        self.selectionModel().selectionChanged.connect(self._selected)

    def _selected(self) -> None:
        emit(self, "selectionChanged()")

    def mrmlTableNode(self) -> Any:
        return self._node

    def setMRMLTableNode(self, node: Any) -> None:
        self._node = node if node is not None and node.IsA("vtkMRMLTableNode") else None
        self._refill()

    def _set_transposed(self, value: bool) -> None:
        self._values["transposed"] = value
        self._refill()

    def _refill(self) -> None:
        self._watch.clear()
        self._watch.observe(self._node, vtk.vtkCommand.ModifiedEvent)
        self._filling = True
        self._model.clear()
        if self._node is not None:
            table = self._node.GetTable()
            names = [table.GetColumnName(c) or "" for c in range(table.GetNumberOfColumns())]
            rows = [
                [table.GetValue(r, c).ToString() for c in range(len(names))] for r in range(table.GetNumberOfRows())
            ]
            self._show(names, rows)
        self._filling = False

    def _show(self, names: list[str], rows: list[list[str]]) -> None:
        if self.transposed:
            for name, cells in zip(names, zip(*rows)):
                self._model.appendRow([QtGui.QStandardItem(text) for text in cells])
                self._model.setVerticalHeaderItem(self._model.rowCount() - 1, QtGui.QStandardItem(name))
            return
        self._model.setHorizontalHeaderLabels(names)
        for cells in rows:
            self._model.appendRow([QtGui.QStandardItem(text) for text in cells])

    def _edited(self, item: QtGui.QStandardItem) -> None:
        if not self._filling and not self._node.GetLocked():
            row, column = (item.column(), item.row()) if self.transposed else (item.row(), item.column())
            self._node.GetTable().SetValue(row, column, vtk.vtkVariant(item.text()))
            self._node.Modified()
