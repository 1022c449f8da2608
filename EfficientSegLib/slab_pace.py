"""How long a run will take that reads while labels are made, from what it took so far.

Reading and making labels take turns, and each has its own pace: a slab of labels costs nothing until all that lies over
it was read. What it takes to show labels on the way is shared among what was read meanwhile.
"""

import time
from collections.abc import Callable


class SlabPacing:
    """A stop-watch that is told what the time since the last call was spent on.

    Args:
        now: seconds; a test gives its own.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._mark = now()
        self.voxels = 0  # of all labels that are to be made
        self._reading = self._showing = self._making = 0.0
        self._read, self._counted, self._made = 0, 0, 0
        self._first: tuple[float, int] | None = None  # seconds and number of what was read first
        self.ending = 0.0  # seconds behind the labels, as somebody foresees them

    def searched(self, done: int, total: int) -> float:
        """A first pass has looked at `done` of `total`; seconds until the end of the second, which takes as long."""
        self._count(done)
        each = self._each()
        if done == total:
            self._read, self._showing = 0, 0.0
        return each * (2 * total - done)

    def read(self, done: int, total: int) -> float:
        """`done` of `total` were read; seconds until the end."""
        self._count(done)
        making = self._making / self._made * max(self.voxels - self._made, 0) if self._made else 0.0
        return self._each() * (total - done) + making + self.ending

    def made(self, voxels: int) -> None:
        """Labels of so many voxels were made."""
        self._making += self._lap()
        self._made += voxels

    def resume(self) -> None:
        """Labels were shown, or whatever else comes between."""
        self._showing += self._lap()

    def moved(self) -> None:
        """What was timed so far says nothing of what is to be read: that is read on another device."""
        self._reading = self._showing = 0.0
        self._counted, self._first = 0, None

    def _count(self, done: int) -> None:
        seconds, number = self._lap(), done - self._read
        self._reading += seconds
        self._counted += number
        self._read = done
        if self._first is None:
            self._first = seconds, number  # it pays for what is set up once

    def _each(self) -> float:
        """Seconds for one more, with its share of showing."""
        seconds, number = self._first if self._counted > self._first[1] else (0.0, 0)
        return (self._reading - seconds) / (self._counted - number) + self._showing / self._counted

    def _lap(self) -> float:
        now = self._now()
        seconds, self._mark = now - self._mark, now
        return seconds
