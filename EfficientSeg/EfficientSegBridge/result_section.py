"""The Result part of the panel: the table of segments, statistics, 3D, hand-off to the Segment Editor, undo."""

import slicer

from EfficientSegBridge.editor_hand_off import openEditor
from EfficientSegBridge.findings_section import FindingsSection
from EfficientSegBridge.segment_parts import CLOSED_SURFACE
from EfficientSegBridge.statistics_part import StatisticsPart
from EfficientSegBridge.translation import _


class ResultSection(FindingsSection):
    """Shows one segmentation; during and after a run that of the run."""

    UI = "Result.ui"

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._statistics = StatisticsPart(ui, panel)
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
        if self._isLatest() and self._run.state in ("running", "done", "stopped") and self._run.segments.started:
            self._named = self._run.segments.node
        node = self.segmentation
        table = self._ui.segmentsTable
        if table.segmentationNode() is not node:
            table.setSegmentationNode(node)
        running = self._logic.running
        self._ui.editButton.enabled = node is not None and not running
        self._ui.show3DButton.enabled = node is not None and not running
        self._ui.undoButton.enabled = self._isLatest() and self._run.canUndo
        shown = node is not None and node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE)
        wasBlocked = self._ui.show3DButton.blockSignals(True)
        self._ui.show3DButton.checked = shown
        self._ui.show3DButton.blockSignals(wasBlocked)
        self._statistics.show(self.record, self.volume, running)

    def cleanup(self) -> None:
        super().cleanup()
        self._statistics.cleanup()

    def _isLatest(self) -> bool:
        return self._run is not None and self._run is self._logic.run

    def _onShow3D(self, shown: bool) -> None:
        node = self.segmentation
        if node is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The surfaces could not be made."), waitCursor=True):
            if shown:
                node.CreateClosedSurfaceRepresentation()
                node.GetDisplayNode().SetVisibility3D(True)
                self._center()
            else:
                node.RemoveClosedSurfaceRepresentation()

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
            run.undo()
            self._named = run.segments.node
            self.refresh()
