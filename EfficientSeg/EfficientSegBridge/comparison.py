"""Two ways of segmenting one volume, one after the other in the warm worker, and how far they agree.

Each gets a segmentation of its own; what the user has stays as it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import slicer

from EfficientSegBridge import comparison_words, nodes, run_folder, words
from EfficientSegBridge.paces import millilitres
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.segments import LiveSegmentation
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.translation import _
from EfficientSegLib.agreement import Agreement, Counts, pairs
from EfficientSegLib.errors import EfficientSegError, OptionError, VolumeError
from EfficientSegLib.failures import explain
from EfficientSegLib.protocol import Event, Failed, Finished, Pace, Patches, Progress, Started

SIDES = ("A", "B")
SLAB = 4  # slices counted at a time


@dataclass
class Side:
    """One of the two ways, and what came of it."""

    letter: str
    parameters: Parameters
    node: object = None  # its segmentation
    labels: np.ndarray | None = None  # (I, J, K)
    device: str = ""
    candidates: int = 0
    finished: Finished | None = None
    pace: Pace | None = None


class Comparison:
    """One at a time. `state`: "", "running", "done", "stopped" or "failed".

    Args:
        warmWorker: gives the WorkerProcess for the path of an external Python; raises OptionError while it is at work.
        isBusy: True while a run or a queue has the worker.
    """

    def __init__(self, warmWorker: Callable[[str], object], isBusy: Callable[[], bool] = lambda: False) -> None:
        self._warmWorker, self._isBusy = warmWorker, isBusy
        self.onChanged: Callable[[], None] | None = None
        self._worker = None
        self._folder: Path | None = None
        self._stopping = False
        self._steps = Steps(self._broken)
        self._reset()

    def _reset(self) -> None:
        self.state = self.text = ""
        self.fraction = 0.0
        self.volumeNode = None
        self.sides: list[Side] = []
        self.agreements: tuple[Agreement, ...] = ()

    @property
    def running(self) -> bool:
        return self.state == "running"

    def start(self, volumeNode, ways: tuple[Parameters, Parameters], externalPython: str = "") -> None:
        """Begin; the segmentations of an earlier comparison stay in the scene.

        Raises:
            EfficientSegError: the volume cannot be segmented, both ways are the same, or the worker is at work.
        """
        if self.running:
            return
        nodes.checkVolume(volumeNode)
        if self._isBusy():
            raise OptionError(
                _("A run is under way."),
                why=_("One volume is segmented at a time, in one background process."),
                mend=_("Wait until it has ended, or stop it."),
            )
        if comparison_words.identity(ways[0]) == comparison_words.identity(ways[1]):
            raise OptionError(
                _("A and B are the same."),
                why=_("Their results would not differ."),
                mend=_("Choose another model, method or effort for one of them."),
            )
        self._worker = self._warmWorker(externalPython)
        self._reset()
        self.volumeNode = volumeNode
        self.sides = [Side(letter, way) for letter, way in zip(SIDES, ways)]
        self._folder = run_folder.begin()
        self.state, self._stopping = "running", False
        self._say(_("Writing the volume"))
        self._steps.add(self._begin())

    def stop(self) -> None:
        """End after the patch in hand. B keeps what it has; without A there is nothing to compare."""
        if self.running and not self._stopping:
            self._stopping = True
            self._worker.cancel()
            self._say(_("Stopping after this patch"))

    def forget(self) -> None:
        """The scene or the application closes."""
        if self.running:
            self._worker.stop()
        self._steps.clear()
        self._leave()
        self._reset()
        self._tell()

    def refuseOthers(self) -> None:
        """Raises OptionError while the comparison has the worker."""
        if self.running:
            raise OptionError(
                _("A comparison is under way."),
                why=_("One volume is segmented at a time, in one background process."),
                mend=_("Wait until it has ended, or click Stop in Compare."),
            )

    # One side after the other

    def _begin(self) -> Iterator[None]:
        yield from nodes.writing(self.volumeNode, self._folder / "input.nrrd")
        self._ask(self.sides[0])

    def _ask(self, side: Side) -> None:
        if self._stopping:
            self._end("stopped", _("Stopped before both results were there."))
            return
        folder = self._folder / side.letter
        folder.mkdir()
        request = side.parameters.request(folder)
        request = replace(request, input=str(self._folder / "input.nrrd"), keep=False, tokens=False)
        self._worker.start(request, lambda event: self._onEvent(side, event))

    def _onEvent(self, side: Side, event: Event) -> None:
        if not self.running:
            return
        if isinstance(event, Started):
            side.device = event.device
        elif isinstance(event, Patches):
            side.candidates = event.candidates
        elif isinstance(event, Pace):
            side.pace = event
        elif isinstance(event, Progress):
            self.fraction = (SIDES.index(side.letter) + event.fraction) / len(SIDES)
            if not self._stopping:
                self._say(_("{letter}: {said}").format(letter=side.letter, said=words.stage(event)))
        elif isinstance(event, Finished):
            self._steps.add(self._accept(side, event))
        elif isinstance(event, Failed):
            self._failed(side, event)

    def _failed(self, side: Side, failed: Failed) -> None:
        if self._stopping or failed.cancelled:
            self._end("stopped", _("Stopped before both results were there."))
        else:
            said = _("{letter}: {said}").format(letter=side.letter, said=words.failure(failed))
            self._end("failed", said)

    def _accept(self, side: Side, finished: Finished) -> Iterator[None]:
        self._refuseGone()
        way = side.parameters
        segments = LiveSegmentation(self.volumeNode, way.bundle, None, way.shown)
        try:
            yield from segments.finishing(np.load(finished.labels, mmap_mode="r"))
        except Exception:
            segments.restore()
            raise
        side.node, side.labels, side.finished = segments.node, segments.labels, finished
        title = f"{side.letter}: {comparison_words.title(way)}"
        side.node.SetName(slicer.mrmlScene.GenerateUniqueName(title))
        yield
        if side is self.sides[0]:
            yield from self._next(finished)
        else:
            yield from self._compare()

    def _next(self, finished: Finished) -> Iterator[None]:
        if not finished.complete:
            self._stopping = True
        yield  # the worker has settled its last event by now
        self._ask(self.sides[1])

    def _compare(self) -> Iterator[None]:
        one, other = self.sides
        counts = Counts(pairs(_labels(one.parameters), _labels(other.parameters)))
        for start in range(0, one.labels.shape[2], SLAB):
            rows = slice(start, start + SLAB)
            counts.add(one.labels.T[rows], other.labels.T[rows])
            yield
        self._refuseGone()
        self.agreements = counts.agreements(millilitres(self.volumeNode) / one.labels.size)
        one.labels = other.labels = None  # counted; the segmentations hold them
        self._end("done", comparison_words.outcome(other.finished))

    def _refuseGone(self) -> None:
        if not slicer.mrmlScene.IsNodePresent(self.volumeNode):
            raise VolumeError(_("The volume was deleted."), why=_("A and B belong to it."), mend=_("Load it again."))

    def _broken(self, error: Exception) -> None:
        """A step went wrong: nothing of this comparison stays."""
        if self.running:
            if self._worker.busy:
                self._worker.stop()
            said = explain(error) if not isinstance(error, EfficientSegError) else error
            self._end("failed", " ".join((said.what, said.why, said.mend)))

    def _end(self, state: str, text: str) -> None:
        if state != "done":
            for side in self.sides:
                if side.node is not None and slicer.mrmlScene.IsNodePresent(side.node):
                    slicer.mrmlScene.RemoveNode(side.node)
                side.node = side.labels = None
        self._leave()
        self.state = state
        self._say(text)

    def _leave(self) -> None:
        if self._folder is not None:
            run_folder.remove(self._folder)
            self._folder = None

    def _say(self, text: str) -> None:
        self.text = text
        self._tell()

    def _tell(self) -> None:
        if self.onChanged:
            self.onChanged()


def _labels(parameters: Parameters) -> tuple:
    """The labels that become segments."""
    labels = parameters.bundle.shown_labels
    return labels if parameters.shown is None else tuple(label for label in labels if label.value in parameters.shown)
