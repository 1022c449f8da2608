"""The class weights as bars and in words."""

from collections.abc import Mapping

import qt

from EfficientSegBridge import words
from EfficientSegBridge.findings import Findings

ROW_HEIGHT = 22
MOST_ROWS = 10  # shown without scrolling


class ClassWeightsTable:
    """Shows how far each structure trusts the detail patches.

    Args:
        table: a QTableWidget with two columns.
        label: says the same in sentences.
    """

    def __init__(self, table, label) -> None:
        self._table, self._label = table, label
        self._shown: Mapping[str, float] | None = None
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.ResizeMode.ResizeToContents)

    def show(self, findings: Findings) -> bool:
        """Show them; False where there are none, and then nothing is seen."""
        weights = findings.classWeights
        if weights != self._shown:
            self._shown = dict(weights)
            self._fill({int(value): weight for value, weight in weights.items()}, findings)
        self._table.setVisible(bool(weights))
        self._label.setVisible(bool(weights))
        return bool(weights)

    def _fill(self, weights: dict[int, float], findings: Findings) -> None:
        table = self._table
        labels = [label for label in findings.labels if label.value in weights]
        table.setRowCount(len(labels))
        for row, label in enumerate(labels):
            said = words.trust(label, weights[label.value])
            item = qt.QTableWidgetItem(label.name)
            item.setToolTip(said)
            item.setFlags(qt.Qt.ItemFlag.ItemIsEnabled)
            table.setItem(row, 0, item)
            table.setCellWidget(row, 1, self._bar(weights[label.value], said))
            table.setRowHeight(row, ROW_HEIGHT)
        rows = min(len(labels), MOST_ROWS)
        table.setFixedHeight(table.horizontalHeader().sizeHint.height() + rows * ROW_HEIGHT + 4)
        self._label.text = words.weightsSentence(weights, labels)

    def _bar(self, weight: float, tip: str):
        bar = qt.QProgressBar()
        bar.maximum = 100
        bar.value = round(100 * weight)
        bar.format = f"{weight:.2f}"
        bar.toolTip = tip
        return bar
