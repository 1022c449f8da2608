"""The list of structures under Advanced: which are looked at first, and which become segments."""

import qt

from EfficientSegLib.bundle import Bundle

NAME, FIRST, KEEP = range(3)  # columns
ROW_HEIGHT = 20


class StructuresList:
    """Shows the labels of the chosen bundle; what is ticked is the parameter node's affair.

    Args:
        ui: the panel's widgets by name.
    """

    def __init__(self, ui) -> None:
        self._table, self._search = ui.structuresTable, ui.structuresSearch
        self._node = None
        self._bundle: Bundle | None = None
        self._shown: tuple | None = None
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(NAME, qt.QHeaderView.ResizeMode.Stretch)
        for column in (FIRST, KEEP):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeMode.ResizeToContents)
        self._table.connect("cellChanged(int,int)", self._onChanged)
        self._search.connect("textChanged(QString)", self._onSearch)

    def setParameterNode(self, node) -> None:
        self._node = node

    def show(self, bundle: Bundle | None, hasOrder: bool) -> None:
        """Show the labels of this bundle.

        Args:
            bundle: None: none is chosen.
            hasOrder: its strategy reads chosen patches, so that some structures can come first.
        """
        first, leftOut = _ticked(self._node)
        wanted = (bundle.folder if bundle else "", hasOrder, first, leftOut)
        if wanted != self._shown:
            self._shown, self._bundle = wanted, bundle
            self._fill(first, leftOut, hasOrder)

    def _fill(self, first: tuple[int, ...], leftOut: tuple[int, ...], hasOrder: bool) -> None:
        blocked = self._table.blockSignals(True)
        labels = self._bundle.shown_labels if self._bundle else ()
        self._table.setRowCount(len(labels))
        for row, label in enumerate(labels):
            name = qt.QTableWidgetItem(label.name)
            name.setFlags(qt.Qt.ItemFlag.ItemIsEnabled)
            self._table.setItem(row, NAME, name)
            self._table.setItem(row, FIRST, _box(label.value in first, hasOrder))
            self._table.setItem(row, KEEP, _box(label.value not in leftOut, True))
            self._table.setRowHeight(row, ROW_HEIGHT)
        self._table.blockSignals(blocked)
        self._onSearch(self._search.text)

    def _onChanged(self, row: int, column: int) -> None:
        """A box was ticked or unticked: by the mouse, or by the space bar."""
        if self._node is None or self._bundle is None or column == NAME:
            return
        value = self._bundle.shown_labels[row].value
        ticked = self._table.item(row, column).checkState() == qt.Qt.CheckState.Checked
        first, leftOut = (set(values) for values in _ticked(self._node))
        if column == FIRST:
            self._node.structuresFirst = sorted(first | {value} if ticked else first - {value})
        else:
            self._node.structuresLeftOut = sorted(leftOut - {value} if ticked else leftOut | {value})

    def _onSearch(self, text: str) -> None:
        for row in range(self._table.rowCount):
            self._table.setRowHidden(row, text.lower() not in self._table.item(row, NAME).text().lower())


def _ticked(node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (tuple(node.structuresFirst), tuple(node.structuresLeftOut)) if node is not None else ((), ())


def _box(ticked: bool, enabled: bool):
    item = qt.QTableWidgetItem("")
    flags = qt.Qt.ItemFlag.ItemIsUserCheckable | qt.Qt.ItemFlag.ItemIsSelectable
    item.setFlags(flags | qt.Qt.ItemFlag.ItemIsEnabled if enabled else flags)
    item.setCheckState(qt.Qt.CheckState.Checked if ticked else qt.Qt.CheckState.Unchecked)
    return item
