"""The panel's first rows: volume, model, effort, Segment and Stop, progress. What is shown follows from the parameter
node, the preflight findings and the run; nothing is computed here.
"""

from collections.abc import Callable
from contextlib import contextmanager

import slicer

from EfficientSegBridge import node_choice, sections, theme
from EfficientSegBridge.beginnings import Beginnings
from EfficientSegBridge.bundle_browser import BundleBrowser
from EfficientSegBridge.effort_row import EffortRow
from EfficientSegBridge.model_row import ModelRow
from EfficientSegBridge.panel_state import PanelState
from EfficientSegBridge.parameters import Listener, Parameters
from EfficientSegBridge.preflight_line import PreflightLine
from EfficientSegBridge.python_row import PythonRow
from EfficientSegBridge.question import Question
from EfficientSegBridge.refine_here import RefineHere
from EfficientSegBridge.status_line import StatusLine
from EfficientSegBridge.torch_installer import TorchInstaller
from EfficientSegBridge.torch_probe import TorchProbe, TorchState
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import EfficientSegError
from EfficientSegLib.geometry import PatchBox


class Panel(Listener):
    """Joins the widgets of EfficientSeg.ui with the logic.

    Args:
        root: the .ui's widget.
        ui: its children by name.
        logic: an EfficientSegLogic.
        probe: asks for PyTorch; a test may hand in its own.
    """

    def __init__(self, root, ui, logic, probe: TorchProbe | None = None) -> None:
        self._root, self._ui, self._logic = root, ui, logic
        self._node = self._guiTag = self._nodeTag = None
        self._warnings: list[str] = []
        self._segmentOnceInstalled = False
        self._status = StatusLine(ui)
        self.say = self._status.say  # text, level: under the progress bar
        self._installer = TorchInstaller(self.say, self._showState)
        self._probe = probe or TorchProbe(self._onTorch)
        self._model = ModelRow(ui, self._onBundle)
        self._question = Question(logic, self._model)
        self._browser = BundleBrowser(
            self._question.paceOf,
            lambda: logic.running or logic.studies.running,
            self._onBundle,
            self._onBundlesChanged,
        )
        self._effort = EffortRow(ui, self._onEffort)
        self._refine = RefineHere(ui, lambda: self._question.volume, self._onPlace, self.saying, self.say)
        self._state = PanelState(ui, logic, self._question, self._effort, self._refine, lambda: self.installing)
        self._python = PythonRow(ui, self._onPython)
        self._begin = Beginnings(logic, self._question, self._python, self)
        sections.place(root, ui)
        self._sections = sections.Sections(ui, logic, self)
        self._preflight = PreflightLine(ui, self._check, self._onAction)
        theme.setIcons(ui)
        self._connect()
        logic.onLog = self._status.log

    def _connect(self) -> None:
        ui = self._ui
        ui.segmentButton.connect("clicked()", self.onSegment)
        ui.anewButton.connect("clicked()", self.onAnew)
        ui.stopButton.connect("clicked()", self._logic.stopSegmentation)
        ui.browseButton.connect("clicked()", self._onBrowse)

    @property
    def parameterNode(self):
        """What the scene remembers of the panel; None while the scene is closed."""
        return self._node

    @property
    def externalPython(self) -> str:
        """The interpreter that runs the worker; empty for Slicer's own."""
        return self._python.path

    @property
    def torchState(self) -> TorchState:
        """What is known of PyTorch in the chosen Python."""
        return self._probe.state

    @property
    def installing(self) -> bool:
        """True while PyTorch is being installed."""
        return self._installer.running

    def install(self) -> None:
        """Install PyTorch after asking, through its extension."""
        self._onAction("install")

    @property
    def bundle(self):
        """The chosen bundle; None where there is none that can be used."""
        return self._question.bundle

    def setParameterNode(self, node) -> None:
        """Show this parameter node, or none while the scene is closed or another module is open."""
        if self._node is not None:
            self._node.disconnectGui(self._guiTag)
            self._node.RemoveObserver(self._nodeTag)
        self._node = node
        self._state.setParameterNode(node)
        self._sections.setParameterNode(node)
        if node is None:
            self._preflight.stop()
            return
        if node.volume is None:
            node.volume = node_choice.firstVolume()
        self._guiTag = node.connectGui(self._root)
        self._nodeTag = node.AddObserver("ModifiedEvent", self._onParameters)
        self._onParameters()
        self._check()

    def forgetScene(self) -> None:
        """The scene is closed: nothing of its runs is shown any more."""
        self._sections.setRun(None)
        self._sections.setSegmentation(None)
        self.say("")
        self._showState()

    def probe(self, again: bool = False) -> None:
        """Look whether PyTorch works in the chosen Python; the answer comes later."""
        self._probe.ask(self._python.path, again)

    def cleanup(self) -> None:
        self._logic.onLog = None
        self._refine.cancel()
        self._python.stop()
        self._browser.cleanup()
        self._probe.stop()
        self._sections.cleanup()
        self.setParameterNode(None)

    def onSegment(self) -> None:
        """Segment was clicked, or More; a second click during a run does nothing."""
        goal = self._state.goal
        self._ask(self._begin.segment if goal is None else lambda _parameters: self._begin.more(goal))

    def onAnew(self) -> None:
        """Segment from the beginning, whatever there is."""
        self._ask(self._begin.segment)

    def _ask(self, start: Callable[[Parameters], object]) -> None:
        if self._node is None or self._logic.running or self._installer.running:
            return
        with slicer.util.tryWithErrorDisplay(_("The run could not be started.")), self.saying():
            if self._torchIsMissing():
                self._segmentOnceInstalled = self._install()
                return
            choice = self._question.choice
            if choice is None or choice.bundle is None:
                self.say(choice.trouble if choice else _("No model is chosen."), "error")
                return
            start(self.parameters())

    @contextmanager
    def saying(self):
        """Errors meant for the user are said under the button."""
        try:
            yield
        except EfficientSegError as error:
            self.say(str(error), "error")
            self._showState()

    def _torchIsMissing(self) -> bool:
        return self._probe.state.state == "missing" and not self._python.path

    def _onAction(self, action: str) -> None:
        with slicer.util.tryWithErrorDisplay(_("PyTorch could not be installed.")), self.saying():
            if action == "install":
                self._install()

    def _install(self) -> bool:
        """Install PyTorch after asking, then look again; False if the answer was no."""
        installed = self._installer.run()
        if installed:
            self.probe(again=True)
        return installed

    def _onPlace(self, box: PatchBox) -> None:
        """A place was shown that is to be read next: of the result, of the run under way, or of the next run."""
        if self._logic.running:
            with slicer.util.tryWithErrorDisplay(_("The run could not be started.")), self.saying():
                self._begin.refine(box)
        elif self._begin.canRefine():
            self._ask(lambda _parameters: self._begin.refine(box))
        else:
            self._ask(lambda parameters: self._begin.segment(parameters.withWishes(first=(box,))))

    def parameters(self) -> Parameters:
        """What is asked for now; see Question.parameters."""
        return self._question.parameters()

    def rememberPace(self, parameters: Parameters, volumeNode, pace) -> None:
        """Another part of the panel has measured how long things take."""
        self._question.rememberPace(parameters, volumeNode, pace)
        self._state.showEffort()

    # What the run tells

    def runStarted(self, run) -> None:
        self._warnings = []
        if run.running:
            self._status.clearLog()
        self._sections.setRun(run)
        node_choice.keepResult(self._node, run)
        self._showState()

    def runProgress(self, fraction: float, text: str) -> None:
        if fraction >= 0:
            self._ui.progressBar.value = round(1000 * fraction)
        self.say(text)
        self._showState()

    def runChanged(self) -> None:
        self._showOverlay()
        self._question.rememberRun(self._logic.run)
        self._state.showEffort()
        self._sections.refresh()

    def runWarned(self, text: str) -> None:
        self._warnings.append(text)

    def runEnded(self) -> None:
        run = self._logic.run
        node_choice.keepResult(self._node, run)
        node_choice.keepFitting(self._node)
        if self._node is not None:
            self._sections.setSegmentation(self._node.segmentation)
        text = " ".join([run.text, *self._warnings])
        self.say(text, "error" if run.failure and run.state == "failed" else "ok")
        self.runChanged()
        self._showState()

    # What the user does

    def _onParameters(self, *_arguments) -> None:
        node = self._node
        if node is None:
            return
        if not self._logic.running:
            node_choice.keepFitting(node)
        self._model.show(node.bundle)
        self._state.showEffort()
        self._sections.setSegmentation(node.segmentation)
        self._showOverlay()
        self._showState()
        self._preflight.soon()

    def _onEffort(self, place: int) -> None:
        if self._node is not None:
            self._node.effort = int(place)

    def _onBundle(self, folder: str) -> None:
        if self._node is not None:
            self._node.bundle = folder

    def _onBrowse(self) -> None:
        choice = self._question.choice
        self._browser.show(str(choice.folder) if choice is not None else "")

    def _onBundlesChanged(self) -> None:
        """There are other models than before; the chosen one may be gone."""
        self._model.fill()
        self._onParameters()

    def _onPython(self) -> None:
        self.probe()
        self._check()

    def _onTorch(self, state: TorchState) -> None:
        self._check()
        if self._segmentOnceInstalled:
            self._segmentOnceInstalled = False
            if state.state == "ok":
                self.onSegment()

    # What is shown

    def _check(self) -> None:
        if self._node is not None:
            self._preflight.show(self._state.findings(self._probe.state))
            self._showState()

    def _showOverlay(self) -> None:
        """What is ticked now, also where that was changed during the run."""
        if self._node is not None:
            self._logic.overlay.setVisible(self._node.showBoxes, self._node.showCoverage, self._node.showTokens)

    def _showState(self) -> None:
        self._state.show()
        self._sections.refresh()
