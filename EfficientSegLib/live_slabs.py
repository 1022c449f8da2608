"""A run that reads while labels are made: each slab of the input volume is shown as soon as it is done."""

import time
from math import prod

import numpy as np

from EfficientSegLib import ending
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.geometry import PatchBox, ScoredBox, whole
from EfficientSegLib.listener import Listener
from EfficientSegLib.overlaps import Masks
from EfficientSegLib.pace import PARTIAL_SECONDS, PARTIAL_SHARE
from EfficientSegLib.preprocess import Prepared
from EfficientSegLib.restore import LogitField, restore_labels
from EfficientSegLib.slab_pace import SlabPacing
from EfficientSegLib.strategies import PatchLogits, Watcher

BEGIN, END = 0.1, 0.95  # shares of the whole run between which is read
SEARCHED = 0.5  # where a first pass ends


class LiveSlabs(Watcher):
    """Tells a listener how far a strategy is that reads in order of the last axis, when its logits are asked for.

    Args:
        unit: what is read, "patches" or "slices"; the stage is called so.
        region: of the input volume; outside it labels are 0. None is all of it.
        masks: see `restore.restore_labels`.
    """

    def __init__(
        self,
        bundle: Bundle,
        prepared: Prepared,
        listener: Listener,
        unit: str,
        region: PatchBox | None = None,
        masks: Masks | None = None,
    ) -> None:
        self._bundle = bundle
        self._prepared = prepared
        self._listener = listener
        self._unit = unit
        self._region = region
        self._masks = masks
        self._begin = BEGIN
        self._pace = SlabPacing()
        self._began = time.perf_counter()
        self._read, self._total = 0, 0
        self._pending: PatchBox | None = None  # labels that nobody has seen yet
        self._is_shown = False
        self._shown_at, self._cost = 0.0, 0.0
        # Where nobody looks, labels on the way need not be handed on.
        self._has_viewer = type(listener).partial is not Listener.partial

    def moved(self, device: str, precision: str, why: str) -> None:
        self._pace.moved()
        self._listener.warn(why)
        self._listener.moved(device, precision)

    def warn(self, text: str) -> None:
        self._listener.warn(text)

    def should_stop(self) -> bool:
        return self._listener.should_stop()

    def chosen(self, patches: tuple[ScoredBox, ...], candidates: int, class_weights: tuple[float, ...] | None) -> None:
        """Everything is read: there is nothing to choose."""

    def searched(self, done: int, total: int) -> None:
        left = self._pace.searched(done, total)
        self._listener.progress("extent", BEGIN + (SEARCHED - BEGIN) * done / total, done, total, left)
        if done == total:
            self._begin, self._began = SEARCHED, time.perf_counter()

    def refined(self, logits: PatchLogits | None, box: PatchBox | None, read: int, total: int) -> None:
        self._read, self._total = read, total
        left = self._pace.read(read, total)
        self._listener.progress(self._unit, self._begin + (END - self._begin) * read / total, read, total, left)

    def labels(self, logits: LogitField) -> np.ndarray:
        """Labels of the input volume, (I, J, K): reads everything, and shows it on the way."""
        self._pace.voxels = prod(self._prepared.source_shape)
        values, report = self._bundle.channel_values, self._done if self._has_viewer else None
        labels = restore_labels(logits, self._prepared, values, None, self._region, report, self._masks)
        return np.ascontiguousarray(labels)

    def ended(self) -> None:
        """The labels are made."""
        if self._read:
            spent = time.perf_counter() - self._began
            self._listener.pace(spent / self._read, spent, 0.0, self._total)

    def _done(self, labels: np.ndarray, slab: PatchBox) -> None:
        """Show the labels so far: first all of them, later what was done since, and not too often."""
        self._pace.made(prod(slab.shape))
        self._show(labels, slab)
        self._pace.resume()

    def _show(self, labels: np.ndarray, slab: PatchBox) -> None:
        self._pending = slab if self._pending is None else _around(self._pending, slab)
        now = time.perf_counter()
        wait = max(PARTIAL_SECONDS, self._cost * (1 / PARTIAL_SHARE - 1))
        if not 0 < self._read < self._total or (self._is_shown and now - self._shown_at < wait):
            return  # nothing is read yet, or the final labels are near
        box = self._pending if self._is_shown else whole(self._prepared.source_shape)
        self._listener.partial(np.ascontiguousarray(labels[box.slices()]), box, self._read, self._total)
        self._pace.ending = ending.cleaning(labels, self._bundle)  # better known each time, with more labels made
        # The first holds the whole volume and happens once: it says nothing about what the next ones cost.
        self._cost = time.perf_counter() - now if self._is_shown else 0.0
        self._pending, self._is_shown, self._shown_at = None, True, time.perf_counter()


def _around(one: PatchBox, other: PatchBox) -> PatchBox:
    """The smallest box that holds both."""
    return PatchBox(tuple(map(min, one.start, other.start)), tuple(map(max, one.stop, other.stop)))
