"""How far patches and coarse pass disagree, before class weights mix them.

The measure is the probability that two readers differ, of whom one draws a label from what the coarse pass says of a
place, and the other from what the patch says: 1 - sum of p q. It is high where the two are sure of different labels,
and where both are in doubt. Where no patch was read, the coarse pass is compared with itself. Labels that nobody is
shown count as background: whether muscle or fat is doubted does not matter there. Own rule; the paper has none.

It is taken at the centre of every coarse cell, which costs a hundredth of the patch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.strategies.overview import Overview

ROWS = 16  # of coarse cells that are looked at together


class Disagreement:
    """The measure on the coarse cells of one volume, as far as patches were read.

    Args:
        unseen: channels that count as background, 0 among them.
    """

    def __init__(self, overview: Overview, unseen: Sequence[int] = (0,)) -> None:
        cells = tuple(overview.logits.shape[1:])
        self._channels = torch.arange(len(overview.logits))
        self._channels[list(unseen)] = 0
        self._logits = overview.logits
        self._centres = tuple(centres(*axis) for axis in zip(cells, overview.covers))
        self._sum = torch.zeros(cells)  # weighted by the patches' windows, like their logits
        self._weight = torch.zeros(cells)
        self._strongest = torch.zeros(cells)
        self._local = torch.zeros(cells, dtype=torch.int16)  # label of the patch that is nearest

    @torch.inference_mode()
    def add(self, logits: Tensor, box: PatchBox, window: Tensor) -> None:
        """Compare the logits (L, *box.shape) of a patch of the padded volume; `window` (*box.shape) is its weight."""
        spans = [_inside(axis, a, b) for axis, a, b in zip(self._centres, box.start, box.stop)]
        cells = tuple(slice(low, high) for low, high in spans)
        here = torch.meshgrid(
            *(axis[part] - a for axis, part, a in zip(self._centres, cells, box.start)), indexing="ij"
        )
        local, weight = logits[(slice(None), *here)], window[here]
        coarse = self._logits[(slice(None), *cells)]
        self._sum[cells] += weight * self._differ(coarse, local)
        self._weight[cells] += weight
        nearer = weight > self._strongest[cells]
        self._strongest[cells] = torch.where(nearer, weight, self._strongest[cells])
        self._local[cells] = torch.where(nearer, self._label(local), self._local[cells])

    @torch.inference_mode()
    def measured(self) -> tuple[Tensor, Tensor, Tensor]:
        """Per coarse cell: the measure, float32; label of the coarse pass; label of a patch, -1 where none is."""
        result, label = torch.empty_like(self._sum), torch.empty_like(self._local)
        was_read = self._weight > 0
        for row in range(0, len(result), ROWS):
            part = slice(row, row + ROWS)
            coarse = self._logits[:, part]
            seen = self._sum[part] / self._weight[part].clamp(min=1e-12)
            result[part] = torch.where(was_read[part], seen, self._differ(coarse, coarse))
            label[part] = self._label(coarse)
        return result, label, torch.where(was_read, self._local, -1)

    def _label(self, logits: Tensor) -> Tensor:
        return self._channels[logits.argmax(0)].short()

    def _differ(self, one: Tensor, other: Tensor) -> Tensor:
        """1 - sum of p q over the labels of two sets of logits (L, ...)."""
        p = self._merged(one)
        q = p if other is one else self._merged(other)
        return torch.nan_to_num(1 - (p * q).sum(0), nan=1.0).clamp(0, 1)

    def _merged(self, logits: Tensor) -> Tensor:
        """Probabilities, with those of unseen labels added to the background's."""
        p = logits.softmax(0)
        seen = self._channels.bool()
        p[0] = 1 - p[seen].sum(0)
        p[1:][~seen[1:]] = 0
        return p


def centres(cells: int, length: int) -> Tensor:
    """The voxel in the middle of each of `cells` cells over `length` voxels."""
    return ((torch.arange(cells, dtype=torch.float64) + 0.5) * length / cells).long()


def _inside(positions: Tensor, start: int, stop: int) -> tuple[int, int]:
    """First and last-but-one of the ascending positions in [start, stop)."""
    low, high = torch.searchsorted(positions, torch.tensor([start, stop]))
    return int(low), int(high)
