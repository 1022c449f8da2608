"""One run, from a click to a segmentation: it joins the volume's file, the worker, the segments and the overlay."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import qt

from EfficientSegBridge import nodes, run_folder, words
from EfficientSegBridge.overlay import Overlay
from EfficientSegBridge.parameters import Listener, Parameters
from EfficientSegBridge.record_keeper import RecordKeeper
from EfficientSegBridge.run_findings import RunFindings
from EfficientSegBridge.scene_watch import SceneWatch
from EfficientSegBridge.segments import LiveSegmentation
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.translation import _
from EfficientSegBridge.volume_image import copied
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import whole
from EfficientSegLib.protocol import Event, Failed, Finished, Partial, Progress, Tokens, Warned

SHOW_MS = 150  # partial results that arrive within this time are shown as one


class SegmentationRun(RunFindings):
    """One run on one volume. `state` goes from "running" to "done", "stopped" or "failed", and to "undone" from there.

    Args:
        volumeNode: what is segmented.
        parameters: how.
        worker: a WorkerProcess.
        overlay: takes the boxes and class weights; cleared at the start.
        listener: told what happens.
        earlier: the run that this one goes on from: nothing is read twice, and what the user has changed since stays.
    """

    loaded = None  # the LoadedResult that a LoadedRun goes on from
    isRereading = False  # True while that is read again, and stands as it is

    def __init__(
        self,
        volumeNode,
        parameters: Parameters,
        worker,
        overlay: Overlay,
        listener: Listener,
        earlier: "SegmentationRun | None" = None,
    ) -> None:
        super().__init__(volumeNode, parameters, overlay, earlier)
        self.listener = listener
        self.state = "new"
        self.before: SegmentationRun | None = None  # whose result stands again once this one is undone
        self.keeper: RecordKeeper | None = None  # of what was found, in the scene, once the run has ended
        self.onEnded: Callable[[], None] | None = None
        self.onUndone: Callable[[], None] | None = None
        self.continues = earlier is not None
        self._begun = 0.0  # how much of the run lies behind it, 0 to 1, when the worker is asked for what is new
        self.segments = LiveSegmentation(
            volumeNode,
            parameters.bundle,
            parameters.segmentation,
            parameters.shown,
            earlier.segments if earlier else None,
            parameters.wishes.region,
        )
        self._continueFrom = earlier.runId if earlier else ""
        self._worker = worker
        self._folder: Path | None = None
        self._stopping = False
        self._watch = SceneWatch(self)
        self._steps = Steps(self._broken)
        self._showTimer = qt.QTimer()
        self._showTimer.setSingleShot(True)
        self._showTimer.setInterval(SHOW_MS)
        self._showTimer.timeout.connect(self._show)

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def canUndo(self) -> bool:
        return self.state in ("done", "stopped") and self.segments.started

    @property
    def labels(self) -> np.ndarray | None:
        """The worker's last labels, (I, J, K), before what the user has changed; None before the first."""
        return self.segments.labels

    def start(self) -> None:
        """Write the volume and ask the worker; returns at once, what follows comes by events.

        Raises:
            VolumeError: the volume cannot be segmented or written; nothing was changed.
        """
        nodes.checkVolume(self.volumeNode)
        self._folder = run_folder.begin()
        try:
            writing = nodes.writing(self.volumeNode, self._folder / "input.nrrd")
            next(writing)  # a folder or node that cannot be used is said at once
        except VolumeError:
            self._leave()
            raise
        self.state = "running"
        self._clearOverlay()
        self._watch.begin()
        self.listener.runStarted(self)
        self.listener.runProgress(0.0, words.starting(self.continues))
        self._steps.add(self._ask(writing))

    def _ask(self, writing: Iterator[None]) -> Iterator[None]:
        try:
            yield from writing
        except VolumeError as error:
            self._fail(Failed(error.what, error.why, error.mend))
            return
        if self._stopping:
            self._failed(Failed("", "", "", cancelled=True))
        else:
            self._begin()

    def _begin(self) -> None:
        """The volume is written: ask the worker."""
        self._worker.start(self.parameters.request(self._folder, self._continueFrom), self._onEvent)

    def _clearOverlay(self) -> None:
        self._overlay.clear()

    def stop(self, said: str = "") -> None:
        """Ask the worker to end after the patch in hand; what is done is kept."""
        if self.running:
            self._stopping = True
            self._worker.cancel()
            self.listener.runProgress(-1.0, said or _("Stopping after this patch"))

    def abandon(self, text: str) -> None:
        """End now and take back what was written: the volume is gone, or the scene, or the application."""
        if self.running:
            self._worker.stop()
            self._fail(Failed(text, "", ""))

    def undo(self) -> None:
        """Bring back the segmentation as it was before this run."""
        if self.canUndo:
            if self.keeper is not None:  # first: it is found by the segmentation, which may go
                self.keeper.undo()
            self.segments.restore()
            self._clearOverlay()
            self.state = "undone"
            if self.onUndone:
                self.onUndone()

    def _onEvent(self, event: Event) -> None:
        if not self.running:
            return
        if isinstance(event, Progress):
            if not self._stopping:
                self.listener.runProgress(*self._progress(event))
        elif isinstance(event, Partial):
            self._steps.add(self._partial(event))
        elif isinstance(event, Tokens):
            self._steps.add(self._takeTokens(event))
        elif isinstance(event, Warned):
            self.listener.runWarned(event.text)
        elif isinstance(event, Finished):
            self._steps.add(self._finish(event))
        elif isinstance(event, Failed):
            self._failed(event)
        else:
            self._hear(event)

    def _progress(self, event: Progress) -> tuple[float, str]:
        """How much of the run is done, 0 to 1, and in words."""
        return self._begun + (1 - self._begun) * event.fraction, words.stage(event)

    def _hear(self, event: Event) -> None:
        """Whatever else the worker tells."""
        self._learn(event)
        self.listener.runChanged()

    def _takeTokens(self, event: Tokens) -> Iterator[None]:
        try:
            yield from self._learnTokens(event)
            self.listener.runChanged()
        except (OSError, ValueError) as error:  # a picture less; the labels are what was asked for
            logging.warning("EfficientSeg: the map of dropped tokens cannot be read: %s", error)

    def _partial(self, event: Partial) -> Iterator[None]:
        path = Path(event.labels)
        first = not self.segments.started
        try:
            # Mapped, not read: 512 x 512 x 400 labels come from the disk slab by slab.
            labels = np.load(path, mmap_mode="r")
            yield from self.segments.writing(labels, event.box)
            del labels  # the file cannot be removed on Windows while it is mapped
            path.unlink()
        except (OSError, ValueError) as error:  # the worker keeps only the newest; the final labels hold all
            logging.info("EfficientSeg: partial labels passed over: %s", error)
            return
        self.patchesRead = event.patches_read
        if first:
            self._show()
            yield
            if self.coarseLabels is None and self.parameters.hasOrder and event.box == whole(self.labels.shape):
                self.coarseLabels = yield from copied(self.labels)
        elif not self._showTimer.isActive():
            self._showTimer.start()
        self._showCoverage()
        self.listener.runChanged()

    def _show(self) -> None:
        if self.running and self.segments.started:
            self.segments.show()

    def _finish(self, event: Finished) -> Iterator[None]:
        self._showTimer.stop()  # it is shown below; once more would take its surfaces away
        try:
            yield from self.segments.finishing(np.load(event.labels, mmap_mode="r"))
            self.record = json.loads(Path(event.record).read_text(encoding="utf-8")) if event.record else {}
        except (OSError, ValueError) as error:
            self._fail(Failed(_("The worker's result cannot be read."), f"{error}.", _("Click Segment again.")))
            return
        self.voxels = self.segments.voxels
        self.patchesRead, self.runId = event.patches_read, event.run_id
        self._showCoverage()
        yield
        names = {label.value: label.name for label in self.parameters.bundle.shown_labels}
        missing = [names[value] for value, count in self.voxels.items() if not count]
        self.text = words.outcome(
            event.patches_read,
            event.patches_total,
            self.candidates,
            event.seconds,
            event.complete,
            missing,
            event.unit,
        )
        if not any(self.voxels.values()):
            self.text = words.nothingFound()
        self.text = " ".join(part for part in (self.text, words.respected(*self.segments.respected())) if part)
        self._end("done" if event.complete else "stopped")

    def _failed(self, failed: Failed) -> None:
        if self._stopping and (self.segments.started or self._steps.busy) and not failed.cancelled:
            self._steps.add(self._keep())  # it had to be ended; what it had said until then stands
        elif self._stopping or failed.cancelled:
            self._fail(Failed(_("Stopped before there was a result."), "", ""), "stopped")
        else:
            self._fail(failed)

    def _keep(self) -> Iterator[None]:
        if not self.segments.started:
            self._fail(Failed(_("Stopped before there was a result."), "", ""), "stopped")
            return
        yield from self.segments.keeping()
        self.text = _("Stopped. What was done is kept.")
        self._end("stopped")

    def _broken(self, error: Exception) -> None:
        """A step went wrong: whatever it was, nothing may be left half done."""
        logging.error("EfficientSeg: labels could not be shown.", exc_info=error)
        if self.running:
            self._worker.stop()
            self._fail(Failed(_("The labels could not be shown."), f"{error}.", _("Click Segment again.")))

    def _fail(self, failed: Failed, state: str = "failed") -> None:
        self._steps.clear()
        self.segments.restore()
        self._clearOverlay()
        self.failure = failed
        self.text = words.failure(failed)
        self._end(state)

    def _end(self, state: str) -> None:
        self.state = state
        self._leave()
        if self.canUndo:
            self.keeper = RecordKeeper(self)
        self.listener.runEnded()
        if self.onEnded:
            self.onEnded()

    def _leave(self) -> None:
        self._showTimer.stop()
        self._watch.end()
        if self._folder is not None:
            run_folder.remove(self._folder)
            self._folder = None
