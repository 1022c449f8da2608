"""An order of patches that discounts what better patches cover already.

The best patches by score alone lie on top of each other: neighbours share half of each axis, and what makes one worth
reading makes its neighbours worth it. Here the next patch is the one with the largest product of exp(score), a weight
on the scale on which scores are drawn from in training, and of the share of its voxels that no patch before it covers.
Own rule; the paper takes scores alone. Like that order, it does not depend on how many patches will be read.
"""

from collections.abc import Sequence

import numpy as np

from EfficientSegLib.geometry import PatchBox

LONGEST = 1024  # patches ordered one by one; those behind them come by score


def by_coverage(boxes: Sequence[PatchBox], scores: np.ndarray) -> list[int]:
    """Indices of all boxes, best first; ties by index.

    Args:
        boxes: candidate patches, (N,).
        scores: logarithms of their weights, (N,).
    """
    grid = _Cells(boxes)
    left = np.asarray(scores, dtype=np.float64).copy()
    order = []
    for _ in range(min(len(boxes), LONGEST)):
        fresh = grid.uncovered()
        # Beyond the last bit of fresh volume only the score counts, far behind everything that is fresh.
        value = left + np.log(np.maximum(fresh, 1e-30))
        best = int(np.argmax(value))
        order.append(best)
        left[best] = -np.inf
        grid.cover(best)
    rest = np.argsort(-left, kind="stable")
    return order + [int(index) for index in rest if left[index] > -np.inf]


class _Cells:
    """The space cut at every face of every box, so that each box is a block of whole cells."""

    def __init__(self, boxes: Sequence[PatchBox]) -> None:
        faces = [np.unique([[box.start[axis], box.stop[axis]] for box in boxes]) for axis in range(3)]
        sizes = [np.diff(edges).astype(np.float64) for edges in faces]
        self._free = sizes[0][:, None, None] * sizes[1][:, None] * sizes[2]  # voxels of each cell not covered yet
        self._low = np.array([[np.searchsorted(f, a) for f, a in zip(faces, box.start)] for box in boxes])
        self._high = np.array([[np.searchsorted(f, b) for f, b in zip(faces, box.stop)] for box in boxes])
        self._voxels = np.array([float(np.prod(box.shape)) for box in boxes])

    def uncovered(self) -> np.ndarray:
        """Share of each box that is not covered, (N,)."""
        total = np.zeros([length + 1 for length in self._free.shape])
        total[1:, 1:, 1:] = self._free.cumsum(0).cumsum(1).cumsum(2)
        (a, b, c), (i, j, k) = self._low.T, self._high.T
        upper = total[i, j, k] - total[a, j, k] - total[i, b, k] + total[a, b, k]
        lower = total[i, j, c] - total[a, j, c] - total[i, b, c] + total[a, b, c]
        return (upper - lower) / self._voxels

    def cover(self, box: int) -> None:
        """From now on this box is covered."""
        self._free[tuple(slice(a, b) for a, b in zip(self._low[box], self._high[box]))] = 0
