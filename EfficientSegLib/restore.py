"""From logits on the bundle's grid to labels on the scanner's grid, tile by tile."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib.geometry import Index, PatchBox, whole
from EfficientSegLib.preprocess import Prepared, orient_back, to_oriented
from EfficientSegLib.resampling import linear_weights

TILE = 8  # cells of the bundle's grid per axis and tile
SLAB_BYTES = 256 * 2**20  # logits asked for at a time


class LogitField(Protocol):
    """Logits of a whole volume that need not exist: any region of them can be asked for, best in order of K."""

    shape: Index
    num_labels: int

    def region(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape), float32, on the CPU."""
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
    field: LogitField, prepared: Prepared, channel_values: tuple[int, ...], box: PatchBox | None = None
) -> np.ndarray:
    """Labels on the input's grid: logits are resampled linearly, and the largest wins.

    Args:
        field: logits on the grid of `prepared.array`.
        prepared: how that grid came to be; what lies outside its crop is background.
        channel_values: value in the label map of each channel.
        box: of the input volume; None is all of it.

    Returns:
        Labels of the box, (I, J, K), uint8, or uint16 where a value needs it.
    """
    wanted = to_oriented(whole(prepared.source_shape) if box is None else box, prepared)
    values = np.asarray(channel_values, dtype=np.uint8 if max(channel_values) < 256 else np.uint16)
    labels = np.zeros(wanted.shape, dtype=values.dtype)
    plane_bytes = field.num_labels * field.shape[0] * field.shape[1] * 4
    tiles = (TILE, TILE, max(min(TILE, SLAB_BYTES // plane_bytes), 1))
    rows, columns, slabs = (_spans(axis, prepared, wanted, tile) for axis, tile in enumerate(tiles))
    if not rows or not columns:
        return orient_back(labels, prepared.axes, prepared.flips)
    for slab in slabs:
        around = PatchBox((rows[0].first, columns[0].first, slab.first), (rows[-1].last, columns[-1].last, slab.last))
        logits = field.region(around)
        winners = logits.max(0).indices  # four times as fast as argmax
        for row in rows:
            for column in columns:
                cells = (
                    slice(row.first - around.start[0], row.last - around.start[0]),
                    slice(column.first - around.start[1], column.last - around.start[1]),
                )
                channels = _channels(logits[(slice(None), *cells)], winners[cells], (row, column, slab))
                target = tuple(
                    slice(span.start - a, span.stop - a) for span, a in zip((row, column, slab), wanted.start)
                )
                labels[target] = values[channels]
    return orient_back(labels, prepared.axes, prepared.flips)


def _channels(logits: Tensor, winners: Tensor, spans: tuple[_Span, _Span, _Span]) -> np.ndarray | int:
    """Largest channel of each voxel of a tile; where all cells agree, so does everything between them."""
    first = winners.flatten()[0]
    if bool((winners == first).all()):
        return int(first)
    for span in spans:  # each step takes the first axis behind the labels and hands it back as the last
        if span.weights is None:
            logits = logits.movedim(1, -1)
        else:
            logits = torch.tensordot(logits, span.weights, dims=([1], [1]))
    return logits.max(0).indices.numpy()


def _spans(axis: int, prepared: Prepared, wanted: PatchBox, tile: int) -> list[_Span]:
    """Cut one axis of the wanted box, as far as it lies in the crop, into groups of neighbouring voxels."""
    length, cells = prepared.oriented_shape[axis], prepared.grid[axis]
    low, high = prepared.crop.start[axis], prepared.crop.stop[axis]
    index = np.arange(wanted.start[axis], wanted.stop[axis])
    centre = (index + 0.5) * cells / length
    index = index[(centre >= low) & (centre < high)]
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
