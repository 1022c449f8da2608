"""Coarse ⇄ refined: a button and a key that show the coarse labels in the place of the refined ones, and back."""

import qt
import slicer

from EfficientSegBridge import coarse_view
from EfficientSegBridge.section import Section
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.translation import _

KEY = "Ctrl+B"


class BlinkPart(Section):
    """Works on the button of the Result section; it has no .ui file of its own."""

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._button = ui.blinkButton
        self._steps = Steps(self._onTrouble)
        self._button.connect("toggled(bool)", self._onToggled)
        ui.editButton.connect("clicked()", self.off)  # what is edited is what is seen
        self._shortcut = qt.QShortcut(qt.QKeySequence(KEY), self._button)
        self._shortcut.connect("activated()", self._button.click)
        scene = slicer.mrmlScene
        self._observed = scene, scene.AddObserver(scene.StartSaveEvent, lambda *_arguments: self.off())

    def setRun(self, run) -> None:
        self.off()
        super().setRun(run)

    def refresh(self) -> None:
        run = self._run
        possible = run is not None and run.coarseLabels is not None and run.segments.started
        if self._button.enabled != possible:
            self._button.enabled = possible
        if not possible:
            self.off()

    def off(self) -> None:
        """Refined, as it is kept."""
        self._steps.clear()
        self._logic.overlay.showCoarse(False)
        blocked = self._button.blockSignals(True)
        self._button.checked = False
        self._button.blockSignals(blocked)

    def cleanup(self) -> None:
        self.off()
        self._shortcut.setEnabled(False)
        scene, tag = self._observed
        scene.RemoveObserver(tag)
        super().cleanup()

    def _onToggled(self, coarse: bool) -> None:
        self._steps.clear()
        if coarse and not coarse_view.isMade():
            self._steps.add(self._making())
        else:
            self._logic.overlay.showCoarse(coarse)

    def _making(self):
        run = self._run
        bundle = run.parameters.bundle
        yield from coarse_view.making(run.coarseLabels, bundle, run.segments.node, run.volumeNode)
        self._logic.overlay.showCoarse(True)

    def _onTrouble(self, error: Exception) -> None:
        self.off()
        self._panel.say(_("The coarse labels could not be shown: {error}").format(error=error), "error")
