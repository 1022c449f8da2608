"""The Compare part of the panel: two models, methods or efforts on the chosen volume, side by side."""

import qt
import slicer

from EfficientSegBridge import bundles, comparison_views, comparison_words, device_choice, efforts
from EfficientSegBridge.comparison import SIDES
from EfficientSegBridge.comparison_views import ComparisonViews
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.section import Section
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import EfficientSegError, OptionError

FIRST_EFFORTS = {"A": 0, "B": efforts.USUAL}  # places of the effort slider
ROW_PIXELS = 22


class CompareSection(Section):
    """Shows the logic's comparison, `logic.comparison`."""

    UI = "Compare.ui"

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._comparison = logic.comparison
        self._comparison.onChanged = self.refresh
        self._views = ComparisonViews()
        self._choices: list[bundles.Choice] = []
        self._said = ""
        self._tabled: list[tuple] = []
        self._state = self._comparison.state
        header = ui.compareTable.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.ResizeMode.Stretch)
        for column in (1, 2, 3):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeMode.ResizeToContents)
        ui.compareTable.verticalHeader().setDefaultSectionSize(ROW_PIXELS)
        for side in SIDES:
            effort = self._box("Effort", side)
            for name in comparison_words.effortChoices():
                effort.addItem(name)
            effort.currentIndex = FIRST_EFFORTS[side]
            self._box("Bundle", side).connect("currentIndexChanged(int)", lambda _row, side=side: self._onBundle(side))
            self._box("Strategy", side).connect("currentIndexChanged(int)", lambda _row: self.refresh())
        ui.compareSectionButton.connect("contentsCollapsed(bool)", self._onCollapsed)
        ui.compareStartButton.connect("clicked()", self._onStart)
        ui.compareStopButton.connect("clicked()", self._comparison.stop)
        ui.compareViewsButton.connect("clicked()", self._onViews)
        self.refresh()

    def setParameterNode(self, node) -> None:
        if node is None:
            qt.QTimer.singleShot(0, self._views.back)  # not amid the closing of a scene: a layout makes nodes
        elif not self._views.shown:
            comparison_views.mend()
        self.refresh()

    def cleanup(self) -> None:
        super().cleanup()
        self._views.back()
        self._comparison.onChanged = None

    def refresh(self) -> None:
        ui, comparison = self._ui, self._comparison
        if comparison.state != self._state:
            self._state = comparison.state
            self._said = ""
            if comparison.state == "done":
                self._rememberPaces()
                self._show()
        idle = not comparison.running
        node = self._panel.parameterNode
        ui.compareStartButton.enabled = (
            idle and not self._logic.running and bool(self._choices) and node is not None and node.volume is not None
        )
        ui.compareStopButton.enabled = not idle
        ui.compareViewsButton.enabled = comparison.state == "done"
        ui.compareViewsButton.text = _("My own views") if self._views.shown else _("Side by side")
        ui.compareProgress.setVisible(not idle)
        ui.compareProgress.value = round(1000 * comparison.fraction)
        said = comparison.text if not idle else self._said or comparison.text
        ui.compareStatusLabel.text = said
        ui.compareStatusLabel.setVisible(bool(said))
        for side in SIDES:
            for kind in ("Bundle", "Strategy", "Effort"):
                self._box(kind, side).enabled = idle
            way = self._way(side)
            self._box("Effort", side).enabled = idle and way is not None and way.hasOrder
        self._showTable()

    # What the user does

    def _onCollapsed(self, collapsed: bool) -> None:
        if not collapsed:
            self._fill()

    def _onBundle(self, side: str) -> None:
        """Offer the ways in which this model can read."""
        choice, box = self._choice(side), self._box("Strategy", side)
        blocked = box.blockSignals(True)
        box.clear()
        for name in comparison_words.strategies(choice.bundle) if choice is not None else ():
            box.addItem(name)
        box.blockSignals(blocked)
        self.refresh()

    def _onStart(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The comparison could not be started.")):
            try:
                self._said = ""
                self._views.back()
                ways = tuple(self._way(side) for side in SIDES)
                if None in ways:
                    raise OptionError(
                        _("No model is chosen."), why=_("A and B need one each."), mend=_("Add a model at the top.")
                    )
                node = self._panel.parameterNode
                self._comparison.start(node.volume, ways, self._panel.externalPython)
            except EfficientSegError as error:
                self._said = str(error)
            self.refresh()

    def _onViews(self) -> None:
        if self._views.shown:
            self._views.back()
        else:
            self._show()
        self.refresh()

    # What is shown

    def _box(self, kind: str, side: str):
        return getattr(self._ui, f"compare{kind}{side}")

    def _choice(self, side: str) -> bundles.Choice | None:
        row = self._box("Bundle", side).currentIndex
        return self._choices[row] if 0 <= row < len(self._choices) else None

    def _way(self, side: str) -> Parameters | None:
        """What is asked of one side, of the whole volume; device and threads as they are chosen above."""
        choice, node = self._choice(side), self._panel.parameterNode
        if choice is None or node is None:
            return None
        return Parameters(
            choice.bundle,
            patches=efforts.EFFORTS[self._box("Effort", side).currentIndex],
            strategy=self._box("Strategy", side).currentText or None,
            device=device_choice.resolve(node.device),
            threads=node.threads or None,
        )

    def _fill(self) -> None:
        """Look again which models there are; what was chosen here stays, else it is the model above."""
        chosen = {side: str(choice.folder) for side in SIDES if (choice := self._choice(side)) is not None}
        self._choices = [choice for choice in bundles.choices() if choice.bundle is not None]
        current = self._panel.bundle
        folders = [str(choice.folder) for choice in self._choices]
        for side in SIDES:
            box = self._box("Bundle", side)
            blocked = box.blockSignals(True)
            box.clear()
            for choice in self._choices:
                box.addItem(choice.title)
            wanted = [chosen.get(side, ""), current.folder if current is not None else ""]
            box.currentIndex = next((folders.index(folder) for folder in wanted if folder in folders), 0)
            box.blockSignals(blocked)
            self._onBundle(side)

    def _show(self) -> None:
        comparison = self._comparison
        nodes = [comparison.volumeNode, *(side.node for side in comparison.sides)]
        if all(node is not None and slicer.mrmlScene.IsNodePresent(node) for node in nodes):
            self._views.show(*nodes)
        else:
            self._said = _("A or B is not in the scene any more.")

    def _rememberPaces(self) -> None:
        """What was measured here counts for the next run of the same kind."""
        for side in self._comparison.sides:
            self._panel.rememberPace(side.parameters, self._comparison.volumeNode, side.pace)

    def _showTable(self) -> None:
        table, comparison = self._ui.compareTable, self._comparison
        done = comparison.state == "done"
        table.setVisible(done)
        rows = comparison_words.rows(comparison.sides, comparison.agreements) if done else []
        if rows == self._tabled:
            return
        self._tabled = rows
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate(row):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(number, column, item)
        for number, side in enumerate(comparison.sides if done else ()):
            table.horizontalHeaderItem(number + 1).setToolTip(comparison_words.title(side.parameters))
