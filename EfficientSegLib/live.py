"""A run while it goes on: what a strategy reports, in the input volume's terms, with labels on the way."""

import time
from math import prod

import numpy as np

from EfficientSegLib import ending
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.geometry import PatchBox, ScoredBox, whole
from EfficientSegLib.listener import Listener
from EfficientSegLib.pace import Pacing, covered_voxels
from EfficientSegLib.preprocess import Prepared, to_source
from EfficientSegLib.restore import LogitField, restore_labels
from EfficientSegLib.strategies import PatchLogits, Watcher
from EfficientSegLib.strategies.reading import Reading

TOLD_AFTER = (1, 3)  # patches that were timed: so early the pace is worth knowing, and then again at the end


def scored_in_source(patch: ScoredBox, prepared: Prepared) -> ScoredBox:
    """A patch of the prepared volume as one of the input volume."""
    return ScoredBox(to_source(patch.box, prepared), patch.score, patch.rank)


def by_label(class_weights: tuple[float, ...] | None, bundle: Bundle) -> dict[int, float] | None:
    """Class weights (one per channel) by the values of the labels that are shown."""
    if class_weights is None:
        return None
    return {
        label.value: weight
        for label, weight in zip(bundle.labels, class_weights[1:], strict=True)
        if not label.auxiliary
    }


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


class Live(Watcher):
    """Translates what a strategy reports into the input volume's terms.

    Args:
        region: of the input volume; outside it labels are 0. None is all of it.
    """

    def __init__(
        self, bundle: Bundle, prepared: Prepared, listener: Listener, clock: Clock, region: PatchBox | None = None
    ) -> None:
        self._bundle = bundle
        self._prepared = prepared
        self._listener = listener
        self._clock = clock
        self._region = region
        self._pacing = Pacing()
        self._boxes: list[PatchBox] = []  # of the chosen patches, in the input volume
        self._candidates = 0
        self._reading: Reading | None = None
        self.coarse_labels: np.ndarray | None = None  # (I, J, K), where they were made, before any patch was read
        self._pending: list[PatchBox] = []
        # Where nobody looks, labels on the way are not made: they would be counted among the seconds of the patches.
        self._has_viewer = type(listener).partial is not Listener.partial

    def labels(self, logits: LogitField, box: PatchBox | None = None) -> np.ndarray:
        """Labels of a box of the input volume (None: all of it), (I, J, K)."""
        values = self._bundle.channel_values
        return np.ascontiguousarray(restore_labels(logits, self._prepared, values, box, self._region))

    def moved(self, device: str, precision: str, why: str) -> None:
        self._pacing.moved()
        self._listener.warn(why)
        self._listener.moved(device, precision)

    def warn(self, text: str) -> None:
        self._listener.warn(text)

    def should_stop(self) -> bool:
        return self._listener.should_stop()

    def reads(self, reading: Reading) -> None:
        self._reading = reading

    def chosen(self, patches: tuple[ScoredBox, ...], candidates: int, class_weights: tuple[float, ...] | None) -> None:
        scored = tuple(scored_in_source(patch, self._prepared) for patch in patches)
        self._boxes, self._candidates = [patch.box for patch in scored], candidates
        self._listener.patches(scored, candidates)
        weights = by_label(class_weights, self._bundle)
        if weights is not None:
            self._listener.class_weights(weights)

    def refined(self, logits: PatchLogits | None, box: PatchBox | None, read: int, total: int) -> None:
        is_first = logits is not None and box is None
        if is_first:
            self._clock.lap("coarse")
        else:
            self._pacing.patch()
            self._candidates = self._candidates or total  # a strategy that reads everything chooses nothing
        left = None if is_first else self._pacing.seconds_left(total - read, len(self._pending) + 1)
        self._listener.progress("patches", 0.1 + 0.85 * read / max(total, 1), read, total, left)
        if is_first:
            self._send_first(logits, read, total)
        elif logits is not None:
            # Labels are interpolated between voxels of the prepared grid: they change up to a voxel outside the box.
            self._pending.append(to_source(box.grown(1), self._prepared))
            left = total - read
            if self._has_viewer and left and self._pacing.labels_due(left, len(self._pending)):
                self._send_pending(logits, read, total)
        if self._pacing.timed in TOLD_AFTER:
            pacing = self._pacing
            self._listener.pace(pacing.patch_seconds, pacing.spent, pacing.finish_seconds, self._candidates)
        self._pacing.resume()

    def ended(self) -> None:
        """The labels are made."""
        self._listener.pace(self._pacing.patch_seconds, self._pacing.spent, 0.0, self._candidates)

    def _send_first(self, logits: PatchLogits, read: int, total: int) -> None:
        """Labels of everything, which later ones rewrite box by box."""
        if not self._has_viewer:
            return
        shape = self._prepared.source_shape
        began = time.perf_counter()
        labels = self.labels(logits)
        seconds = time.perf_counter() - began
        self._listener.partial(labels, whole(shape), read, total)
        if not read and self._listener.wants_review:
            self.coarse_labels = labels
        box = sum(prod(box.shape) for box in self._boxes) / max(len(self._boxes), 1)
        self._pacing.first_labels(seconds, prod(shape), covered_voxels(self._boxes, read, shape), box)
        self._pacing.ending = ending.cleaning(labels, self._bundle)
        if self._reading is not None and self._listener.wants_review:
            self._pacing.ending += ending.reviewing(labels, self._reading, self._prepared, self._bundle, self._region)

    def _send_pending(self, logits: PatchLogits, read: int, total: int) -> None:
        boxes, self._pending = self._pending, []
        began, made = time.perf_counter(), []
        for box in boxes:
            since = time.perf_counter()
            labels = self.labels(logits, box)
            made.append((time.perf_counter() - since, prod(box.shape)))
            self._listener.partial(labels, box, read, total)
        seconds = time.perf_counter() - began
        self._pacing.labels(seconds, made)
