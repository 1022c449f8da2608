"""One run, from a click to a segmentation: it joins the volume's file, the worker, the segments and the overlay."""

import json
import logging
from pathlib import Path

import numpy as np
import qt
import slicer
import vtk
from vtk.util.misc import calldata_type

from EfficientSegBridge import nodes, run_folder, words
from EfficientSegBridge.overlay import Overlay
from EfficientSegBridge.parameters import Listener, Parameters
from EfficientSegBridge.segments import LiveSegmentation
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import ScoredBox
from EfficientSegLib.protocol import (
    ClassWeights,
    Event,
    Failed,
    Finished,
    Partial,
    Patches,
    Progress,
    Reviewed,
    Started,
    Warned,
)

SHOW_MS = 150  # partial results that arrive within this time are shown as one


class SegmentationRun:
    """One run on one volume. `state` goes from "running" to "done", "stopped" or "failed".

    Args:
        volumeNode: what is segmented.
        parameters: how.
        worker: a WorkerProcess.
        overlay: takes the boxes and class weights; cleared at the start.
        listener: told what happens.
    """

    def __init__(self, volumeNode, parameters: Parameters, worker, overlay: Overlay, listener: Listener) -> None:
        self.volumeNode = volumeNode
        self.parameters = parameters
        self.state = "new"
        self.text = ""
        self.failure: Failed | None = None
        self.device = ""
        self.classWeights: dict[int, float] = {}
        self.voxels: dict[int, int] = {}  # found, by label value
        self.pace: words.Pace | None = None
        self.patchesSaid = ""  # how much of the volume is read at full detail
        self.record: dict = {}  # the worker's run record
        self.patches: tuple[ScoredBox, ...] = ()  # in the order of reading
        self.patchesRead = 0  # of `patches`, from the first on
        self.reviewed: Reviewed | None = None  # what the patches changed; None until the worker has said it
        self.coarseLabels: np.ndarray | None = None  # before any patch, (I, J, K)
        self.labels: np.ndarray | None = None  # the worker's last labels, (I, J, K)
        self.segments = LiveSegmentation(volumeNode, parameters.bundle, parameters.segmentation)
        self._worker, self._overlay, self._listener = worker, overlay, listener
        self._folder: Path | None = None
        self._stopping = False
        self.candidates = 0  # patches that could be read
        self._observers: list[tuple[object, int]] = []
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

    def start(self) -> None:
        """Write the volume and ask the worker; returns at once, what follows comes by events.

        Raises:
            VolumeError: the volume cannot be segmented or written; nothing was changed.
        """
        nodes.checkVolume(self.volumeNode)
        try:
            self._folder = run_folder.make()
            nodes.writeVolume(self.volumeNode, self._folder / "input.nrrd")
        except OSError as error:
            self._leave()
            raise VolumeError(
                _("The temporary folder {folder} cannot be used.").format(folder=run_folder.home()),
                why=f"{error.strerror or error}.",
                mend=_("Choose another one in the application settings."),
            ) from error
        except VolumeError:
            self._leave()
            raise
        self.state = "running"
        self._overlay.clear()
        self._observe()
        self._listener.runProgress(0.0, _("Starting the worker"))
        self._worker.start(self.parameters.request(self._folder), self._onEvent)

    def stop(self) -> None:
        """Ask the worker to end after the patch in hand; what is done is kept."""
        if self.running:
            self._stopping = True
            self._worker.cancel()
            self._listener.runProgress(-1.0, _("Stopping after this patch"))

    def abandon(self, text: str) -> None:
        """End now and take back what was written: the volume is gone, or the scene, or the application."""
        if self.running:
            self._worker.stop()
            self._fail(Failed(text, "", ""))

    def undo(self) -> None:
        """Bring back the segmentation as it was before this run."""
        if self.canUndo:
            self.segments.restore()
            self.state = "undone"

    def _onEvent(self, event: Event) -> None:
        if not self.running:
            return
        if isinstance(event, Progress):
            if not self._stopping:
                self._listener.runProgress(event.fraction, words.stage(event))
        elif isinstance(event, Started):
            self.device = event.device
            self._listener.runChanged()
        elif isinstance(event, Patches):
            self.patches, self.candidates = event.boxes, event.candidates
            self.patchesSaid = words.patches(len(event.boxes), event.candidates)
            self._overlay.showPatches(event.boxes, self.volumeNode, self.parameters.showBoxes)
            self._listener.runChanged()
        elif isinstance(event, ClassWeights):
            self.classWeights = {int(value): float(weight) for value, weight in event.weights.items()}
            self._overlay.showClassWeights(self.classWeights, self.parameters.bundle.shown_labels, self.volumeNode)
            self._listener.runChanged()
        elif isinstance(event, Partial):
            self._partial(event)
        elif isinstance(event, Reviewed):
            self.reviewed = event
        elif isinstance(event, Warned):
            self._listener.runWarned(event.text)
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Failed):
            self._failed(event)

    def _partial(self, event: Partial) -> None:
        path = Path(event.labels)
        try:
            labels = np.load(path)
            path.unlink()
            first = not self.segments.started
            self.segments.write(labels, event.box)
            self.patchesRead = event.patches_read
            if first:
                self.coarseLabels = labels
        except (OSError, ValueError) as error:  # the worker keeps only the newest; the final labels hold all
            logging.info("EfficientSeg: partial labels passed over: %s", error)
            return
        if first:
            self._show()
            self._listener.runChanged()
        elif not self._showTimer.isActive():
            self._showTimer.start()

    def _show(self) -> None:
        if self.running and self.segments.started:
            self.segments.show()

    def _finish(self, event: Finished) -> None:
        try:
            self.labels = np.load(event.labels)
            self.voxels = self.segments.finish(self.labels)
            self.patchesRead = event.patches_read
            self.record = json.loads(Path(event.record).read_text(encoding="utf-8")) if event.record else {}
        except (OSError, ValueError) as error:
            self._fail(Failed(_("The worker's result cannot be read."), f"{error}.", _("Click Segment again.")))
            return
        self._measure(event)
        missing = [label.name for label in self.parameters.bundle.shown_labels if not self.voxels.get(label.value)]
        self.text = words.outcome(
            event.patches_read, event.patches_total, self.candidates, event.seconds, event.complete, missing
        )
        if not any(self.voxels.values()):
            self.text = words.nothingFound()
        self._end("done" if event.complete else "stopped")

    def _measure(self, event: Finished) -> None:
        seconds = self.record.get("seconds", {}) if isinstance(self.record.get("seconds"), dict) else {}
        forPatches = float(seconds.get("patches", event.seconds * 0.85))
        if event.patches_read:
            perPatch = forPatches / event.patches_read
            candidates = self.candidates or event.patches_total
            self.pace = words.Pace(max(event.seconds - forPatches, 0.0), perPatch, candidates)

    def _failed(self, failed: Failed) -> None:
        if self._stopping and self.segments.started:
            # It had to be ended; what it had said until then stands.
            self.segments.keep()
            self.text = _("Stopped. What was done is kept.")
            self._end("stopped")
        elif self._stopping or failed.cancelled:
            self._fail(Failed(_("Stopped before there was a result."), "", ""), "stopped")
        else:
            self._fail(failed)

    def _fail(self, failed: Failed, state: str = "failed") -> None:
        self.segments.restore()
        self._overlay.clear()
        self.failure = failed
        self.text = words.failure(failed)
        self._end(state)

    def _end(self, state: str) -> None:
        self.state = state
        self._leave()
        self._listener.runEnded()

    def _leave(self) -> None:
        self._showTimer.stop()
        for observed, tag in self._observers:
            observed.RemoveObserver(tag)
        self._observers = []
        if self._folder is not None:
            run_folder.remove(self._folder)
            self._folder = None

    def _observe(self) -> None:
        scene = slicer.mrmlScene

        @calldata_type(vtk.VTK_OBJECT)
        def removed(_scene, _event, node) -> None:
            if node is self.volumeNode:
                self.abandon(_("The volume was deleted; nothing was kept."))
            elif node is self.segments.node:
                self.abandon(_("The segmentation was deleted during the run."))

        def closing(*_arguments) -> None:
            self.abandon(_("The scene was closed."))

        self._observers = [
            (scene, scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, removed)),
            (scene, scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, closing)),
        ]
