"""The runs of a session, one after the other: which is the latest, what can be added to its result, the way back."""

from collections.abc import Callable
from dataclasses import replace

import qt
import slicer

from EfficientSegBridge.loaded_result import LoadedResult
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.run import SegmentationRun
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import EfficientSegError, OptionError
from EfficientSegLib.geometry import PatchBox

UNDO_STEPS = 3  # each keeps the labels of its run: 0.2 GB for 512 x 512 x 400 voxels


class RunChain:
    """Runs follow each other; one at a time.

    Args:
        make: makes a run from a volume node, parameters, listener, and the earlier run and the loaded result that it
            goes on from or None; it does not start it.
    """

    def __init__(self, make: Callable[..., SegmentationRun]) -> None:
        self._make = make
        self.run: SegmentationRun | None = None
        self._wanted: tuple[PatchBox, ...] = ()  # Refine here during a run: read once it has stopped

    @property
    def running(self) -> bool:
        return self.run is not None and self.run.running

    @property
    def result(self) -> SegmentationRun | None:
        """The latest run whose result stands; None where there is none, or its nodes were deleted."""
        run = self.run
        while run is not None and not run.canUndo:
            run = run.before
        if run is None:
            return None
        scene = slicer.mrmlScene
        return run if scene.IsNodePresent(run.volumeNode) and scene.IsNodePresent(run.segments.node) else None

    def start(
        self,
        volumeNode,
        parameters: Parameters,
        listener,
        earlier: SegmentationRun | None = None,
        loaded: LoadedResult | None = None,
    ) -> SegmentationRun:
        """Begin a run, which is then the latest.

        Raises:
            EfficientSegError: it cannot be started; nothing was changed.
        """
        before = self.result
        run = self._make(volumeNode, parameters, listener, earlier, loaded)
        run.before = before
        latest, self.run = self.run, run
        run.onEnded, run.onUndone = self._onEnded, lambda: self._onUndone(run)
        try:
            run.start()
        except EfficientSegError:
            self.run = latest
            raise
        _forget(run)
        return run

    def canAdd(self, volumeNode, parameters: Parameters) -> bool:
        """True if the result is this volume's, of the same model asked in the same way, and in the same place."""
        result = self.result
        return (
            result is not None
            and result.volumeNode is volumeNode
            and parameters.hasOrder
            and result.parameters.sameQuestion(parameters)
            and parameters.segmentation is result.segments.node
        )

    def more(self, patches: int | None, parameters: Parameters | None = None) -> SegmentationRun:
        """Go on from the result until so many patches are read in all; None: all.

        Args:
            parameters: as they are asked for now; None: as they were.

        Raises:
            OptionError: there is no result to go on from.
        """
        result = self._needResult()
        parameters = parameters or result.parameters
        parameters = parameters.withWishes(first=result.parameters.wishes.first, onlyFirst=False)
        return self._goOn(result, replace(parameters, patches=patches))

    def refineHere(self, boxes: tuple[PatchBox, ...]) -> SegmentationRun:
        """Read the patches over these boxes of the volume next: of the result, or at once during a run, which stops
        and goes on with them; nothing is read twice.

        Raises:
            OptionError: there is no result to go on from, or its strategy reads no chosen patches.
        """
        if self.running:
            _refuseWithoutOrder(self.run.parameters)
            self._wanted += tuple(boxes)
            self.run.stop(_("This place comes next"))
            return self.run
        result = self._needResult()
        _refuseWithoutOrder(result.parameters)
        first = (*result.parameters.wishes.first, *boxes)
        parameters = result.parameters.withWishes(first=first, onlyFirst=True)
        if result.state == "stopped":
            # A worker that has forgotten the result reads it again: what was read, not what was asked for.
            parameters = replace(parameters, patches=result.patchesRead)
        return self._goOn(result, parameters)

    def goOnLoaded(self, loaded: LoadedResult, parameters: Parameters, listener) -> SegmentationRun:
        """Add patches to a result of an earlier session, until so many are read in all as `parameters` say; the places
        that its user had pointed at are kept.

        Raises:
            EfficientSegError: the run cannot be started.
        """
        first = (*loaded.wishes.first, *parameters.wishes.first)
        parameters = replace(parameters.withWishes(first=first), segmentation=loaded.segmentation)
        return self.start(loaded.volumeNode, parameters, listener, loaded=loaded)

    def forget(self) -> None:
        """The scene is gone."""
        self.run = None
        self._wanted = ()

    def _needResult(self) -> SegmentationRun:
        result = self.result
        if result is None:
            raise OptionError(
                _("There is no result yet."),
                why=_("More patches are added to a result of this session."),
                mend=_("Click Segment first."),
            )
        return result

    def _goOn(self, result: SegmentationRun, parameters: Parameters) -> SegmentationRun:
        parameters = replace(parameters, segmentation=result.segments.node)
        return self.start(result.volumeNode, parameters, result.listener, earlier=result)

    def _onEnded(self) -> None:
        run, wanted = self.run, self._wanted
        self._wanted = ()
        if run.state == "failed" or not wanted:
            if not run.canUndo and self.result is not None:
                self.result.showOverlay()  # the one of before stands again
            return
        # Not from within the event that ended it: the worker is told the next request after this one is settled.
        qt.QTimer.singleShot(0, lambda: self._goThere(run, wanted))

    def _goThere(self, run: SegmentationRun, boxes: tuple[PatchBox, ...]) -> None:
        """Begin again where a run was stopped, with these boxes first and what is left of its effort."""
        if self.run is not run or not slicer.mrmlScene.IsNodePresent(run.volumeNode):
            return  # undone, forgotten, or another one is at work by now
        parameters = run.parameters.withWishes(first=(*run.parameters.wishes.first, *boxes), onlyFirst=False)
        with slicer.util.tryWithErrorDisplay(_("The run could not be started.")):
            if run.canUndo:
                self._goOn(run, parameters)
            else:
                self.start(run.volumeNode, parameters, run.listener, earlier=run.before if run.continues else None)

    def _onUndone(self, run: SegmentationRun) -> None:
        if run.before is not None and run.before.canUndo:
            self.run = run.before
            if self.result is self.run and run.loaded is None:
                self.run.showOverlay()
        self.run.listener.runStarted(self.run)


def _refuseWithoutOrder(parameters: Parameters) -> None:
    if not parameters.hasOrder:
        raise OptionError(
            _("{strategy} reads the whole volume.").format(strategy=parameters.strategyName),
            why=_("There are no patches to choose from."),
            mend=_("Nothing is needed: every place is read at full detail."),
        )


def _forget(run: SegmentationRun) -> None:
    """Let go of what is further back than can be undone."""
    for _step in range(UNDO_STEPS - 1):
        if run.before is None:
            return
        run = run.before
    run.before = None
