"""The Result part of the panel: the table of segments, statistics, 3D, hand-off to the Segment Editor, undo."""

from collections.abc import Iterator

import slicer

from EfficientSegBridge import surfaces
from EfficientSegBridge.editor_hand_off import openEditor
from EfficientSegBridge.findings_section import FindingsSection
from EfficientSegBridge.segment_parts import CLOSED_SURFACE
from EfficientSegBridge.statistics_part import StatisticsPart
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.translation import _

STATUS_MS = 3000


class ResultSection(FindingsSection):
    """Shows one segmentation; during and after a run that of the run."""

    UI = "Result.ui"

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._statistics = StatisticsPart(ui, panel)
        self._making3D = Steps(self._onTrouble3D)
        ui.show3DButton.connect("toggled(bool)", self._onShow3D)
        ui.editButton.connect("clicked()", self._onEdit)
        ui.undoButton.connect("clicked()", self._onUndo)
        self.refresh()

    def setSegmentation(self, node) -> None:
        """The segmentation of the parameter node; that of a run under way comes first."""
        if not self._logic.running:
            self._named = node
        self.refresh()

    def refresh(self) -> None:
        """Show what there is now."""
        self.followRun()
        node = self.segmentation
        table = self._ui.segmentsTable
        if table.segmentationNode() is not node:
            table.setSegmentationNode(node)
        running = self._logic.running
        if running or node is None:
            self._making3D.clear()
        self._ui.editButton.enabled = node is not None and not running
        self._ui.show3DButton.enabled = node is not None and not running
        self._ui.undoButton.enabled = self.isLatest and self._run.canUndo
        shown = node is not None and node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE)
        shown = shown or self._making3D.busy
        wasBlocked = self._ui.show3DButton.blockSignals(True)
        self._ui.show3DButton.checked = shown
        self._ui.show3DButton.blockSignals(wasBlocked)
        self._statistics.show(self.record, self.volume, running)

    def cleanup(self) -> None:
        super().cleanup()
        self._making3D.clear()
        self._statistics.cleanup()

    def _onShow3D(self, shown: bool) -> None:
        node = self.segmentation
        self._making3D.clear()
        if node is None:
            return
        if shown:
            slicer.util.showStatusMessage(_("Making the 3D surfaces"), STATUS_MS)
            self._making3D.add(self._show3D(node))
        else:
            node.RemoveClosedSurfaceRepresentation()

    def _show3D(self, node) -> Iterator[None]:
        yield from surfaces.making(node)
        if slicer.mrmlScene.IsNodePresent(node):
            node.GetDisplayNode().SetVisibility3D(True)
            self._center()

    def _onTrouble3D(self, error: Exception) -> None:
        self._panel.say(_("The surfaces could not be made: {error}").format(error=error), "error")
        self.refresh()

    def _center(self) -> None:
        layout = slicer.app.layoutManager()
        if layout is not None and layout.threeDViewCount > 0:
            layout.threeDWidget(0).threeDView().resetFocalPoint()

    def _onEdit(self) -> None:
        if self.segmentation is not None:
            with slicer.util.tryWithErrorDisplay(_("The Segment Editor could not be opened.")):
                openEditor(self.segmentation, self.volume)

    def _onUndo(self) -> None:
        if self._run is not None:
            run = self._run
            shows3D = self._ui.show3DButton.checked
            run.undo()
            self._named = run.segments.node
            self.refresh()
            if shows3D and self.segmentation is not None and not self._ui.show3DButton.checked:
                self._onShow3D(True)
                self.refresh()
