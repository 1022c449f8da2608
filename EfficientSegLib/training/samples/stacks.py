"""Which slices of a sample become stacks, and their neighbours."""

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.samples import Along


def neighbours(slices: Tensor, count: int) -> Tensor:
    """The stack around each slice, neighbours repeated at the ends: (Z, H, W) -> a view (Z, count, H, W)."""
    half = count // 2
    ends = [slices[:1].expand(half, -1, -1), slices, slices[-1:].expand(half, -1, -1)]
    return torch.cat(ends).unfold(0, count, 1).movedim(-1, 1)


def whole_stacks(along: Along, half: int) -> np.ndarray:
    """Slices of a sample that show the case and whose neighbours were not cut off, ascending.

    A part thinner than a stack that lies inside its case (a thin slab of `body`) is taken for a whole scan: there, all
    slices count.
    """
    first, stop = along.shown
    start = first if along.index(first) < 0.5 * along.step else first + half
    end = stop if along.index(stop - 1) > along.length - 1 - 0.5 * along.step else stop - half
    return np.arange(start, end) if start < end else np.arange(first, stop)


def chosen_slices(
    target: Tensor, from_these: np.ndarray, count: int, foreground: float, generator: np.random.Generator
) -> list[int]:
    """Some of the slices that stacks can be made for; one comes twice only once all were taken.

    Args:
        target: (I, J, K), channels or IGNORE.
        from_these: indices along K.
        foreground: share that holds a label drawn at random, where any of them holds one.
    """
    there = _labels_by_slice(target)[from_these]
    there[:, [0, IGNORE]] = False
    left = np.ones(len(from_these), dtype=bool)
    chosen = []
    for _ in range(count):
        if not left.any():
            left[:] = True
        candidates = left
        labels = np.flatnonzero(there[left].any(axis=0))
        if len(labels) and generator.random() < foreground:
            candidates = left & there[:, labels[int(generator.integers(len(labels)))]]
        number = int(generator.choice(np.flatnonzero(candidates)))
        left[number] = False
        chosen.append(int(from_these[number]))
    return chosen


def _labels_by_slice(target: Tensor) -> np.ndarray:
    """Whether each value is in each slice of (I, J, K), (K, 256), bool."""
    slices = target.shape[2]
    pairs = target.reshape(-1, slices).int() + torch.arange(slices, dtype=torch.int32) * (IGNORE + 1)
    counts = torch.bincount(pairs.flatten(), minlength=slices * (IGNORE + 1))
    return (counts > 0).view(slices, IGNORE + 1).numpy()
