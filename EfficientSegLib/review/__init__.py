"""Looking back at a run: what the patches changed, how each segment came about, and where to look first."""

from collections.abc import Sequence

import numpy as np

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.geometry import PatchBox, ScoredBox
from EfficientSegLib.preprocess import Prepared
from EfficientSegLib.protocol import PatchChange, Place, Reviewed, SegmentRefinement
from EfficientSegLib.review.counts import Cells, Counts, block, cells_of_boxes
from EfficientSegLib.review.evidence import WEIGHTS, Evidence, gather, listed, voxel_ml
from EfficientSegLib.strategies.reading import Reading


def review(
    labels: np.ndarray,
    coarse: np.ndarray | None,
    reading: Reading,
    patches: Sequence[ScoredBox],
    prepared: Prepared,
    bundle: Bundle,
    region: PatchBox | None = None,
) -> Reviewed:
    """Look back at a run of patches.

    Args:
        labels: final, (I, J, K).
        coarse: labels before any patch was read, of the same shape; None: they are made again, slab by slab.
        reading: what the run has left.
        patches: chosen, in voxels of the input, in the order of reading.
        prepared: how the prepared grid came to be.
        region: of the input volume, outside of which labels are 0.
    """
    evidence = gather(labels, coarse, reading, patches, prepared, bundle, region)
    values = sorted(label.value for label in bundle.shown_labels)
    read = [patch.box for patch in patches[: reading.read]]
    one_ml = voxel_ml(prepared)
    boxes = cells_of_boxes(read, labels.shape)
    return Reviewed(
        tuple(
            _change(patch.rank, evidence.counts.in_boxes[block(boxes, patch.box)], values, one_ml)
            for patch in patches[: reading.read]
        ),
        _segments(evidence.counts, _covered(boxes, read), values, one_ml),
        _places(evidence, labels, bundle, one_ml),
    )


def _change(rank: int, cells: np.ndarray, values: Sequence[int], one_ml: float) -> PatchChange:
    sums = cells.reshape(-1, cells.shape[-1]).sum(0)[1:]
    return PatchChange(rank, {str(value): round(float(n) * one_ml, 4) for value, n in zip(values, sums) if n})


def _covered(boxes: Cells, read: Sequence[PatchBox]) -> np.ndarray:
    covered = np.zeros(boxes.shape, dtype=bool)
    for box in read:
        covered[block(boxes, box)] = True
    return covered


def _segments(
    counts: Counts, covered: np.ndarray, values: Sequence[int], one_ml: float
) -> tuple[SegmentRefinement, ...]:
    everything = counts.surface.reshape(-1, counts.surface.shape[-1]).sum(0)
    refined = counts.surface[covered].sum(0)
    return tuple(
        SegmentRefinement(
            value=value,
            ml=round(float(counts.voxels[n]) * one_ml, 3),
            surface_refined=round(float(refined[n] / everything[n]), 4) if everything[n] else 1.0,
            changed_ml=round(float(counts.gained_or_lost[n]) * one_ml, 3),
        )
        for n, value in enumerate(values, start=1)
        if counts.voxels[n] or counts.gained_or_lost[n]
    )


def _places(evidence: Evidence, labels: np.ndarray, bundle: Bundle, one_ml: float) -> tuple[Place, ...]:
    signs, worth = evidence.signs(), evidence.worth()
    values = [0, *sorted(label.value for label in bundle.shown_labels)]
    shown = {label.value for label in bundle.shown_labels}
    doubted = [0, *(label.value if label.value in shown else 0 for label in bundle.labels)]
    places = []
    for number in listed(evidence):
        kind = list(WEIGHTS)[int(signs[:, number].argmax())]
        value = _about(evidence, number, kind, values, doubted)
        if value:
            ml = _ml(evidence, number, kind, value, labels, one_ml)
            places.append(Place(evidence.cells.box(number), value, kind, round(float(worth[number]), 8), ml))
    return tuple(places)


def _about(evidence: Evidence, number: int, kind: str, values: Sequence[int], doubted: Sequence[int]) -> int:
    """Label value of the segment a place is about: most changed, or most doubted, or with most surface; 0: none."""
    counts = evidence.counts
    changed, surface = counts.changed_by_label[number, 1:], counts.surface_by_label[number, 1:]
    doubt = doubted[int(evidence.doubted_label[number])]
    if doubt and (kind != "changed" or not changed.any()):
        return doubt
    labels = changed if changed.any() and (kind == "changed" or not surface.any()) else surface
    return values[int(labels.argmax()) + 1] if labels.any() else 0


def _ml(evidence: Evidence, number: int, kind: str, value: int, labels: np.ndarray, one_ml: float) -> float:
    if kind == "unvisited":
        inside = labels[evidence.cells.box(number).slices()]
        return round(int((inside == value).sum()) * one_ml, 4)
    return round(float(evidence.changed[number] if kind == "changed" else evidence.disputed[number]), 4)
