"""A run that goes on from a result of an earlier session, which was loaded with its scene."""

from collections.abc import Iterator

import numpy as np
import slicer

from EfficientSegBridge import words
from EfficientSegBridge.loaded_result import LoadedResult
from EfficientSegBridge.overlay import Overlay
from EfficientSegBridge.parameters import Listener, Parameters
from EfficientSegBridge.rereading import Rereading
from EfficientSegBridge.run import SegmentationRun
from EfficientSegBridge.translation import _
from EfficientSegBridge.volume_image import counted
from EfficientSegLib.protocol import Event, Failed, Finished, Partial, Progress


class LoadedRun(SegmentationRun):
    """What was read is read again first; the loaded result stands as it is meanwhile. Then more is read as ever, and
    what the user has changed stays.

    Args:
        loaded: the result; the others as for SegmentationRun.
    """

    def __init__(
        self,
        volumeNode,
        parameters: Parameters,
        worker,
        overlay: Overlay,
        listener: Listener,
        loaded: LoadedResult,
    ) -> None:
        super().__init__(volumeNode, parameters, worker, overlay, listener)
        self.continues = True
        self.loaded = loaded
        self._rereading: Rereading | None = Rereading(loaded, parameters)

    @property
    def isRereading(self) -> bool:
        return self._rereading is not None

    def _clearOverlay(self) -> None:
        """The loaded result's own is drawn instead, where it stands again."""
        if self._rereading is None:
            super()._clearOverlay()
            if slicer.mrmlScene.IsNodePresent(self.loaded.segmentation):
                self.loaded.showOverlay(self._overlay, self.parameters)

    def _begin(self) -> None:
        self._worker.start(self._rereading.request(self._folder), self._onEvent)

    def _progress(self, event: Progress) -> tuple[float, str]:
        again = self._rereading
        return (again.share * event.fraction, words.again(event)) if again else super()._progress(event)

    def _partial(self, event: Partial) -> Iterator[None]:
        return self._rereading.taking(event) if self._rereading else super()._partial(event)

    def _finish(self, event: Finished) -> Iterator[None]:
        return self._resume(event) if self._rereading else super()._finish(event)

    def _hear(self, event: Event) -> None:
        if self._rereading:
            self._rereading.learn(event)
        else:
            super()._hear(event)

    def _resume(self, event: Finished) -> Iterator[None]:
        """The worker is as far as it was when the scene was saved: what follows is More."""
        again = self._rereading
        if not self._stopping:
            yield from again.finishing(event)
            present = np.flatnonzero((yield from counted(again.labels)))
        if self._stopping:
            text = _("Stopped before more was read; the result is as it was loaded.")
            self._fail(Failed(text, "", ""), "stopped")
            return
        if again.isSame:
            shown = {label.value for label in again.loaded.findings.labels}
            self.segments.resume(again.labels, shown & set(present.tolist()))
        else:
            self.listener.runWarned(words.notTheSame())
        self.coarseLabels, self.candidates = again.coarse, again.loaded.findings.candidates
        self._continueFrom, self._begun = event.run_id, again.share
        self._rereading = None
        self._overlay.clear()
        super()._begin()

    def _fail(self, failed: Failed, state: str = "failed") -> None:
        super()._fail(failed, state)
        self._rereading = None
