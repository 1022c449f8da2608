"""How long a run will take, from what it took so far.

A run is a base (reading, the coarse pass, labels at the end) and so much for each patch. The base's end lies ahead:
labels of the whole volume take what the coarse labels took, and more where patches were read, as much per voxel as the
labels on the way have taken there.
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from EfficientSegLib.geometry import Index, PatchBox

RECENT = 9  # patches that tell how long the next one takes: other programs come and go
REFINED = 4.0  # labels of a read voxel cost so many times a coarse one's, until that was measured
CELL = 8  # voxels per axis in which it is counted how much of the volume the patches cover


class Pacing:
    """A stop-watch for the patches of one run.

    Args:
        now: seconds; a test gives its own.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._mark = now()
        self._patches: list[float] = []
        self._whole = 0.0  # seconds that labels of the whole volume took, before the patches of this run
        self._voxels = 0  # of it
        self._newly_read = 0  # voxels of it that the patches of this run cover first
        self._labels = [0.0, 0, 0]  # seconds, voxels and boxes of labels on the way

    @property
    def timed(self) -> int:
        """How many patches were timed."""
        return len(self._patches)

    @property
    def spent(self) -> float:
        """Seconds for patches and their labels on the way."""
        return sum(self._patches) + self._labels[0]

    @property
    def patch_seconds(self) -> float:
        """One more patch, with its labels on the way; 0 before the first was timed."""
        if not self._patches:
            return 0.0
        # The first patch pays for what is set up once: memory, and the library's choice of kernels.
        recent = self._patches[1:][-RECENT:] or self._patches
        return median(recent) + self._labels[0] / max(self._labels[2], 1)

    @property
    def labels_seconds(self) -> float:
        """Labels of the whole volume at the end."""
        seconds, voxels, _ = self._labels
        refined = seconds / voxels if voxels else self._whole / max(self._voxels, 1) * REFINED
        return self._whole + refined * self._newly_read

    def resume(self) -> None:
        """What follows is the next patch."""
        self._mark = self._now()

    def patch(self) -> None:
        """A patch was read."""
        self._patches.append(self._now() - self._mark)
        self._mark = self._now()

    def first_labels(self, seconds: float, voxels: int, newly_read: int) -> None:
        """Labels of the whole volume were made, of which patches of this run will cover `newly_read` voxels."""
        self._whole, self._voxels, self._newly_read = seconds, voxels, newly_read

    def labels(self, seconds: float, voxels: int, boxes: int) -> None:
        """Labels on the way were made."""
        for index, value in enumerate((seconds, voxels, boxes)):
            self._labels[index] += value

    def seconds_left(self, patches: int) -> float | None:
        """Until the labels at the end are made, with so many patches to go; None before one was timed."""
        if patches and not self._patches:
            return None
        return patches * self.patch_seconds + self.labels_seconds


def covered_voxels(boxes: list[PatchBox], read: int, shape: Index) -> int:
    """Voxels of a volume that lie in one of the boxes, and in none of the first `read`; to within a few per cent."""
    cells = np.zeros([-(-length // CELL) for length in shape], dtype=bool)
    before = 0
    for number, box in enumerate(boxes):
        if number == read:
            before = int(cells.sum())
        cells[tuple(slice(a // CELL, -(-b // CELL)) for a, b in zip(box.start, box.stop))] = True
    before = int(cells.sum()) if read >= len(boxes) else before
    return round((int(cells.sum()) - before) / cells.size * float(np.prod(shape)))
