"""EfficientSeg in 3D Slicer: the module, its panel, its logic and its test. What they do lies in EfficientSegBridge."""

import sys
import time
import unittest
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

HERE = Path(__file__).resolve().parent
ROOT = HERE if (HERE / "EfficientSegLib").is_dir() else HERE.parent  # installed tree, or checkout
for folder in (str(HERE), str(ROOT)):
    if folder not in sys.path:
        sys.path.insert(0, folder)

from EfficientSegBridge import coarse_view, comparison_views, run_folder, sample_data
from EfficientSegBridge.comparison import Comparison
from EfficientSegBridge.interpreter import workerCommand
from EfficientSegBridge.loaded_result import LoadedResult
from EfficientSegBridge.loaded_run import LoadedRun
from EfficientSegBridge.overlay import Overlay
from EfficientSegBridge.panel import Panel
from EfficientSegBridge.parameter_node import EfficientSegParameterNode
from EfficientSegBridge.parameters import Listener, Parameters
from EfficientSegBridge.run import SegmentationRun
from EfficientSegBridge.run_chain import RunChain
from EfficientSegBridge.studies import Studies
from EfficientSegBridge.worker_process import WorkerProcess
from EfficientSegLib.errors import OptionError


class EfficientSeg(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "EfficientSeg"
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]  # as Slicer's own modules say it
        parent.dependencies = []
        parent.contributors = ["EfficientSeg contributors"]
        parent.helpText = _(
            "Segments a CT or MR volume in a background process, on the processor or a GPU. A quick look at the "
            "whole volume gives a coarse result within seconds; then the most useful patches are read at full "
            "detail, and the segmentation is refined while you watch. Research only, not for patient care. "
            "Set-up and help, in the panel, opens a tutorial with pictures and its own sample CT."
        )
        parent.acknowledgementText = _(
            "Methods: NMSW (no more sliding windows), SegMate, STP with token completion, and Swin SMT; please cite "
            "the papers named in the README. The sample CT is a test file of TotalSegmentator (Apache-2.0)."
        )
        # Slicer looks for icons beside this file only; in a checkout the resources lie one folder up.
        parent.icon = qt.QIcon(str(ROOT / "Resources" / "Icons" / "EfficientSeg.png"))
        slicer.app.connect("startupCompleted()", sample_data.register)


class EfficientSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Slicer's side of the panel: setting up, entering, leaving, and the scene's coming and going."""

    def __init__(self, parent=None) -> None:
        # First of all: without a parent, the base class calls setup() from its own beginning.
        self.logic = None
        self.panel = None
        self.isOpen = False
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.uiWidget = slicer.util.loadUI(str(ROOT / "Resources" / "UI" / "EfficientSeg.ui"))
        self.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = EfficientSegLogic()
        self.panel = Panel(self.uiWidget, self.ui, self.logic)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        slicer.app.connect("aboutToQuit()", self.logic.stop)
        if getattr(self.parent, "isEntered", False):  # reloaded while it is open: Slicer does not enter it again
            self.enter()
        else:
            self.panel.setParameterNode(self.logic.getParameterNode())

    def enter(self) -> None:
        """The module is opened: connect the panel, and look whether PyTorch is there."""
        self.isOpen = True
        self.panel.setParameterNode(self.logic.getParameterNode())
        self.panel.probe()

    def exit(self) -> None:
        """Another module is opened; the panel stays connected, because a run goes on and its result is remembered."""
        self.isOpen = False

    def cleanup(self) -> None:
        """The module is unloaded or reloaded."""
        self.isOpen = False
        self.removeObservers()
        if self.panel is not None:
            self.panel.cleanup()
        if self.logic is not None:
            slicer.app.disconnect("aboutToQuit()", self.logic.stop)
            self.logic.stop()

    def onSceneStartClose(self, caller, event) -> None:
        self.panel.setParameterNode(None)
        self.logic.forgetScene()

    def onSceneEndClose(self, caller, event) -> None:
        self.panel.forgetScene()
        if self.isOpen:
            self.panel.setParameterNode(self.logic.getParameterNode())

    def onSceneStartImport(self, caller, event) -> None:
        """A scene is being loaded: its nodes come one by one, and selectors would write wrong ones back."""
        self.panel.setParameterNode(None)

    def onSceneEndImport(self, caller, event) -> None:
        qt.QTimer.singleShot(0, self.showLoadedScene)  # the selectors hear of the new nodes after this event

    def showLoadedScene(self) -> None:
        coarse_view.mend()
        comparison_views.mend()
        if self.isOpen:
            self.panel.setParameterNode(self.logic.getParameterNode())

    def onReload(self) -> None:
        """Forget the parts too, so that Reload reads all files again."""
        for name in list(sys.modules):
            if name.partition(".")[0] in ("EfficientSegBridge", "EfficientSegLib"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class EfficientSegLogic(ScriptedLoadableModuleLogic):
    """Segments volumes, with or without a panel; one at a time, in one warm background process.

    Args:
        makeWorker: makes the WorkerProcess for the path of an external Python ("" is Slicer's own).
    """

    def __init__(self, makeWorker=None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.overlay = Overlay()
        self.chain = RunChain(self._makeRun)
        self.onLog = None
        self._makeWorker = makeWorker or (lambda externalPython: WorkerProcess(workerCommand(externalPython)))
        self._worker = None
        self._workerPython = self._python = ""
        self.studies = Studies(self.warmWorker, lambda: self.running or self.comparison.running)
        self.comparison = Comparison(self.warmWorker, lambda: self.running or self.studies.running)
        run_folder.sweep()

    def getParameterNode(self) -> EfficientSegParameterNode:
        return EfficientSegParameterNode(super().getParameterNode())

    @property
    def run(self) -> SegmentationRun | None:
        """The latest run."""
        return self.chain.run

    @property
    def result(self) -> SegmentationRun | None:
        """The latest run whose result stands; None where there is none."""
        return self.chain.result

    @property
    def running(self) -> bool:
        return self.chain.running

    @property
    def worker(self):
        """The warm worker, or None before the first run."""
        return self._worker

    def startSegmentation(
        self,
        volumeNode,
        parameters: Parameters,
        listener: Listener | None = None,
        externalPython: str = "",
        waitForCompletion: bool = False,
    ) -> SegmentationRun:
        """Segment a volume in the background; a run under way is left alone and returned.

        Args:
            volumeNode: a vtkMRMLScalarVolumeNode.
            parameters: bundle, number of patches, device and the like.
            listener: told what happens.
            externalPython: an interpreter with torch; empty for Slicer's own.
            waitForCompletion: return when it is over; the application stays responsive meanwhile.

        Raises:
            VolumeError: the volume cannot be segmented; nothing was changed.
        """
        if self.running:
            return self.run
        self._python = externalPython
        run = self.chain.start(volumeNode, parameters, listener or Listener())
        while waitForCompletion and run.running:
            slicer.app.processEvents()
            time.sleep(0.005)
        return run

    def more(self, patches: int | None, parameters: Parameters | None = None) -> SegmentationRun:
        """Read more patches of the result, until so many are read in all; see RunChain.more."""
        return self.chain.more(patches, parameters)

    def refineHere(self, boxes) -> SegmentationRun:
        """Read the patches over these boxes next, of the result or of the run under way; see RunChain.refineHere."""
        return self.chain.refineHere(tuple(boxes))

    def goOnLoaded(
        self, loaded: LoadedResult, parameters: Parameters, listener: Listener | None = None, externalPython: str = ""
    ) -> SegmentationRun:
        """Read more patches of a result that was loaded with its scene; see RunChain.goOnLoaded."""
        self._python = externalPython
        return self.chain.goOnLoaded(loaded, parameters, listener or Listener())

    def undo(self) -> None:
        """Go back one step: the result as it was before the latest run that changed it."""
        if not self.running and self.result is not None:
            self.result.undo()

    def stopSegmentation(self) -> None:
        """End the run after the patch in hand; what is done is kept."""
        if self.run is not None:
            self.run.stop()

    def stop(self) -> None:
        """End the run and the worker now: the application or the module goes."""
        self.studies.forget()
        self.comparison.forget()
        if self.running:
            self.run.abandon(_("Slicer is closing."))
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def forgetScene(self) -> None:
        """The scene is being closed: nothing of it may be held."""
        self.studies.forget()
        self.comparison.forget()
        if self.running:
            self.run.abandon(_("The scene was closed."))
        self.chain.forget()
        self.overlay = Overlay()

    def _makeRun(self, volumeNode, parameters: Parameters, listener: Listener, earlier, loaded) -> SegmentationRun:
        self.studies.refuseOthers()
        self.comparison.refuseOthers()
        worker = self.warmWorker(self._python)
        if loaded is not None:
            return LoadedRun(volumeNode, parameters, worker, self.overlay, listener, loaded)
        return SegmentationRun(volumeNode, parameters, worker, self.overlay, listener, earlier)

    def warmWorker(self, externalPython: str):
        """The one background process, for a request of whoever asks first.

        Raises:
            OptionError: it is at work.
        """
        if self._worker is not None and self._worker.busy:
            raise OptionError(
                _("The background process is at work."),
                why=_("It does one thing at a time: a run, a study, or the device test."),
                mend=_("Wait until that has ended, or stop it."),
            )
        if self._worker is not None and externalPython != self._workerPython:
            self._worker.stop()
            self._worker = None
        if self._worker is None:
            self._worker = self._makeWorker(externalPython)
            self._worker.onLog = lambda line: self.onLog(line) if self.onLog else None
            self._workerPython = externalPython
        return self._worker


class EfficientSegTest(ScriptedLoadableModuleTest):
    """Runs Testing/module, as CTest and Reload and Test do."""

    def runTest(self) -> None:
        folder = str(ROOT / "Testing" / "module")
        # After a reload, test files read earlier would still hold the classes of before.
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(folder):
                del sys.modules[name]
        suite = unittest.TestLoader().discover(folder, top_level_dir=folder)
        if suite.countTestCases() == 0:
            raise AssertionError(f"No tests were found in {folder}.")
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
        if not result.wasSuccessful():
            raise AssertionError(f"{len(result.failures)} tests failed, {len(result.errors)} ended with an error.")
