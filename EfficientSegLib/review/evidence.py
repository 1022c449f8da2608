"""What speaks for a look at a place of a finished segmentation.

The volume is cut into places, cubes that one looks at at once. A place is worth its share of the volume that is
expected to be wrong: most of that goes by the surface it holds, since errors lie there, the rest by signs of doubt that
a run leaves. These are how much the patches changed, how far patches and coarse pass disagree
(`strategies.disagreement`), and the same doubt of the coarse pass where no patch was read. Shares, not millilitres:
networks differ in how freely they doubt. How much each counts was fitted on training cases and tried on test cases
(Testing/benchmarks/review_order.py): an order, no probability.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.geometry import Index, PatchBox, ScoredBox
from EfficientSegLib.preprocess import Prepared
from EfficientSegLib.restore import restore_labels
from EfficientSegLib.review.counts import Cells, Counts, cells_of_boxes, count
from EfficientSegLib.strategies.disagreement import centres
from EfficientSegLib.strategies.overview import CoarseField
from EfficientSegLib.strategies.reading import Reading

MOST_PLACES = 50
PLACE_MM = 20.0  # edge of a place; no longer than half a patch
WEIGHTS = {"changed": 0.05, "disagreement": 0.25, "unvisited": 0.4}  # how much the share in each sign of doubt counts
SURFACE = 0.55  # how much the share in the surface counts
TINY = 1e-12  # millilitres: for volumes in which nothing is


@dataclass(frozen=True)
class Evidence:
    """What speaks for a look, by place, in millilitres."""

    cells: Cells
    changed: np.ndarray  # (N,) that the patches changed
    disagreement: np.ndarray  # (N,) expected to be disputed, where patches were read
    unvisited: np.ndarray  # (N,) the same where none was
    disputed: np.ndarray  # (N,) to which patches and coarse pass give different labels
    surface: np.ndarray  # (N,) of voxels at the surface of a segment
    doubted_label: np.ndarray  # (N,) channel most of the doubt is about, 0 for background
    counts: Counts

    def signs(self) -> np.ndarray:
        """The place's share in each sign of doubt of the volume, (3, N), in the order of `WEIGHTS`."""
        doubt = self.disagreement.sum() + self.unvisited.sum()
        totals = {"changed": self.changed.sum(), "disagreement": doubt, "unvisited": doubt}
        return np.stack([getattr(self, kind) / max(totals[kind], TINY) for kind in WEIGHTS])

    def worth(self) -> np.ndarray:
        """Share of the volume that is expected to be wrong, (N,); no probability."""
        doubt = np.array(list(WEIGHTS.values())) @ self.signs()
        return doubt + SURFACE * self.surface / max(self.surface.sum(), TINY)


def listed(evidence: Evidence, most: int | None = MOST_PLACES) -> np.ndarray:
    """Numbers of the places most worth a look, best first; ties by number. None: all in which anything is seen."""
    worth = evidence.worth()
    has_segment = evidence.counts.surface_by_label.any(1) | evidence.counts.changed.astype(bool)
    worth = np.where(has_segment | (evidence.doubted_label > 0), worth, 0)
    order = np.argsort(-worth, kind="stable")[:most]
    return order[worth[order] > 0]


def gather(
    labels: np.ndarray,
    coarse: np.ndarray | None,
    reading: Reading,
    patches: Sequence[ScoredBox],
    prepared: Prepared,
    bundle: Bundle,
    region: PatchBox | None = None,
) -> Evidence:
    """What the order of review rests on; see `review`."""
    field = CoarseField(reading.overview)

    def coarse_slab(start: int, stop: int) -> np.ndarray:
        if coarse is not None:
            return coarse[start:stop]
        box = PatchBox((start, 0, 0), (stop, *labels.shape[1:]))
        return restore_labels(field, prepared, bundle.channel_values, box, region)

    counts = count_labels(labels, coarse_slab, patches, prepared, reading, bundle)
    places = place_cells(labels.shape, prepared, reading.overview.grid[0].shape)
    return Evidence(
        cells=places,
        changed=counts.changed * voxel_ml(prepared),
        surface=counts.surface_by_label.sum(1) * voxel_ml(prepared),
        counts=counts,
        **doubts(reading, prepared, places, bundle, region),
    )


def count_labels(
    labels: np.ndarray,
    coarse: Callable[[int, int], np.ndarray],
    patches: Sequence[ScoredBox],
    prepared: Prepared,
    reading: Reading,
    bundle: Bundle,
) -> Counts:
    """Compare final labels (I, J, K) with the coarse ones of slabs [start, stop) of the first axis."""
    values = sorted(label.value for label in bundle.shown_labels)
    boxes = cells_of_boxes([patch.box for patch in patches[: reading.read]], labels.shape)
    places = place_cells(labels.shape, prepared, reading.overview.grid[0].shape)
    return count(labels, coarse, values, boxes, places)


