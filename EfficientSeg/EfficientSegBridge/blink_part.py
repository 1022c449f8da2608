"""Coarse ⇄ refined: a button and a key that show the coarse labels in the place of the refined ones, and back; of a run
of this session, and of a result that was loaded with its scene.
"""

from collections.abc import Iterator

import qt
import vtk

from EfficientSegBridge import coarse_source, coarse_view
from EfficientSegBridge.findings_section import FindingsSection
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.translation import _

KEY = "Ctrl+B"


class BlinkPart(FindingsSection):
    """Works on the button of the Result section; it has no .ui file of its own."""

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._button = ui.blinkButton
        self._usualTip = self._button.toolTip
        self._steps = Steps(self._onTrouble)
        self._button.connect("toggled(bool)", self._onToggled)
        ui.editButton.connect("clicked()", self.off)  # what is edited is what is seen
        self._shortcut = qt.QShortcut(qt.QKeySequence(KEY), self._button)
        self._shortcut.connect("activated()", self._button.click)
        self._observed: tuple | None = None  # the display node of what is hidden for the coarse labels

    def setParameterNode(self, node) -> None:
        super().setParameterNode(node)
        if node is not None:
            coarse_view.mend()

    def setRun(self, run) -> None:
        self.off()
        super().setRun(run)

    def refresh(self) -> None:
        self.followRun()
        trouble = self._trouble()
        if self._button.enabled != (not trouble):
            self._button.enabled = not trouble
        tip = trouble or self._usualTip
        if self._button.toolTip != tip:
            self._button.toolTip = tip
        if trouble or (self._logic.overlay.coarseIsShown and not coarse_view.isMade(self.segmentation)):
            self.off()

    def off(self) -> None:
        """Refined, as it is kept."""
        self._steps.clear()
        self._showCoarse(False)
        blocked = self._button.blockSignals(True)
        self._button.checked = False
        self._button.blockSignals(blocked)

    def cleanup(self) -> None:
        self.off()
        self._shortcut.setEnabled(False)
        super().cleanup()

    def _holder(self):
        """The run of this session that holds the coarse labels of what is shown; None where the record has to do."""
        run = self._run
        return run if run is not None and run.coarseLabels is not None and run.segments.started else None

    def _trouble(self) -> str:
        """Why there is nothing to be compared; empty where there is."""
        run = self._holder()
        if run is not None and run.segments.node is self.segmentation:
            return ""
        if self.isLive:
            return _("The overview is not there yet.")
        if self.segmentation is None or self.volume is None:
            return _("There is no result yet.")
        return coarse_source.trouble(self.record)

    def _onToggled(self, coarse: bool) -> None:
        self._steps.clear()
        if coarse and not coarse_view.isMade(self.segmentation):
            self._steps.add(self._making())
        else:
            self._showCoarse(coarse)

    def _making(self) -> Iterator[None]:
        node, volume, run = self.segmentation, self.volume, self._holder()
        if run is not None and run.segments.node is node:
            bundle = run.parameters.bundle
            coarse, name, labels = run.coarseLabels, bundle.name, bundle.shown_labels
        else:
            findings, changes = self.record.findings, self.record.changes
            coarse = yield from coarse_source.ofRecord(node, volume, findings, changes)
            name, labels = findings.bundle, findings.labels
        yield from coarse_view.making(coarse, name, labels, node, volume)
        self._showCoarse(True)

    def _showCoarse(self, shown: bool) -> None:
        """Coarse or refined; while coarse is shown, a segment that the user hides is hidden there too."""
        self._logic.overlay.showCoarse(shown)
        if self._observed is not None:
            observed, tag = self._observed
            observed.RemoveObserver(tag)
            self._observed = None
        display = self.segmentation.GetDisplayNode() if shown and self.segmentation is not None else None
        if display is not None:
            tag = display.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_arguments: coarse_view.hideAlike())
            self._observed = display, tag

    def _onTrouble(self, error: Exception) -> None:
        self.off()
        self._panel.say(_("The coarse labels could not be shown: {error}").format(error=error), "error")
