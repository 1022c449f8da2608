"""The table of patches: rank, priority, place, what it changed."""

from collections.abc import Callable

import qt

from EfficientSegBridge import patch_words
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.translation import _

NUMBER, PRIORITY, WHERE, CHANGED = range(4)
ROW_HEIGHT = 22
MOST_ROWS = 8  # shown without scrolling
RIGHT = int(qt.Qt.AlignmentFlag.AlignRight | qt.Qt.AlignmentFlag.AlignVCenter)
SAID_LATER = "…"  # until the place has been looked up


class PatchTable:
    """Shows patches and tells which one is chosen.

    Args:
        table: a QTableWidget with four columns.
        onChosen: told the place in `findings.patches` of the chosen one; -1 for none.
    """

    def __init__(self, table, onChosen: Callable[[int], None]) -> None:
        self._table, self._onChosen = table, onChosen
        self._filling = False
        header = table.horizontalHeader()
        for column in (NUMBER, PRIORITY, CHANGED):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(WHERE, qt.QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        table.connect("itemSelectionChanged()", self._onSelection)

    @property
    def chosen(self) -> int:
        """The row that is chosen, -1 for none."""
        rows = self._table.selectionModel().selectedRows()
        return rows[0].row() if rows else -1

    def fill(self, findings: Findings) -> None:
        """Show these patches; the choice stays where there is still such a row."""
        chosen, table = self.chosen, self._table
        self._filling = True
        table.setRowCount(len(findings.patches))
        for row, patch in enumerate(findings.patches):
            texts = (
                str(patch.rank),
                f"{patch.score:.2f}",
                self.where(row) or SAID_LATER,
                patch_words.changed(findings, patch),
            )
            for column, text in enumerate(texts):
                self._set(row, column, text, patch.rank <= findings.read)
            table.setRowHeight(row, ROW_HEIGHT)
        rows = min(len(findings.patches), MOST_ROWS)
        table.setFixedHeight(table.horizontalHeader().sizeHint.height() + rows * ROW_HEIGHT + 4)
        table.setVisible(bool(findings.patches))
        if 0 <= chosen < len(findings.patches):
            table.selectRow(chosen)
        self._filling = False

    def where(self, row: int) -> str:
        """The place that is said of a row; empty where there is none yet."""
        item = self._table.item(row, WHERE)
        return item.text() if item is not None else ""

    def setWhere(self, row: int, text: str) -> None:
        item = self._table.item(row, WHERE)
        if item is not None:
            item.setText(text)
            item.setToolTip(text)

    def choose(self, row: int) -> None:
        """Choose a row, or none (-1), and bring it into sight."""
        if row < 0:
            self._table.clearSelection()
            return
        self._table.selectRow(row)
        self._table.scrollToItem(self._table.item(row, NUMBER))

    def _set(self, row: int, column: int, text: str, read: bool) -> None:
        item = self._table.item(row, column)
        if item is None:
            item = qt.QTableWidgetItem()
            if column != WHERE:
                item.setData(qt.Qt.ItemDataRole.TextAlignmentRole, RIGHT)
            self._table.setItem(row, column, item)
        item.setText(text)
        item.setToolTip(text if column == WHERE else "" if read else _("It was not read."))

    def _onSelection(self) -> None:
        if not self._filling:
            self._onChosen(self.chosen)
