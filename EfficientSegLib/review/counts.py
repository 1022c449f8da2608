"""What a review counts, voxel by voxel: changes and surfaces, in patches and in places.

A label map is walked through slab by slab; what remains are histograms. So nothing as large as the volume is made
beside it, and the time is that of comparing each voxel with its neighbours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from EfficientSegLib.geometry import Index, PatchBox

SLAB = 1 << 18  # voxels looked at together: their masks and indices stay in the processor's caches


class Cells:
    """A volume cut by planes along its axes into cells, numbered in raster order.

    Args:
        edges: per axis the first voxel of each cell, ascending from 0.
        shape: voxels of the volume.
    """

    def __init__(self, edges: Sequence[np.ndarray], shape: Index) -> None:
        self.shape = tuple(len(axis) for axis in edges)
        self.edges = [np.append(axis, length) for axis, length in zip(edges, shape)]
        self._of_voxel = [np.repeat(np.arange(len(axis)), np.diff(full)) for axis, full in zip(edges, self.edges)]
        rows, columns, planes = self._of_voxel
        self._of_row = rows * self.shape[1] * self.shape[2]
        self._of_rest = (columns[:, None] * self.shape[2] + planes).ravel()  # of a slice of the first axis

    @property
    def count(self) -> int:
        return int(np.prod(self.shape))

    def of(self, voxels: Sequence[np.ndarray]) -> np.ndarray:
        """Number of the cell of each voxel, given by its three indices."""
        i, j, k = (axis[index] for axis, index in zip(self._of_voxel, voxels))
        return (i * self.shape[1] + j) * self.shape[2] + k

    def of_rows(self, rows: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """The same of voxels given by their first index, and their index in the flattened slice there."""
        return self._of_row[rows] + self._of_rest[rest]

    def box(self, number: int) -> PatchBox:
        """The voxels of a cell."""
        where = np.unravel_index(number, self.shape)
        return PatchBox(
            tuple(edges[index] for edges, index in zip(self.edges, where)),
            tuple(edges[index + 1] for edges, index in zip(self.edges, where)),
        )


def cells_of_boxes(boxes: Sequence[PatchBox], shape: Index) -> Cells:
    """Cut at every face of every box, so that each box is a block of whole cells."""
    edges = []
    for axis, length in enumerate(shape):
        faces = {0, *(face for box in boxes for face in (box.start[axis], box.stop[axis]) if face < length)}
        edges.append(np.array(sorted(faces)))
    return Cells(edges, shape)


def block(cells: Cells, box: PatchBox) -> tuple[slice, slice, slice]:
    """The cells of a box that was among those they were cut by."""
    bounds = ((edges, a, b) for edges, a, b in zip(cells.edges, box.start, box.stop))
    return tuple(slice(int(np.searchsorted(edges, a)), int(np.searchsorted(edges, b))) for edges, a, b in bounds)


@dataclass(frozen=True)
class Counts:
    """Histograms of one label map against another, by label (0: background, then in the order of the values)."""

    voxels: np.ndarray  # (L,)
    gained_or_lost: np.ndarray  # (L,) voxels
    in_boxes: np.ndarray  # (*cells of the boxes, L) voxels that gained or lost a label
    surface: np.ndarray  # (*cells of the boxes, L)
    changed: np.ndarray  # (places,) voxels
    changed_by_label: np.ndarray  # (places, L) gained or lost
    surface_by_label: np.ndarray  # (places, L)


def count(
    labels: np.ndarray, coarse: Callable[[int, int], np.ndarray], values: Sequence[int], boxes: Cells, places: Cells
) -> Counts:
    """Compare the final labels (I, J, K) with the coarse ones.

    Args:
        coarse: the coarse labels of the slab [start, stop) of the first axis.
        values: of the labels, ascending, without background.
        boxes: cells that the patches consist of.
        places: cells that may become places.
    """
    order = np.zeros(max(values, default=0) + 1, dtype=np.int64)
    order[list(values)] = np.arange(1, len(values) + 1)
    n, plane = len(values) + 1, labels.shape[1] * labels.shape[2]
    voxels = np.zeros(len(order), np.int64)
    in_boxes, surface = (np.zeros(boxes.count * n, np.int64) for _ in range(2))
    changed_by_label, surface_by_label = (np.zeros(places.count * n, np.int64) for _ in range(2))

    def tally(
        at: np.ndarray, kinds: Sequence[np.ndarray], start: int, by_box: np.ndarray, by_place: np.ndarray
    ) -> None:
        """Add voxels of a slab, given by their flat index, to two histograms under each kind of label they have."""
        rows = at // plane
        rest = at - rows * plane
        rows += start
        for cells, sums in ((boxes, by_box), (places, by_place)):
            keys = cells.of_rows(rows, rest) * n
            low = int(keys.min(initial=len(sums)))  # a slab touches few of the cells
            for kind in kinds:
                found = np.bincount(keys - low + kind)
                sums[low : low + len(found)] += found

    for start, stop in _slabs(labels.shape):
        now, before = (part.ravel() for part in (labels[start:stop], coarse(start, stop)))
        voxels += np.bincount(now, minlength=len(order))
        at = np.flatnonzero(now != before)
        tally(at, (order[now[at]], order[before[at]]), start, in_boxes, changed_by_label)
        at = np.flatnonzero(_surface(labels, start, stop))
        tally(at, (order[now[at]],), start, surface, surface_by_label)
    in_boxes, surface = (sums.reshape(*boxes.shape, n) for sums in (in_boxes, surface))
    changed_by_label, surface_by_label = (sums.reshape(-1, n) for sums in (changed_by_label, surface_by_label))
    return Counts(
        voxels=np.concatenate(([0], voxels[list(values)])),
        gained_or_lost=changed_by_label.sum(0),
        in_boxes=in_boxes,
        surface=surface,
        changed=changed_by_label.sum(1) // 2,  # what a voxel lost and what it gained
        changed_by_label=changed_by_label,
        surface_by_label=surface_by_label,
    )


def _slabs(shape: Index) -> Iterator[tuple[int, int]]:
    thick = max(SLAB // max(shape[1] * shape[2], 1), 1)
    return ((start, min(start + thick, shape[0])) for start in range(0, shape[0], thick))


def _surface(labels: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Labelled voxels of a slab with a neighbour (faces) of another label; the volume's border is no surface."""
    low, high = max(start - 1, 0), min(stop + 1, len(labels))
    part = labels[low:high]
    edge = np.zeros(part.shape, dtype=bool)
    for axis in range(3):
        one = tuple(slice(None, -1) if n == axis else slice(None) for n in range(3))
        other = tuple(slice(1, None) if n == axis else slice(None) for n in range(3))
        differs = part[one] != part[other]
        edge[one] |= differs
        edge[other] |= differs
    edge &= part != 0
    return edge[start - low : start - low + stop - start]