def doubts(
    reading: Reading, prepared: Prepared, places: Cells, bundle: Bundle, region: PatchBox | None = None
) -> dict[str, np.ndarray]:
    """The signs of doubt of `Evidence` that a run leaves, by name."""
    doubt, seen, local = (part.numpy() for part in reading.disagreement.measured())
    was_read, label = local >= 0, np.where(local >= 0, local, seen)
    doubt = np.where(_borders(seen) | _borders(label) | (label != seen), doubt, 0)
    at, inside, cell_ml = _on_places(reading, prepared, places, region)

    def summed(weights: np.ndarray, number: int = places.count, key: np.ndarray = at) -> np.ndarray:
        return np.bincount(key, weights=weights[inside].astype(np.float64), minlength=number) * cell_ml

    channels = bundle.num_labels
    by_label = summed(doubt, places.count * channels, at * channels + label[inside]).reshape(-1, channels)
    by_label[:, 0] = 0
    return {
        "disagreement": summed(np.where(was_read, doubt, 0)),
        "unvisited": summed(np.where(was_read, 0, doubt)),
        "disputed": summed(was_read & (local != seen)),
        "doubted_label": by_label.argmax(1) * (by_label.max(1) > 0),
    }


def _borders(labels: np.ndarray) -> np.ndarray:
    """Cells with a neighbour (faces) of another label."""
    found = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        one = tuple(slice(None, -1) if n == axis else slice(None) for n in range(3))
        other = tuple(slice(1, None) if n == axis else slice(None) for n in range(3))
        differs = labels[one] != labels[other]
        found[one] |= differs
        found[other] |= differs
    return found


def voxel_ml(prepared: Prepared) -> float:
    """Millilitres of a voxel of the input."""
    cells = np.prod(prepared.grid) / np.prod(prepared.source_shape)
    return float(np.prod(prepared.spacing_mm) * cells / 1000)


def place_cells(shape: Index, prepared: Prepared, patch: Index) -> Cells:
    """Cubes of `PLACE_MM`, or of half a patch where that is less."""
    edges = [np.zeros(1, np.int64)] * 3
    for axis, source in enumerate(prepared.axes):
        cell_mm = prepared.spacing_mm[axis]
        voxel_mm = cell_mm * prepared.grid[axis] / prepared.oriented_shape[axis]
        step = max(round(min(PLACE_MM, patch[axis] * cell_mm / 2) / voxel_mm), 1)
        edges[source] = np.arange(0, shape[source], step)
    return Cells(edges, shape)


def _on_places(
    reading: Reading, prepared: Prepared, places: Cells, region: PatchBox | None
) -> tuple[np.ndarray, tuple[np.ndarray, ...], float]:
    """Place of each coarse cell inside the volume; its index in the coarse grid; millilitres of a coarse cell."""
    overview = reading.overview
    kept, voxels, size = [None] * 3, [None] * 3, 1.0
    for axis, (cells, covers) in enumerate(zip(overview.logits.shape[1:], overview.covers)):
        step = prepared.oriented_shape[axis] / prepared.grid[axis]
        centre = centres(cells, covers).numpy() - overview.offset[axis]
        index = np.flatnonzero((centre >= 0) & (centre < overview.shape[axis]))
        voxel = ((centre[index] + prepared.crop.start[axis] + 0.5) * step).astype(np.int64)
        source = prepared.axes[axis]
        voxel = np.clip(voxel, 0, prepared.oriented_shape[axis] - 1)
        if prepared.flips[axis]:
            voxel = prepared.oriented_shape[axis] - 1 - voxel
        low, high = (0, places.edges[source][-1]) if region is None else (region.start[source], region.stop[source])
        is_wanted = (voxel >= low) & (voxel < high)
        kept[axis], voxels[source] = index[is_wanted], (axis, voxel[is_wanted])
        size *= covers / cells * prepared.spacing_mm[axis]
    inside = np.ix_(*kept)
    shape = [len(index) for index in kept]
    spread = [np.broadcast_to(_along(axis, voxel), shape).ravel() for axis, voxel in voxels]
    inside = tuple(np.broadcast_to(part, shape).ravel() for part in inside)
    return places.of(spread), inside, size / 1000


def _along(axis: int, values: np.ndarray) -> np.ndarray:
    return values.reshape([-1 if n == axis else 1 for n in range(3)])
