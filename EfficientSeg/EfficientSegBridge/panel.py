"""The panel's first rows: volume, model, effort, Segment and Stop, progress. What is shown follows from the parameter
node, the preflight findings and the run; nothing is computed here.
"""

import html
from collections.abc import Callable
from contextlib import contextmanager

import slicer

from EfficientSegBridge import efforts, preflight, sections, theme
from EfficientSegBridge.bundle_browser import BundleBrowser
from EfficientSegBridge.effort_row import EffortRow
from EfficientSegBridge.model_row import ModelRow
from EfficientSegBridge.parameters import Listener, Parameters
from EfficientSegBridge.preflight_line import PreflightLine
from EfficientSegBridge.python_row import PythonRow
from EfficientSegBridge.question import Question
from EfficientSegBridge.refine_here import RefineHere
from EfficientSegBridge.segment_button import SegmentButton
from EfficientSegBridge.segment_parts import belongsTo
from EfficientSegBridge.structures_list import StructuresList
from EfficientSegBridge.torch_installer import TorchInstaller
from EfficientSegBridge.torch_probe import TorchProbe, TorchState
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import EfficientSegError
from EfficientSegLib.geometry import PatchBox

LOG_LINES = 2000


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
        self._node = None
        self._guiTag = None
        self._nodeTag = None
        self._warnings: list[str] = []
        self._segmentOnceInstalled = False
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
        self._button = SegmentButton(ui)
        self._structures = StructuresList(ui)
        self._refine = RefineHere(ui, lambda: self._question.volume, self._onPlace, self.saying, self.say)
        self._python = PythonRow(ui, self._onPython)
        sections.place(root, ui)
        self._sections = sections.make(ui, logic, self)
        self._preflight = PreflightLine(ui, self._check, self._onAction)
        theme.setIcons(ui)
        ui.logText.maximumBlockCount = LOG_LINES
        self._connect()
        logic.onLog = self._onLog

    def _connect(self) -> None:
        ui = self._ui
        ui.segmentButton.connect("clicked()", self.onSegment)
        ui.anewButton.connect("clicked()", self.onAnew)
        ui.stopButton.connect("clicked()", self._logic.stopSegmentation)
        ui.browseButton.connect("clicked()", self._onBrowse)
        ui.statusLabel.connect("linkActivated(QString)", self._onLink)

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
        self._question.node = node
        self._structures.setParameterNode(node)
        for section in self._sections:
            section.setParameterNode(node)
        if node is None:
            self._preflight.stop()
            return
        if node.volume is None:
            node.volume = firstVolume()
        self._guiTag = node.connectGui(self._root)
        self._nodeTag = node.AddObserver("ModifiedEvent", self._onParameters)
        self._onParameters()
        self._check()

    def forgetScene(self) -> None:
        """The scene is closed: nothing of its runs is shown any more."""
        for section in self._sections:
            section.setRun(None)
            section.setSegmentation(None)
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
        for section in self._sections:
            section.cleanup()
        self.setParameterNode(None)

    def onSegment(self) -> None:
        """Segment was clicked, or More; a second click during a run does nothing."""
        self._ask(self._more if self._button.goal is not None else self._start)

    def onAnew(self) -> None:
        """Segment from the beginning, whatever there is."""
        self._ask(self._start)

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

    def _start(self, parameters: Parameters) -> None:
        self._logic.startSegmentation(self._node.volume, parameters, self, self._python.path)

    def _more(self, parameters: Parameters) -> None:
        self._node.effort = self._button.goal
        self._logic.more(efforts.EFFORTS[self._node.effort], parameters)

    def _onPlace(self, box: PatchBox) -> None:
        """A place was shown that is to be read next: of the result, of the run under way, or of the next run."""
        if self._logic.running or self._question.reading() is not None:
            with slicer.util.tryWithErrorDisplay(_("The run could not be started.")), self.saying():
                self._logic.refineHere((box,))
        else:
            self._ask(lambda parameters: self._start(parameters.withWishes(first=(box,))))

    def parameters(self) -> Parameters:
        """What is asked for now; see Question.parameters."""
        return self._question.parameters()

    # What the run tells

    def runStarted(self, run) -> None:
        self._warnings = []
        if run.running:
            self._ui.logText.setPlainText("")
        for section in self._sections:
            section.setRun(run)
        self._keepResult()
        self._showState()

    def runProgress(self, fraction: float, text: str) -> None:
        if fraction >= 0:
            self._ui.progressBar.value = round(1000 * fraction)
        self.say(text)
        self._showState()

    def runChanged(self) -> None:
        self._question.rememberPace(self._logic.run)
        self._showEffort()
        self._refreshSections()

    def runWarned(self, text: str) -> None:
        self._warnings.append(text)

    def runEnded(self) -> None:
        run = self._logic.run
        self._keepResult()
        self._keepSegmentationFitting()
        if self._node is not None:
            self._setSegmentation(self._node.segmentation)
        text = " ".join([run.text, *self._warnings])
        self.say(text, "error" if run.failure and run.state == "failed" else "ok")
        self.runChanged()
        self._showState()

    def _keepResult(self) -> None:
        """The next run goes into the segmentation of the latest result."""
        run = self._logic.run
        if run.canUndo and self._node is not None and run.volumeNode is self._node.volume:
            self._node.segmentation = run.segments.node

    # What the user does

    def _onParameters(self, *_arguments) -> None:
        node = self._node
        if node is None:
            return
        self._keepSegmentationFitting()
        self._model.show(node.bundle)
        self._showEffort()
        self._setSegmentation(node.segmentation)
        self._logic.overlay.setBoxesVisible(node.showBoxes)
        self._logic.overlay.setCoverageVisible(node.showCoverage)
        self._showState()
        self._preflight.soon()

    def _keepSegmentationFitting(self) -> None:
        """A result belongs to one volume: with another one chosen, the next result goes into a new segmentation."""
        node = self._node
        if node is None or node.segmentation is None or node.volume is None or self._logic.running:
            return
        if not belongsTo(node.segmentation, node.volume):
            node.segmentation = None

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

    def _onLink(self, link: str) -> None:
        if link == "log":
            self._ui.advancedButton.collapsed = False
            self._ui.logButton.collapsed = False

    def _onLog(self, line: str) -> None:
        self._ui.logText.appendPlainText(line)

    # What is shown

    def _showEffort(self) -> None:
        question, node = self._question, self._node
        if node is None:
            return
        if question.hasOrder:
            self._effort.show(node.effort, question.pace(), question.reading(), question.pace(continues=True))
        else:
            self._effort.showWithoutOrder(node.effort)
        self._structures.show(question.bundle, question.hasOrder)

    def _check(self) -> None:
        if self._node is None:
            return
        choice = self._question.choice
        self._preflight.show(
            preflight.check(
                self._node.volume,
                choice.bundle if choice else None,
                self._probe.state,
                self._node.device,
                choice.trouble if choice else "",
            )
        )
        self._showState()

    def _showState(self) -> None:
        running = self._logic.running
        ui = self._ui
        ready = self._node is not None and self._node.volume is not None
        idle = ready and not running and not self._installer.running
        question, place = self._question, self._node.effort if self._node is not None else 0
        reading = question.reading()
        self._button.show(idle, place, reading, question.pace(continues=True), question.isRemembered())
        why = "" if question.hasOrder else _("This model reads every place at full detail.")
        self._refine.enable(ready and question.bundle is not None and not why, why)
        ui.anewButton.enabled = idle and self._button.goal is not None
        ui.stopButton.enabled = running
        ui.progressBar.setVisible(running)
        for widget in (ui.volumeSelector, ui.bundleSelector, ui.browseButton, ui.segmentationSelector):
            widget.setEnabled(not running)
        ui.effortSlider.enabled = not running and question.hasOrder
        self._refreshSections()

    def _refreshSections(self) -> None:
        for section in self._sections:
            section.refresh()

    def _setSegmentation(self, node) -> None:
        for section in self._sections:
            section.setSegmentation(node)

    def say(self, text: str, level: str = "") -> None:
        """Say it under the progress bar; level "error" with a sign and a way to the log."""
        said = html.escape(text)
        if level == "error":
            said = f"{theme.mark('error')} {said} {theme.link('log', _('Details'))}"
        self._ui.statusLabel.text = said
        self._ui.statusLabel.setVisible(bool(text))


def firstVolume():
    """The first volume of grey values in the scene; None where there is none."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((node for node in volumes if node.GetClassName() == "vtkMRMLScalarVolumeNode"), None)
