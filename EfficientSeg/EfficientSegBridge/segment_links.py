"""Which segment stands for which label: those that a run takes over, adds, drops, and gives back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from EfficientSegBridge.segment_parts import BINARY_LABELMAP, asArray, findSegment, isCompleted, labelTag, makeSegment
from EfficientSegBridge.volume_image import LabelTable, VolumeImage, copyShared
from EfficientSegLib.bundle import Bundle, Label


@dataclass(frozen=True)
class Before:
    """What one of our segments was before the run."""

    segment: object
    image: object
    labelValue: int


class SegmentLinks:
    """The segments of one run by label value.

    Args:
        bundle: names, colours, terminology and label values.
        shown: label values that become segments; None: all.
    """

    def __init__(self, bundle: Bundle, shown: tuple[int, ...] | None) -> None:
        self._bundle = bundle
        self._all = [label for label in bundle.shown_labels if shown is None or label.value in shown]
        self._labels = self._all  # those that are written
        self._segmentation = None
        self._before: dict[str, Before] = {}
        self.ids: dict[int, str] = {}  # by label value

    @property
    def largestValue(self) -> int:
        return max((label.value for label in self._bundle.shown_labels), default=0)

    def prepare(self, segmentation, earlier: "SegmentLinks | None") -> None:
        """Decide which labels are written: not those whose segment the user has completed, or deleted since the
        `earlier` run.

        Args:
            segmentation: the vtkSegmentation that takes them; None: a new one will.
            earlier: the run that this one goes on from.
        """
        if segmentation is None:
            return
        gone = [value for value, name in (earlier.ids if earlier else {}).items() if not segmentation.GetSegment(name)]
        self._labels = [
            label
            for label in self._labels
            if label.value not in gone and not (self._find(segmentation, label, isCompleted))
        ]

    def adopt(self, segmentation, found: set[int]) -> None:
        """Know the segments that an earlier session has made; those missing of `found` were deleted by its user."""
        for label in self._labels:
            if label.value in found:
                self.ids[label.value] = self._find(segmentation, label) or f"deleted {label.value}"

    def _find(self, segmentation, label: Label, which: Callable[[object], bool] = lambda segment: True) -> str:
        segmentId = findSegment(segmentation, labelTag(self._bundle.name, label))
        return segmentId if segmentId and which(segmentation.GetSegment(segmentId)) else ""

    def content(self, segmentation, image: VolumeImage) -> Callable[[slice], np.ndarray]:
        """What the segments that are taken over hold now, in label values: a function from slices to (k, J, I)."""
        sources: list[tuple[object, dict[int, int]]] = []
        for label in self._labels:
            segmentId = self._find(segmentation, label)
            segment = segmentation.GetSegment(segmentId) if segmentId else None
            held = segment.GetRepresentation(BINARY_LABELMAP) if segment else None
            if held is not None and held.GetNumberOfPoints():
                values = next((values for source, values in sources if source is held), None)
                if values is None:
                    sources.append((held, values := {}))
                values[segment.GetLabelValue()] = label.value
        tables = [(held, LabelTable(values, asArray(held).dtype)) for held, values in sources]
        size = image.voxels.shape

        def slab(rows: slice) -> np.ndarray:
            merged = np.zeros((rows.stop - rows.start, *size[1:]), image.dtype)
            for held, table in tables:
                extent = held.GetExtent()
                start, stop = max(rows.start, extent[4]), min(rows.stop, extent[5] + 1)
                if start < stop:
                    part = np.zeros_like(merged)
                    cut = table(asArray(held)[start - extent[4] : stop - extent[4]])
                    place = (0, size[2] - 1, 0, size[1] - 1, rows.start, rows.stop - 1)
                    copyShared(cut, (*extent[:4], start, stop - 1), part, place)
                    np.copyto(merged, part, where=part != 0)
            return merged

        return slab

    def attach(self, segmentation, image) -> None:
        """Point the segments of earlier runs at our image, and add those that are missing; names and colours stay."""
        self._segmentation = segmentation
        for label in self._labels:
            segmentId = self._find(segmentation, label)
            if segmentId:
                segment = segmentation.GetSegment(segmentId)
                held = segment.GetRepresentation(BINARY_LABELMAP)
                self._before[segmentId] = Before(segment, held, segment.GetLabelValue())
                segment.SetLabelValue(label.value)
                segment.AddRepresentation(BINARY_LABELMAP, image)
            else:
                segment = makeSegment(label, labelTag(self._bundle.name, label), image)
                segmentId = segmentation.GenerateUniqueSegmentID(f"{self._bundle.name}_{label.value}")
                segmentation.AddSegment(segment, segmentId)
            self.ids[label.value] = segmentId

    def table(self, image: VolumeImage) -> LabelTable:
        """What stands for each label in our image now.

        The user may have completed, deleted or moved a segment into an image of its own since: such labels are left
        out, and what they hold is not ours any more.
        """
        if self._segmentation is None:
            return LabelTable({label.value: label.value for label in self._labels}, image.dtype)
        return LabelTable(dict(self._ours(image.image)), image.dtype)

    def _ours(self, image) -> Iterator[tuple[int, int]]:
        for value, segmentId in self.ids.items():
            segment = self._segmentation.GetSegment(segmentId)
            if segment and segment.GetRepresentation(BINARY_LABELMAP) is image and not isCompleted(segment):
                yield value, segment.GetLabelValue()

    def spared(self, segmentation) -> list[str]:
        """Names of our segments that stayed as they were, because the user has set them to Completed."""
        return [
            segmentation.GetSegment(segmentId).GetName()
            for segmentId in (self._find(segmentation, label, isCompleted) for label in self._all)
            if segmentId
        ]

    def hidden(self, displayNode) -> list[str]:
        """Names of the segments that were written though the user has hidden them; they stay hidden."""
        return [
            self._segmentation.GetSegment(segmentId).GetName()
            for segmentId in self.ids.values()
            if self._segmentation.GetSegment(segmentId) and not displayNode.GetSegmentVisibility(segmentId)
        ]

    def found(self, counts: np.ndarray) -> dict[int, int]:
        """Voxels of each label, by label value, from those of our image by its values."""
        values = {label.value: label.value for label in self._labels}
        for value, segmentId in self.ids.items():
            segment = self._segmentation.GetSegment(segmentId)
            values[value] = segment.GetLabelValue() if segment else value
        return {value: int(counts[shown]) for value, shown in values.items()}

    def drop(self, segmentation, value: int) -> bool:
        """Remove the segment of a label that was not found; one that was there before the run stays, empty."""
        segmentId = self.ids.get(value, "")
        if not segmentId or segmentId in self._before:
            return False
        del self.ids[value]
        segmentation.RemoveSegment(segmentId)
        return True

    def restore(self, segmentation) -> None:
        """Take back what `attach` did."""
        for segmentId in self.ids.values():
            if segmentId in self._before and segmentation.GetSegment(segmentId):
                before = self._before[segmentId]
                before.segment.SetLabelValue(before.labelValue)
                before.segment.AddRepresentation(BINARY_LABELMAP, before.image)
            elif segmentation.GetSegment(segmentId):
                segmentation.RemoveSegment(segmentId)
