"""Linear resampling between two grids that cover the same extent, whole or for one region of the result.

A grid of n cells and one of m cells share their outer faces, so index o of the second lies at (o + 0.5) n / m - 0.5 of
the first: what torch calls align_corners=False. Both ways are therefore inverse in geometry, with no half-voxel shift.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from EfficientSegLib.geometry import Index, PatchBox


def shrink(array: Tensor, shape: Index) -> Tensor:
    """Resample (C, I, J, K) to `shape`: axes that shrink are averaged (no aliasing), axes that grow are linear."""
    smaller = tuple(min(a, b) for a, b in zip(array.shape[1:], shape))
    if smaller != tuple(array.shape[1:]):
        array = functional.adaptive_avg_pool3d(array[None], smaller)[0]
    if tuple(array.shape[1:]) != tuple(shape):
        array = functional.interpolate(array[None], size=shape, mode="trilinear", align_corners=False)[0]
    return array


def linear_weights(position: Tensor, cells: int) -> tuple[int, Tensor]:
    """Linear interpolation of an axis of `cells` values.

    Args:
        position: ascending positions in cells, (n,), float64; beyond the outer cells their value goes on.
        cells: length of the axis.

    Returns:
        The first cell that is needed, and the weights (n, cells needed), float32.
    """
    position = position.clamp(0, cells - 1)
    lower = position.floor().long()
    upper = position.ceil().long()
    first = int(lower[0])
    weights = torch.zeros(len(position), int(upper[-1]) - first + 1, dtype=torch.float64)
    rows = torch.arange(len(position))
    weights[rows, lower - first] = 1 - (position - lower)
    weights[rows, upper - first] += position - lower
    return first, weights.float()


def enlarge(array: Tensor, shape: Index, box: PatchBox) -> Tensor:
    """The part inside `box` of (L, i, j, k) resampled linearly to `shape`; only what is needed is computed.

    The result (L, *box.shape) has the memory layout of `array`, labels first or last.
    """
    weights = []
    for axis in range(3):
        first, matrix = axis_weights(array.shape[axis + 1], shape[axis], box.start[axis], box.stop[axis])
        array = array.narrow(axis + 1, first, matrix.shape[1])
        weights.append(matrix)
    return interpolate(array, tuple(weights))


def cells_needed(cells: Index, shape: Index, box: PatchBox) -> PatchBox:
    """The cells (of a grid of `cells`) that `enlarge` reads for `box` of a grid of `shape`."""
    spans = [axis_weights(*axis) for axis in zip(cells, shape, box.start, box.stop)]
    return PatchBox(tuple(first for first, _ in spans), tuple(first + matrix.shape[1] for first, matrix in spans))


def interpolate(array: Tensor, weights: tuple[Tensor | None, Tensor | None, Tensor | None]) -> Tensor:
    """Multiply each axis of (L, i, j, k) by its matrix (cells out, cells in); None leaves an axis as it is.

    The result (L, I, J, K) has the memory layout of `array`: labels last in memory (what convolutions in the
    channels-last layout leave) stay so, since turning them round costs more than the interpolation.
    """
    rows, columns, planes = (None if matrix is None else matrix.to(array) for matrix in weights)
    if labels_last(array):
        cells = array.movedim(0, -1).contiguous()  # (i, j, k, L)
        i, j, _, labels = cells.shape
        if planes is not None:
            cells = planes @ cells
        if columns is not None:
            cells = columns @ cells.view(i, j, -1)
        if rows is not None:
            cells = rows @ cells.view(i, -1)
        sizes = (n if matrix is None else len(matrix) for n, matrix in zip(array.shape[1:], (rows, columns, planes)))
        return cells.view(*sizes, labels).movedim(-1, 0)
    cells = array.contiguous()
    if planes is not None:
        cells = cells @ planes.T
    if columns is not None:
        cells = columns @ cells
    if rows is not None:
        labels, i, j, k = cells.shape
        cells = (rows @ cells.view(labels, i, j * k)).view(labels, len(rows), j, k)
    return cells


def labels_last(array: Tensor) -> bool:
    """Whether the logits (L, I, J, K) of one voxel are neighbours in memory."""
    return array.shape[0] > 1 and array.stride(0) == 1


@lru_cache(maxsize=1024)
def axis_weights(cells: int, length: int, start: int, stop: int) -> tuple[int, Tensor]:
    """First cell, and weights (stop - start, cells needed), for part of an axis of `length` resampled from `cells`."""
    with torch.inference_mode(False):  # kept ones may be used later where gradients flow
        index = torch.arange(start, stop, dtype=torch.float64)
        return linear_weights((index + 0.5) * cells / length - 0.5, cells)


def shrink_labels(labels: Tensor, factor: Index) -> Tensor:
    """Most frequent label of each block of `factor` voxels; (I, J, K) uint8 -> (I/r, J/r, K/r) uint8.

    A single voxel picked from each block would shift the picture by half a voxel. A block that is ignored in part
    votes with the rest.
    """
    (i, j, k), (a, b, c) = (length // step for length, step in zip(labels.shape, factor)), factor
    blocks = labels[: i * a, : j * b, : k * c].reshape(i, a, j, b, k, c)
    label, highest = blocks.amin(1).amin(2).amin(3), blocks.amax(1).amax(2).amax(3)
    mixed = (label != highest).nonzero(as_tuple=True)  # few; voting sorts, which is slow
    label[mixed] = torch.mode(blocks.permute(0, 2, 4, 1, 3, 5)[mixed].flatten(1), dim=1).values
    return label.to(torch.uint8)
