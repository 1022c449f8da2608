"""A run while it goes on: what a strategy reports, in the input volume's terms, with labels on the way."""

import time

import numpy as np

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.geometry import PatchBox, ScoredBox, whole
from EfficientSegLib.listener import Listener
from EfficientSegLib.preprocess import Prepared, to_source
from EfficientSegLib.restore import LogitField, restore_labels
from EfficientSegLib.strategies import PatchLogits, Watcher

PARTIAL_SHARE = 0.15  # of the time that partial labels may cost
PARTIAL_SECONDS = 0.5  # between two of them, at least


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
        self._first_patch = time.perf_counter()
        self._read_before = 0
        self._partial_cost = 0.0
        self._partial_end = 0.0
        self._pending: list[PatchBox] = []
        # Where nobody looks, labels on the way are not made: they would be counted among the seconds of the patches.
        self._has_viewer = type(listener).partial is not Listener.partial

    def labels(self, logits: LogitField, box: PatchBox | None = None) -> np.ndarray:
        """Labels of a box of the input volume (None: all of it), (I, J, K)."""
        values = self._bundle.channel_values
        return np.ascontiguousarray(restore_labels(logits, self._prepared, values, box, self._region))

    def should_stop(self) -> bool:
        return self._listener.should_stop()

    def chosen(self, patches: tuple[ScoredBox, ...], candidates: int, class_weights: tuple[float, ...] | None) -> None:
        self._listener.patches(tuple(scored_in_source(patch, self._prepared) for patch in patches), candidates)
        weights = by_label(class_weights, self._bundle)
        if weights is not None:
            self._listener.class_weights(weights)

    def refined(self, logits: PatchLogits | None, box: PatchBox | None, read: int, total: int) -> None:
        now = time.perf_counter()
        is_first = logits is not None and box is None
        if is_first:
            self._clock.lap("coarse")
            self._read_before = read
        here = read - self._read_before
        per_patch = (now - self._first_patch) / here if here else None
        left = per_patch * (total - read) if per_patch is not None else None
        self._listener.progress("patches", 0.1 + 0.85 * read / max(total, 1), read, total, left)
        if logits is None:
            return
        # Labels are interpolated between voxels of the prepared grid: they change up to one voxel outside the box.
        everything = whole(self._prepared.source_shape)
        self._pending.append(everything if box is None else to_source(box.grown(1), self._prepared))
        wait = max(PARTIAL_SECONDS, self._partial_cost * (1 / PARTIAL_SHARE - 1))
        if self._has_viewer and (is_first or (read < total and now - self._partial_end >= wait)):
            self._send_partials(logits, read, total)
        if is_first:
            self._first_patch = time.perf_counter()  # the first labels are large; patches must not be blamed for them

    def _send_partials(self, logits: PatchLogits, read: int, total: int) -> None:
        started = time.perf_counter()
        for box in self._pending:
            self._listener.partial(self.labels(logits, box), box, read, total)
        self._pending = []
        self._partial_end = time.perf_counter()
        self._partial_cost = self._partial_end - started
