"""Linear resampling between two grids that cover the same extent, whole or for one region of the result.

A grid of n cells and one of m cells share their outer faces, so index o of the second lies at (o + 0.5) n / m - 0.5 of
the first: what torch calls align_corners=False. Both ways are therefore inverse in geometry, with no half-voxel shift.
"""

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
    """The part inside `box` of (L, i, j, k) resampled linearly to `shape`; only what is needed is computed."""
    for axis in range(3):
        cells, length = array.shape[axis + 1], shape[axis]
        index = torch.arange(box.start[axis], box.stop[axis], dtype=torch.float64)
        first, weights = linear_weights((index + 0.5) * cells / length - 0.5, cells)
        part = array.narrow(axis + 1, first, weights.shape[1])
        array = torch.tensordot(part, weights.to(part), dims=([axis + 1], [1])).movedim(-1, axis + 1)
    return array


def shrink_labels(labels: Tensor, factor: Index) -> Tensor:
    """Most frequent label of each block of `factor` voxels; (I, J, K) uint8 -> (I/r, J/r, K/r) uint8.

    A single voxel picked from each block would shift the picture by half a voxel. A block that is ignored in part
    votes with the rest.
    """
    i, j, k = (length // step for length, step in zip(labels.shape, factor))
    blocks = labels[: i * factor[0], : j * factor[1], : k * factor[2]]
    blocks = blocks.reshape(i, factor[0], j, factor[1], k, factor[2]).permute(0, 2, 4, 1, 3, 5).reshape(i, j, k, -1)
    return torch.mode(blocks, dim=-1).values.to(torch.uint8)
