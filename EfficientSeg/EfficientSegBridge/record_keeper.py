"""Puts the record of a run that has ended into the scene, and takes it out again where the run is undone."""

import logging
from collections.abc import Iterator

import slicer

from EfficientSegBridge import changes, findings, scene_record
from EfficientSegBridge.changes import Changes
from EfficientSegBridge.review import Review
from EfficientSegBridge.scene_record import FINDINGS, REVIEW, RUN, SceneRecord
from EfficientSegBridge.steps import Steps


class RecordKeeper:
    """The record of one run. Held by the run, and by itself until the changes are found.

    Args:
        run: a SegmentationRun that has ended with a result.
    """

    _atWork: set["RecordKeeper"] = set()  # noqa: RUF012 (the next run must not take these from under the timer)

    def __init__(self, run) -> None:
        self.changes: Changes | None = None  # once they are found, however many there are
        self._volume = run.volumeNode
        self._record = SceneRecord(run.segments.node)
        self._before = self._record.texts()
        found = findings.ofRun(run)
        review = Review(found.places)
        if run.continues:
            review.takeOver(Review(self._record.findings.places, self._record.review))
        scene_record.sweep()
        self._record.restore(("", ""))
        self._record.write(self._volume, **{FINDINGS: found.toJson(), RUN: run.record, REVIEW: review.toJson()})
        self._steps = Steps(self._failed)
        if run.coarseLabels is not None and run.labels is not None:
            self._atWork.add(self)
            self._steps.add(self._compare(run.coarseLabels, run.labels, [place.box for place in found.places]))

    @property
    def busy(self) -> bool:
        """True until the changes are found."""
        return self._steps.busy

    def undo(self) -> None:
        """The run is undone: the record of the run before comes back."""
        self._end()
        if slicer.mrmlScene.IsNodePresent(self._record.segmentation):
            self._record.restore(self._before, self._volume)

    def _compare(self, coarse, refined, boxes) -> Iterator[None]:
        self.changes = yield from changes.between(coarse, refined)
        content = yield from changes.toJson(self.changes, boxes)
        if slicer.mrmlScene.IsNodePresent(self._record.segmentation):
            self._record.writeChanges(content, self._volume)
        self._atWork.discard(self)

    def _failed(self, error: Exception) -> None:
        self._end()
        logging.error("EfficientSeg: what refinement changed is not kept: %s", error)

    def _end(self) -> None:
        self._steps.clear()
        self._atWork.discard(self)
