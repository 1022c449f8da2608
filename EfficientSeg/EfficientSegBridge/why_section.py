"""The "Why here?" part of the panel: boxes, how much was read, and the class weights as bars and in words."""

import qt
import slicer

from EfficientSegBridge import words
from EfficientSegBridge.section import Section
from EfficientSegBridge.translation import _

ROW_HEIGHT = 22
MOST_ROWS = 10  # shown without scrolling


class WhySection(Section):
    """Shows what one run looked at."""

    UI = "Why.ui"

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._shown: dict[int, float] = {}
        self._before = ui.patchesLabel.text  # what is said until the first run
        ui.chartButton.connect("clicked()", self._onChart)
        ui.weightsTable.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.ResizeMode.ResizeToContents)

    def refresh(self) -> None:
        weights = dict(self._run.classWeights) if self._run is not None else {}
        if weights != self._shown:
            self._shown = weights
            self._fill(weights)
        has = bool(weights)
        self._ui.weightsTable.setVisible(has)
        self._ui.weightsLabel.setVisible(has)
        self._ui.chartButton.setVisible(has and self._logic.overlay.chartNode is not None)
        if self._run is None:
            self._ui.patchesLabel.text = self._before
        elif self._run.patchesSaid:
            self._ui.patchesLabel.text = self._run.patchesSaid

    def _fill(self, weights: dict[int, float]) -> None:
        table = self._ui.weightsTable
        labels = (
            [label for label in self._run.parameters.bundle.shown_labels if label.value in weights] if weights else []
        )
        table.setRowCount(len(labels))
        for row, label in enumerate(labels):
            item = qt.QTableWidgetItem(label.name)
            item.setToolTip(words.trust(label, weights[label.value]))
            item.setFlags(qt.Qt.ItemFlag.ItemIsEnabled)
            table.setItem(row, 0, item)
            table.setCellWidget(row, 1, self._bar(weights[label.value], words.trust(label, weights[label.value])))
            table.setRowHeight(row, ROW_HEIGHT)
        rows = min(len(labels), MOST_ROWS)
        table.setFixedHeight(table.horizontalHeader().sizeHint.height() + rows * ROW_HEIGHT + 4)
        self._ui.weightsLabel.text = words.weightsSentence(weights, labels)

    def _bar(self, weight: float, tip: str):
        bar = qt.QProgressBar()
        bar.maximum = 100
        bar.value = round(100 * weight)
        bar.format = f"{weight:.2f}"
        bar.toolTip = tip
        return bar

    def _onChart(self) -> None:
        chart = self._logic.overlay.chartNode
        if chart is not None:
            with slicer.util.tryWithErrorDisplay(_("The chart could not be shown.")):
                slicer.modules.plots.logic().ShowChartInLayout(chart)
