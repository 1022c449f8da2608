"""How long a run will take, from what it took so far.

A run is a base (reading, the coarse pass, labels at the end) and so much for each patch. The base's end lies ahead:
labels of the whole volume take what the coarse labels took, and more where patches were read, as much per voxel as the
labels on the way have taken there.
"""

import time
from collections.abc import Callable, Sequence
from statistics import fmean, median

import numpy as np

from EfficientSegLib.geometry import Index, PatchBox

RECENT = 8  # patches that tell how long the next one takes: other programs come and go
REFINED = 2.5  # labels of a read voxel cost so many times a coarse one's, until that was measured
PARTIAL_SHARE = 0.15  # of the time that labels on the way may cost
PARTIAL_SECONDS = 0.5  # between two of them, at least
HICCUP = 2.0  # times the median: what takes longer, other programs have made so, and counts as much as this
WORTH = 3.0  # times as long as they take, the patches behind labels on the way must take
FORESEEN = 500  # patches of which each is foreseen; with more, their mean will do
CELL = 8  # voxels per axis in which it is counted how much of the volume the patches cover


class Pacing:
    """A stop-watch for the patches of one run, and for the labels that are made between them.

    Args:
        now: seconds; a test gives its own.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._mark = now()
        self._patches: list[float] = []
        self._from = 0  # patches before were read on another device
        self._whole = 0.0  # seconds that labels of the whole volume took, before the patches of this run
        self._newly_read = 0.0  # share of it that the patches of this run cover first
        self._first_guess = 0.0  # seconds for labels of one box, until that was measured
        self._labels, self._boxes = 0.0, 0  # seconds of labels on the way, and of how many patches they were
        self._made: list[tuple[float, int]] = []  # seconds of making each of them, without handing it on, and voxels
        self._labels_end = now()
        self._wait = PARTIAL_SECONDS
        self._size = 0  # voxels of the volume
        self.ending = 0.0  # seconds behind the labels, as somebody foresees them

    @property
    def timed(self) -> int:
        """How many patches were timed."""
        return len(self._patches)

    @property
    def spent(self) -> float:
        """Seconds for patches and their labels on the way."""
        return sum(self._patches) + self._labels

    @property
    def patch_seconds(self) -> float:
        """One more patch, with its labels on the way; 0 before the first was timed."""
        return self._patch + self._box if self._patches else 0.0

    @property
    def labels_seconds(self) -> float:
        """Labels of the whole volume at the end."""
        refined = self._refined if self._made else self._whole / max(self._size, 1) * REFINED
        return self._whole * (1 - self._newly_read) + refined * self._newly_read * self._size

    @property
    def _refined(self) -> float:
        """Seconds for labels of a voxel in the patches; what a hiccup of the machine has cost counts in part."""
        usual = median(seconds / voxels for seconds, voxels in self._made)
        cost = sum(min(seconds, HICCUP * usual * voxels) for seconds, voxels in self._made)
        return cost / sum(voxels for _, voxels in self._made)

    @property
    def finish_seconds(self) -> float:
        """All that comes behind the last patch."""
        return self.labels_seconds + self.ending

    def labels_due(self, patches: int, pending: int) -> bool:
        """Whether labels on the way are to be made, of so many patches, with so many to go.

        Not so shortly before the end that the final ones come soon after: that would only put these off.
        """
        waited = self._now() - self._labels_end >= self._wait
        return waited and patches * self._patch >= WORTH * pending * self._box

    @property
    def _patch(self) -> float:
        # The first patch pays for what is set up once: memory, and the library's choice of kernels.
        here = self._patches[self._from :]
        recent = here[1:][-RECENT:] or here or self._patches
        most = HICCUP * median(recent)
        return fmean(min(seconds, most) for seconds in recent)

    @property
    def _box(self) -> float:
        return self._labels / self._boxes if self._boxes else self._first_guess

    def resume(self) -> None:
        """What follows is the next patch."""
        self._mark = self._now()

    def moved(self) -> None:
        """What was timed so far says nothing of the patches to come: they are read on another device."""
        self._from = len(self._patches)

    def patch(self) -> None:
        """A patch was read."""
        self._patches.append(self._now() - self._mark)
        self.resume()

    def first_labels(self, seconds: float, voxels: int, newly_read: int, box: float = 0) -> None:
        """Labels of the whole volume were made.

        Args:
            voxels: of the volume.
            newly_read: how many of them the patches of this run will cover first.
            box: voxels of one patch.
        """
        self._whole, self._size, self._newly_read = seconds, voxels, newly_read / voxels
        self._first_guess = seconds / voxels * REFINED * box
        self._labels_end = self._now()

    def labels(self, seconds: float, made: Sequence[tuple[float, int]]) -> None:
        """Labels on the way were made and handed on, which took so many seconds.

        Args:
            made: for each patch the seconds that making them took, and their voxels.
        """
        self._labels += seconds
        self._made += made
        self._boxes += len(made)
        self._labels_end, self._wait = self._now(), _wait(seconds)

    def seconds_left(self, patches: int, pending: int = 0) -> float | None:
        """Until the end, with so many patches to go; None before one was timed.

        Args:
            pending: patches that were read since the last labels on the way.
        """
        if patches and not self._patches:
            return None
        return self._on_the_way(patches, pending) + self.finish_seconds

    def _on_the_way(self, patches: int, pending: int) -> float:
        """Seconds for patches, and for labels between them as often as they will be made."""
        if patches > FORESEEN:
            return patches * self.patch_seconds
        patch, box = (self._patch, self._box) if patches else (0.0, 0.0)
        total, since, wait = 0.0, self._now() - self._labels_end, self._wait
        for number in range(patches):
            total, since, pending = total + patch, since + patch, pending + 1
            cost = pending * box
            if since >= wait and number + 1 < patches and (patches - number - 1) * patch >= WORTH * cost:
                total, since, pending, wait = total + cost, 0.0, 0, _wait(cost)
        return total


def _wait(seconds: float) -> float:
    """Until labels are made again, after they took so long."""
    return max(PARTIAL_SECONDS, seconds * (1 / PARTIAL_SHARE - 1))


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
