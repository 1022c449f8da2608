"""Chains of runs for tests: a played worker that keeps what it has read, and the panel in front of it."""

import os

import numpy as np
import qt
from bench import SHAPE, labelsOf, waitUntil
from test_widget import WidgetCase

from EfficientSegBridge import efforts, exit_words
from EfficientSegLib.geometry import PatchBox, ScoredBox, whole
from EfficientSegLib.protocol import Finished, Pace, Partial, Patches, Started, Warned

ORDER = (3, 2, 1, 4, 0, 5, 6)  # in which the seven patches are read
PLACE = PatchBox((10, 4, 4), (11, 5, 5))  # over patch 5, which would be read sixth


def box(number: int) -> PatchBox:
    """Six patches are slabs of two voxels along I; the seventh is the first slice."""
    return PatchBox((2 * number, 0, 0), (2 * number + 2, 10, 8)) if number < 6 else PatchBox((0, 0, 0), (12, 10, 1))


def labels(read) -> np.ndarray:
    """A liver, 4 voxels wide along J, and 5 where a patch was read."""
    liver = np.zeros(SHAPE, np.uint8, order="F")
    liver[1:11, 2:6, 2:6] = 1
    for number in read:
        if number < 6:
            wide = slice(max(2 * number, 1), min(2 * number + 2, 11))
            liver[wide, 6, 2:6] = 1
    return liver


class Player:
    """A worker in this process, at the border of WorkerProcess, which keeps what it has read.

    Args:
        slow: it reads no patch before it is asked to stop.
    """

    def __init__(self, slow: bool = False) -> None:
        self.slow = slow
        self.log, self.onLog = [], None
        self.pids: set[int] = set()
        self.kept: dict[str, list[int]] = {}
        self.requests = []
        self._stopped = False
        self._events = None
        self._timer = qt.QTimer()
        self._timer.setInterval(1)
        self._timer.timeout.connect(self._next)

    @property
    def running(self) -> bool:
        return bool(self.pids)

    @property
    def busy(self) -> bool:
        return self._timer.isActive()

    def start(self, request, onEvent) -> None:
        self.requests.append(request)
        self.pids = {4711}
        self._stopped, self._say, self._events = False, onEvent, self._play(request)
        self._timer.start()

    def cancel(self) -> None:
        self._stopped = True

    def stop(self) -> None:
        self._timer.stop()
        self._events = None
        self.pids, self.kept = set(), {}

    def die(self) -> None:
        """As WorkerProcess tells of a worker that was killed."""
        self.stop()
        self._say(exit_words.ended(-9, True, [], 900.0))

    def _next(self) -> None:
        try:
            event = next(self._events)
        except StopIteration:
            self._timer.stop()
            return
        if isinstance(event, Finished):
            self._timer.stop()
        if event is not None:
            self._say(event)

    def _write(self, request, name: str, array: np.ndarray) -> str:
        path = os.path.join(request.output_dir, name)
        np.save(path, np.asfortranarray(array))
        return path

    def _play(self, request):
        earlier = self.kept.get(request.continue_from, [])
        yield Started(4711, "cpu", 1)
        if request.continue_from and not earlier:
            yield Warned("Everything is computed anew.")
        first = [n for n in ORDER if any(box(n).intersection(wish) for wish in request.first) and n not in earlier]
        budget = max((7 if request.options["top_k"] is None else request.options["top_k"]) - len(earlier), 0)
        usual = [n for n in ORDER if n not in earlier][:budget]
        wanted = first + ([] if request.only_first and earlier else [n for n in usual if n not in first])
        chosen = [*earlier, *wanted]
        yield Patches(tuple(ScoredBox(box(n), 1 - 0.1 * rank, rank + 1) for rank, n in enumerate(chosen)), 7)
        first = Partial(self._write(request, "partial_0.npy", labels(earlier)), whole(SHAPE), len(earlier), len(chosen))
        yield first
        read = list(earlier)
        for number in wanted:
            while self.slow and not self._stopped:
                yield None
            if self._stopped:
                break
            read.append(number)
            cut = labels(read)[box(number).slices()]
            path = self._write(request, f"partial_{len(read)}.npy", cut)
            yield Partial(path, box(number), len(read), len(chosen))
        self.kept = {f"run-{len(self.requests)}": read}
        yield Pace(1.0, 2.0, 7)
        path = self._write(request, "labels.npy", labels(read))
        complete = len(read) == len(chosen)
        self.log.append(read[len(earlier) :])
        yield Finished(path, "", "", 1.5, 100.0, complete, len(read), len(chosen), *self.kept)


class ChainCase(WidgetCase):
    slow = False

    def setUp(self) -> None:
        super().setUp()
        self.players: list[Player] = []
        self.logic._makeWorker = self.makePlayer

    def makePlayer(self, _python: str) -> Player:
        self.players.append(Player(self.slow))
        return self.players[-1]

    def begin(self, patches: int = 2) -> None:
        self.node.effort = efforts.EFFORTS.index(patches)
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done", self.logic.run.text)

    def said(self) -> list[list[int]]:
        """Which patches each run has read."""
        waitUntil(lambda: False, 0.02)
        return [read for player in self.players for read in player.log]

    def liver(self) -> np.ndarray:
        return labelsOf(self.result(), self.logic.result.segments.segmentId(self.bundle.labels[0]), self.volume)

    def widths(self) -> list[int]:
        """How wide the liver is at each voxel along I: 5 where a patch was read."""
        return [int(plane.any(axis=1).sum()) for plane in self.liver()]
