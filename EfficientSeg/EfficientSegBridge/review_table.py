"""The table of places to review."""

from collections.abc import Callable

import qt

from EfficientSegBridge import review_words
from EfficientSegBridge.patch_words import millilitres
from EfficientSegBridge.review import Review

SIGN, WHERE, WHY, AMOUNT = range(4)
ROW_HEIGHT = 22
MOST_ROWS = 8  # shown without scrolling
RIGHT = int(qt.Qt.AlignmentFlag.AlignRight | qt.Qt.AlignmentFlag.AlignVCenter)
CENTRE = int(qt.Qt.AlignmentFlag.AlignCenter)


class ReviewTable:
    """Shows the places of a review and tells which one is chosen.

    Args:
        table: a QTableWidget with four columns.
        onChosen: told the number of the place in `review.places`.
    """

    def __init__(self, table, onChosen: Callable[[int], None]) -> None:
        self._table, self._onChosen = table, onChosen
        self._rows: list[int] = []  # place of each row
        header = table.horizontalHeader()
        for column in (SIGN, WHY, AMOUNT):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(WHERE, qt.QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        table.connect("itemSelectionChanged()", self._onSelection)

    def fill(self, review: Review, where: Callable[[int], str]) -> None:
        """Show the listed places; `where` says the place of each by its number."""
        table = self._table
        wasBlocked = table.blockSignals(True)
        self._rows = review.listed
        table.setRowCount(len(self._rows))
        for row, index in enumerate(self._rows):
            place, state = review.places[index], review.state(index)
            texts = (
                review_words.sign(state),
                where(index),
                review_words.kind(place),
                millilitres(place.ml),
            )
            tips = (review_words.stateWords(state), where(index), "", "")
            for column, (text, tip) in enumerate(zip(texts, tips)):
                self._set(row, column, text, tip)
            table.setRowHeight(row, ROW_HEIGHT)
        rows = min(len(self._rows), MOST_ROWS)
        table.setFixedHeight(table.horizontalHeader().sizeHint.height() + rows * ROW_HEIGHT + 4)
        table.setVisible(bool(self._rows))
        self._choose(review.current)
        table.blockSignals(wasBlocked)

    def setWhere(self, index: int, text: str) -> None:
        if index in self._rows:
            self._set(self._rows.index(index), WHERE, text, text)

    def _choose(self, index: int) -> None:
        if index in self._rows:
            row = self._rows.index(index)
            self._table.selectRow(row)
            self._table.scrollToItem(self._table.item(row, SIGN))
        else:
            self._table.clearSelection()

    def _set(self, row: int, column: int, text: str, tip: str) -> None:
        item = self._table.item(row, column)
        if item is None:
            item = qt.QTableWidgetItem()
            if column != WHERE:
                align = RIGHT if column == AMOUNT else CENTRE
                item.setData(qt.Qt.ItemDataRole.TextAlignmentRole, align)
            self._table.setItem(row, column, item)
        item.setText(text)
        item.setToolTip(tip)

    def _onSelection(self) -> None:
        rows = self._table.selectionModel().selectedRows()
        if rows:
            self._onChosen(self._rows[rows[0].row()])
