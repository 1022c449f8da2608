"""From logits on the bundle's grid to labels on the scanner's grid, tile by tile."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib.geometry import Index, PatchBox, whole
from EfficientSegLib.overlaps import Masks
from EfficientSegLib.preprocess import Prepared, from_oriented, orient, orient_back, to_oriented
from EfficientSegLib.resampling import interpolate, labels_last, linear_weights

TILE = 32  # cells of the bundle's grid per axis and tile, at most
THIN_TILE = 128  # the same of the first two axes, where a field wants thin slabs
TILE_BYTES = 5 * 2**20  # logits of a tile: they should stay in the processor's caches, and the heap is used again

Report = Callable[[np.ndarray, PatchBox], None]


class LogitField(Protocol):
    """Logits of a whole volume that need not exist: any region of them can be asked for, best in order of K.

    A field that must hold all logits of the cells it is asked for may have an attribute `slab`: so many cells along K
    are then asked for at a time.
    """

    shape: Index
    num_labels: int

    def region(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape), float32, on the CPU."""
        ...

    def winner(self, box: PatchBox) -> int | None:
        """The channel that is largest in all of the box, where that is known without its logits; None otherwise."""
        ...


@dataclass(frozen=True)
class _Span:
    """Neighbouring voxels of one axis of the result, and the cells they are interpolated from."""

    start: int  # result, oriented
    stop: int
    first: int  # cells
    last: int
    weights: Tensor | None  # (stop - start, last - first); None where both grids agree


def restore_labels(
    field: LogitField,
    prepared: Prepared,
    channel_values: tuple[int, ...],
    box: PatchBox | None = None,
    region: PatchBox | None = None,
    report: Report | None = None,
    masks: Masks | None = None,
) -> np.ndarray:
    """Labels on the input's grid: logits are resampled linearly, and the largest wins.

    Args:
        field: logits on the grid of `prepared.array`.
        prepared: how that grid came to be; what lies outside its crop is background.
        channel_values: value in the label map of each channel.
        box: of the input volume; None is all of it.
        region: of the input volume; outside it labels are 0, and no logits are asked for. None is all of it.
        report: called behind each slab with what is returned, as far as it is done, and with the box of the input
            volume that was done last.
        masks: where all labels are wanted that a voxel has, not the largest alone: of the whole volume with the axes of
            `prepared.array`; marked where a logit behind the first (background) is above 0.

    Returns:
        Labels of the box, (I, J, K), uint8, or uint16 where a value needs it.
    """
    wanted = to_oriented(whole(prepared.source_shape) if box is None else box, prepared)
    values = np.asarray(channel_values, dtype=np.uint8 if max(channel_values) < 256 else np.uint16)
    labels = np.zeros(wanted.shape, dtype=values.dtype)
    result = orient_back(labels, prepared.axes, prepared.flips)  # a view
    inside = wanted if region is None else wanted.intersection(to_oriented(region, prepared))
    if inside is None:
        return result
    tile = _tile(field, prepared)
    rows, columns, slabs = (_spans(axis, prepared, inside, tile[axis]) for axis in range(3))
    for slab in slabs:
        for spans in product(rows, columns, [slab]):
            cells = PatchBox(tuple(span.first for span in spans), tuple(span.last for span in spans))
            target = tuple(slice(span.start - a, span.stop - a) for span, a in zip(spans, wanted.start))
            channel = field.winner(cells)
            logits = field.region(cells) if channel is None else None
            labels[target] = values[channel if logits is None else _channels(logits, spans)]
            if masks is not None and logits is not None:
                masks.mark(target, _present(logits[1:], spans))
        if report is not None:
            done = PatchBox((*wanted.start[:2], slab.start), (*wanted.stop[:2], slab.stop))
            report(result, from_oriented(done, prepared))
    return result


def restore_nearest(cells: np.ndarray, prepared: Prepared, region: PatchBox | None = None) -> np.ndarray:
    """Values of cells on the input's grid, where its labels lie: each voxel has that of the cell it is in.

    Args:
        cells: on the grid of `prepared.array`, (i, j, k).
        region: of the input volume; outside it, and outside the crop, values are 0. None is all of it.

    Returns:
        (I, J, K), of the type of `cells`, I fastest in memory, as it will be written.
    """
    result = np.zeros(prepared.source_shape, dtype=cells.dtype, order="F")
    inside = to_oriented(whole(prepared.source_shape) if region is None else region, prepared)
    spans = [_cells_of(axis, prepared, inside) for axis in range(3)]
    voxels = tuple(slice(first, first + len(cells_of_axis)) for first, cells_of_axis in spans)
    slices = prepared.axes.index(2)  # each lies in one piece in memory
    rows, columns = (found for axis, (_, found) in enumerate(spans) if axis != slices)
    turned = orient(result[None], prepared.axes, prepared.flips)[0][voxels]  # a view
    last, plane = None, None
    for target, cell in zip(np.moveaxis(turned, slices, 0), spans[slices][1]):
        if cell != last:
            last, plane = cell, np.moveaxis(cells, slices, 0)[cell].take(rows, 0).take(columns, 1)
        target[...] = plane
    return result


