"""What the pipeline tells, as events of the protocol; and a wish to stop, as the right end."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from EfficientSegLib.failures import Stopped
from EfficientSegLib.files import replacing
from EfficientSegLib.geometry import PatchBox, ScoredBox
from EfficientSegLib.protocol import (
    ClassWeights,
    Event,
    Pace,
    Partial,
    Patches,
    Progress,
    Reviewed,
    Started,
    Tokens,
    Warned,
)

TOKENS = "tokens.npy"
KEPT_PARTIALS = 32  # a reader that lags further behind waits for the final labels

# What the compressed segmentation file takes, as a multiple of writing the labels plainly: 512 x 512 x 400 voxels.
SEGMENTATION = 2.5

Emit = Callable[[Event], None]


def write_labels(array: np.ndarray, path: Path) -> None:
    """Write labels (I, J, K) as .npy, whole or not at all.

    Raises:
        VolumeError: the disk is full, or the folder may not be written.
    """
    with replacing(path) as part, open(part, "wb") as file:
        # I fastest, as in the application's image: it then copies five times as fast.
        np.save(file, np.asfortranarray(array), allow_pickle=False)


class Reporter:
    """Turns what the pipeline tells into events, and a wish to stop into the right end."""

    def __init__(
        self,
        emit: Emit,
        folder: Path,
        should_stop: Callable[[], bool],
        saves_segmentation: bool = True,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._now = now
        self._began = now()
        self._ending = 0.0  # seconds from the reviewed labels to the end of the run, estimated
        self._ending_writes = 1 + (SEGMENTATION if saves_segmentation else 0.0)
        self.rehearse: Callable[[np.ndarray], float] = lambda labels: 0.0  # seconds of the record's sums, of labels
        self._emit = emit
        self._folder = folder
        self._should_stop = should_stop
        self._has_labels = False
        self._fraction = 0.0
        self._partials: list[Path] = []
        self._read = 0  # patches, or slices
        self._started: Started | None = None
        self.devices: list[dict] = []  # really used, one after the other, with how many patches were read before
        self.warnings: list[str] = []
        self.review: Reviewed | None = None
        self.last_pace: Pace | None = None

    def listener(self):
        """A `segment.Listener` that speaks for this reporter."""
        from EfficientSegLib.segment import Listener

        reporter = self

        class Speaking(Listener):
            progress = staticmethod(reporter.progress)
            patches = staticmethod(reporter.patches)
            class_weights = staticmethod(reporter.class_weights)
            partial = staticmethod(reporter.partial)
            pace = staticmethod(reporter.pace)
            reviewed = staticmethod(reporter.reviewed)
            tokens = staticmethod(reporter.tokens)
            moved = staticmethod(reporter.moved)
            warn = staticmethod(reporter.warn)
            should_stop = staticmethod(reporter.stop_if_asked)

        return Speaking()

    def started(self, event: Started) -> None:
        """The run begins, or goes on with another device."""
        self._started = event
        self.devices.append({"device": event.device, "precision": event.precision, "after": self._read})
        self._emit(event)

    def moved(self, device: str, precision: str) -> None:
        self.started(replace(self._started, device=device, precision=precision))

    def stop_if_asked(self) -> bool:
        """Whether to stop with what there is; without any labels there is nothing to stop with."""
        if not self._should_stop():
            return False
        if not self._has_labels:
            raise Stopped
        return True

    def progress(self, stage: str, fraction: float, done: int = 0, total: int = 0, seconds_left=None) -> None:
        if stage in ("patches", "slices"):
            self._read = done
        self._has_labels = self._has_labels or self._read > 0
        if stage in ("read", "load", "prepare", "coarse"):
            self.stop_if_asked()
        self._fraction = max(self._fraction, round(fraction, 4))  # never back
        if seconds_left is not None:
            seconds_left = round(seconds_left + self._ending, 3)
        self._emit(Progress(stage, self._fraction, done, total, seconds_left))

    def patches(self, boxes: tuple[ScoredBox, ...], candidates: int) -> None:
        self.stop_if_asked()
        self._emit(Patches(tuple(boxes), candidates))

    def class_weights(self, weights: dict[int, float]) -> None:
        self._emit(ClassWeights({str(value): round(float(weight), 6) for value, weight in weights.items()}))

    def partial(self, labels: np.ndarray, box: PatchBox, patches_read: int, patches_total: int) -> None:
        path = self._folder / f"partial_{len(self._partials):04d}.npy"
        began = self._now()
        write_labels(labels, path)
        seconds, is_first = self._now() - began, not self._partials
        self._partials.append(path)
        if len(self._partials) > KEPT_PARTIALS:
            with suppress(OSError):  # still open in the reader (Windows): the end of the run removes it
                self._partials[-KEPT_PARTIALS - 1].unlink(missing_ok=True)
        self._has_labels = True
        self._emit(Partial(str(path), box, patches_read, patches_total))
        if is_first:  # of the whole volume; what costs time comes behind the event
            self._ending = seconds * self._ending_writes + self.rehearse(labels)

    def pace(self, patch_seconds: float, patches_spent: float, finish_seconds: float, candidates: int) -> None:
        base = self._now() - self._began - patches_spent + finish_seconds + self._ending
        self.last_pace = Pace(round(base, 3), round(patch_seconds, 4), candidates)
        self._emit(self.last_pace)

    def reviewed(self, found: Reviewed) -> None:
        self.review = found
        self._emit(found)

    def tokens(self, depths: np.ndarray, stages: int) -> None:
        path = self._folder / TOKENS
        write_labels(depths, path)
        self._emit(Tokens(str(path), stages))

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            self._emit(Warned(text))
