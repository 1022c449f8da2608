"""The "Why here?" part of the panel: which patches were read, where they lie and what they changed, and the class
weights as bars and in words.
"""

import logging
from collections.abc import Iterator

import slicer

from EfficientSegBridge import patch_words, words, world
from EfficientSegBridge.class_weights_table import ClassWeightsTable
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.findings_section import FindingsSection
from EfficientSegBridge.highlight import Highlight
from EfficientSegBridge.patch_table import PatchTable
from EfficientSegBridge.place_words import PlaceWords
from EfficientSegBridge.slice_clicks import SliceClicks
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.translation import _


class WhySection(FindingsSection):
    """Shows what one run looked at."""

    UI = "Why.ui"

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._before = ui.patchesLabel.text  # what is said until the first run
        self._shownVersion: object = None
        self._shown = Findings()
        self._weights = ClassWeightsTable(ui.weightsTable, ui.weightsLabel)
        self._table = PatchTable(ui.patchesTable, self._onChosen)
        self._highlight = Highlight()
        self._clicks = SliceClicks(self._onClicked)
        self._steps = Steps(self._onTrouble)
        self._saidFor: object = None
        ui.chartButton.connect("clicked()", self._onChart)
        ui.whyButton.connect("contentsCollapsed(bool)", self._onCollapsed)

    def refresh(self) -> None:
        if self.version != self._shownVersion:
            self._shownVersion = self.version
            self._show(self.findings)
        self._ui.chartButton.setVisible(bool(self._shown.classWeights) and self._logic.overlay.chartNode is not None)

    def cleanup(self) -> None:
        super().cleanup()
        self._steps.clear()
        self._clicks.end()
        self._highlight.hide()

    def _show(self, findings: Findings) -> None:
        if findings.patches != self._shown.patches:
            self._table.choose(-1)
            self._saidFor = None
        self._shown = findings
        self._weights.show(findings)
        self._table.fill(findings)
        self._ui.patchesLabel.text = self._howMuch(findings)
        self._sayDetail()
        self._begin()

    def _howMuch(self, findings: Findings) -> str:
        if self.record.trouble and not self.isLive:
            return self.record.trouble
        if findings.candidates:
            said = words.patches(len(findings.patches) if self.isLive else findings.read, findings.candidates)
            return said if self.isLive or self.canGoOn else f"{said} {patch_words.loaded()}"
        if findings.bundle and not self.isLive:
            return _("This strategy chooses no patches.")
        return self._before

    # Only while it is open: places in words, and clicks in the views

    def _onCollapsed(self, collapsed: bool) -> None:
        if collapsed:
            self._clicks.end()
            self._table.choose(-1)
        else:
            self._begin()

    def _begin(self) -> None:
        if self._ui.whyButton.collapsed or not self._shown.patches:
            return
        self._clicks.begin()
        segmentation, volume = self.segmentation, self.volume
        if segmentation is None or volume is None:
            return
        # Names change while patches are read, but not so much that each one were worth a look.
        saidFor = (segmentation.GetID(), self.isLive, self._shown.patches)
        if saidFor != self._saidFor:
            self._saidFor = saidFor
            self._steps.clear()
            self._steps.add(self._saying(PlaceWords(segmentation, volume, self._shown), self._shown))

    def _saying(self, places: PlaceWords, findings: Findings) -> Iterator[None]:
        yield from places.preparing()
        for row, patch in enumerate(findings.patches):
            self._table.setWhere(row, places.say(patch.box))
            yield
        self._sayDetail()

    def _onTrouble(self, error: Exception) -> None:
        logging.error("EfficientSeg: the places of patches cannot be said: %s", error)

    # What the user does

    def _onChosen(self, row: int) -> None:
        self._sayDetail()
        volume = self.volume
        if row < 0 or volume is None:
            self._highlight.hide()
            return
        box = self._shown.patches[row].box
        self._highlight.show(box, volume)
        world.jumpTo(volume, box)

    def _sayDetail(self) -> None:
        row, label = self._table.chosen, self._ui.patchDetailLabel
        chosen = 0 <= row < len(self._shown.patches)
        label.text = patch_words.detail(self._shown, self._shown.patches[row], self._table.where(row)) if chosen else ""
        label.setVisible(chosen)

    def _onClicked(self, point: list[float]) -> None:
        """A place in a slice view: its best patch; at another click in the chosen one, the next that holds it."""
        volume = self.volume
        if volume is None or not self.isOpen(self._ui.patchesTable):
            return
        (voxel,) = world.toVoxels(volume, [point])
        rows = [row for row, patch in enumerate(self._shown.patches) if world.isInside(patch.box, voxel)]
        if rows:
            later = [row for row in rows if row > self._table.chosen] if self._table.chosen in rows else []
            self._choose((later or rows)[0])

    def _choose(self, row: int) -> None:
        """Choose a row without moving the views: the user looks at the place already."""
        self._ui.patchesTable.blockSignals(True)
        self._table.choose(row)
        self._ui.patchesTable.blockSignals(False)
        self._highlight.show(self._shown.patches[row].box, self.volume)
        self._sayDetail()

    def _onChart(self) -> None:
        chart = self._logic.overlay.chartNode
        if chart is not None:
            with slicer.util.tryWithErrorDisplay(_("The chart could not be shown.")):
                slicer.modules.plots.logic().ShowChartInLayout(chart)
