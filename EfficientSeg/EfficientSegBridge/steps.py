"""Long work in short steps on the application's own thread, so that views and buttons answer in between.

Python threads hardly run inside Slicer, and numpy's copies of whole volumes take longer than a frame: a generator that
yields after each slab is worked on for a few milliseconds at a time.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator

import qt

SLICE_MS = 12.0  # work at a time; one step may take longer, so steps are small
PAUSE_MS = 1  # between two slices: what the user does comes first


class Steps:
    """Works off generators one after the other.

    Args:
        onError: told an exception of a generator; the ones behind it are dropped.
    """

    def __init__(self, onError: Callable[[Exception], None]) -> None:
        self._onError = onError
        self._queue: deque[Iterator[None]] = deque()
        self._timer = qt.QTimer()
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._work)

    @property
    def busy(self) -> bool:
        return bool(self._queue)

    def add(self, work: Iterator[None]) -> None:
        """Work on this once what came before is done."""
        self._queue.append(work)
        self._timer.start()

    def clear(self) -> None:
        """Drop what is not done yet; a step that is at work when it calls this comes to its own end."""
        self._timer.stop()
        self._queue.clear()

    def _work(self) -> None:
        end = time.perf_counter() + SLICE_MS / 1000
        while self._queue and time.perf_counter() < end:
            work = self._queue[0]
            try:
                next(work)
            except StopIteration:
                self._done(work)
            except Exception as error:
                self.clear()
                self._onError(error)
        if not self._queue:
            self._timer.stop()

    def _done(self, work: Iterator[None]) -> None:
        if self._queue and self._queue[0] is work:  # its last step may have cleared the queue
            self._queue.popleft()


def atOnce(work: Iterator[None]) -> None:
    """All steps in one go, where nobody waits at the screen."""
    for _step in work:
        pass
