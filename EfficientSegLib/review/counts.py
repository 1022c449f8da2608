"""What a review counts, voxel by voxel: changes and surfaces, in patches and in places.

A label map is walked through slab by slab; what remains are histograms. So nothing as large as the volume is made
beside it, and the time is that of comparing each voxel with its neighbours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from EfficientSegLib.geometry import Index, PatchBox

SLAB = 1 << 22  # voxels looked at together: their masks stay in the processor's caches


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

    @property
    def count(self) -> int:
        return int(np.prod(self.shape))

    def of(self, voxels: Sequence[np.ndarray]) -> np.ndarray:
        """Number of the cell of each voxel, given by its three indices."""
        i, j, k = (axis[index] for axis, index in zip(self._of_voxel, voxels))
        return (i * self.shape[1] + j) * self.shape[2] + k

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
    n = len(values) + 1
    voxels, total = np.zeros(n, np.int64), np.zeros(n, np.int64)
    in_boxes, surface = (np.zeros(boxes.count * n, np.int64) for _ in range(2))
    changed = np.zeros(places.count, np.int64)
    changed_by_label, surface_by_label = (np.zeros(places.count * n, np.int64) for _ in range(2))
    for start, stop in _slabs(labels.shape):
        now, before = labels[start:stop], coarse(start, stop)
        voxels += np.bincount(order[now[now != 0]], minlength=n)
        at = np.nonzero(now != before)
        after, earlier = order[now[at]], order[before[at]]
        at = (at[0] + start, *at[1:])
        box, place = boxes.of(at), places.of(at)
        changed += np.bincount(place, minlength=places.count)
        for label in (after, earlier):
            total += np.bincount(label, minlength=n)
            in_boxes += np.bincount(box * n + label, minlength=boxes.count * n)
            changed_by_label += np.bincount(place * n + label, minlength=places.count * n)
        at = np.nonzero(_surface(labels, start, stop))
        label = order[now[at]]
        at = (at[0] + start, *at[1:])
        surface += np.bincount(boxes.of(at) * n + label, minlength=boxes.count * n)
        surface_by_label += np.bincount(places.of(at) * n + label, minlength=places.count * n)
    return Counts(
        voxels,
        total,
        in_boxes.reshape(*boxes.shape, n),
        surface.reshape(*boxes.shape, n),
        changed,
        changed_by_label.reshape(-1, n),
        surface_by_label.reshape(-1, n),
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