def winners(logits: Tensor) -> Tensor:
    """Channel of the largest logit of each voxel, (I, J, K), integers; the first of equal ones.

    Args:
        logits: (L, I, J, K) in any memory layout.
    """
    labels = len(logits)
    if labels > 255 or labels_last(logits):
        return logits.max(0).indices
    # Ten times as fast as torch's argmax over the first axis, which keeps an eight-byte index beside each value.
    ranks = torch.arange(labels, 0, -1, dtype=torch.uint8)[:, None, None, None]
    hits = (logits == logits.amax(0)).view(torch.uint8).mul_(ranks)
    return (labels - hits.amax(0)) % labels  # the remainder sends voxels that are no number to the background


def _channels(logits: Tensor, spans: tuple[_Span, _Span, _Span]) -> np.ndarray | int:
    """Largest channel of each voxel of a tile; where all cells agree, so does everything between them."""
    largest = winners(logits)
    first = largest.flatten()[0]
    if bool((largest == first).all()):
        return int(first)
    if all(span.weights is None for span in spans):
        return largest.numpy()
    return winners(interpolate(logits, tuple(span.weights for span in spans))).numpy()


def _present(logits: Tensor, spans: tuple[_Span, _Span, _Span]) -> np.ndarray:
    """Which labels each voxel of a tile has, (labels, I, J, K), bool; sizes of 1 where all voxels have the same."""
    found = logits > 0
    same = found[:, :1, :1, :1]
    if bool((found == same).all()):
        return same.numpy()
    if all(span.weights is None for span in spans):
        return found.numpy()
    return (interpolate(logits, tuple(span.weights for span in spans)) > 0).numpy()


def _tile(field: LogitField, prepared: Prepared) -> Index:
    """Cells of a tile; on whichever grid has more of them, so many voxels keep to `TILE_BYTES`."""
    voxels, slab = TILE_BYTES / 4 / field.num_labels, getattr(field, "slab", None)
    side, most = (voxels ** (1 / 3), TILE) if slab is None else ((voxels / slab) ** 0.5, THIN_TILE)
    tile = [
        max(int(min(most, side, side * cells / length)), 1)
        for cells, length in zip(prepared.grid, prepared.oriented_shape)
    ]
    return (*tile[:2], slab or tile[2])


def _voxels(axis: int, prepared: Prepared, wanted: PatchBox) -> np.ndarray:
    """Indices of one axis of the wanted box, of the oriented input, whose centres lie in the crop."""
    index = np.arange(wanted.start[axis], wanted.stop[axis])
    centre = (index + 0.5) * prepared.grid[axis] / prepared.oriented_shape[axis]
    return index[(centre >= prepared.crop.start[axis]) & (centre < prepared.crop.stop[axis])]


def _cells_of(axis: int, prepared: Prepared, wanted: PatchBox) -> tuple[int, np.ndarray]:
    """The first of these voxels, and the cell of `prepared.array` that each of them lies in."""
    index = _voxels(axis, prepared, wanted)
    cells = ((index + 0.5) * prepared.grid[axis] / prepared.oriented_shape[axis]).astype(int)
    return (int(index[0]) if len(index) else 0), cells - prepared.crop.start[axis]


def _spans(axis: int, prepared: Prepared, wanted: PatchBox, tile: int) -> list[_Span]:
    """Cut one axis of the wanted box, as far as it lies in the crop, into groups of voxels over `tile` cells."""
    length, cells = prepared.oriented_shape[axis], prepared.grid[axis]
    low, high = prepared.crop.start[axis], prepared.crop.stop[axis]
    index = _voxels(axis, prepared, wanted)
    if not len(index):
        return []
    position = np.clip((index + 0.5) * cells / length - 0.5 - low, 0, high - low - 1)
    group = position.astype(int) // tile
    spans = []
    for part in np.split(np.arange(len(index)), np.flatnonzero(np.diff(group)) + 1):
        first, weights = linear_weights(torch.from_numpy(position[part]), high - low)
        spans.append(
            _Span(
                int(index[part[0]]),
                int(index[part[-1]]) + 1,
                first,
                first + weights.shape[1],
                None if length == cells else weights,
            )
        )
    return spans
