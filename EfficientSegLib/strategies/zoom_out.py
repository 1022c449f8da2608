"""The zoom-out baseline: every label that the coarse pass found is read once, all of it, shrunk to the size of a patch.

Source: NMSW (arXiv 2501.10814), section 4 (baselines). Where the paper is silent:

- A label is found where it has the largest coarse logit in at least one cell; background and auxiliary channels do not
  count. Its box holds all these cells; it is grown evenly to at least the patch size and moved into the volume.
- The box is shrunk to the patch size by averages, as in training (`resampling.shrink`), read by the local network, and
  its logits are resized back linearly.
- There, where the label's own logit is larger than every other one, it is added to the label's coarse logit; all other
  labels, and all other voxels, keep their coarse logits. So the local network can add a label, never take one away.
- Instead of all logits of every box only two numbers per cell are kept: the label's logit, and its lead over the best
  other one; both are resized. Between two cells with different rivals this lead is a lower bound of the true one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.geometry import Index, PatchBox, ScoredBox, enlarged, whole
from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.patches import cut
from EfficientSegLib.resampling import axis_weights, interpolate, shrink
from EfficientSegLib.restore import winners
from EfficientSegLib.strategies import Prediction, Watcher, wrong_model
from EfficientSegLib.strategies.fallback import Fallback
from EfficientSegLib.strategies.overview import CoarseField, Overview, look
from EfficientSegLib.strategies.tokens import PatchReader, check_ratio, prune_ratio_of


@dataclass(frozen=True)
class Options:
    """How zoom-out looks at a volume."""

    pad_value: float = 0.0  # network value of air, for volumes smaller than a patch
    prune_ratio: float | None = None  # of tokens, by a local network that drops some; null: as the bundle says

    def __post_init__(self) -> None:
        check_ratio(self.prune_ratio)


@dataclass(frozen=True)
class _Zoomed:
    """What the local network said of one label."""

    channel: int
    box: PatchBox  # of the padded volume
    grid: Index  # cells of the box, the patch size
    first: Index  # of them that is kept, per axis
    cells: Tensor  # (2, i, j, k): logit of the label, and its lead over the best other one
    wins: PatchBox  # of the padded volume; outside of it the lead is negative


class CoarseAndZoomed(CoarseField):
    """Coarse logits, to which the labels that were read add their own. A `LogitField`."""

    def __init__(self, overview: Overview) -> None:
        super().__init__(overview)
        self._zoomed: list[_Zoomed] = []

    def add(self, logits: Tensor, box: PatchBox, channel: int) -> None:
        """Add the logits (L, *patch) of a box of the padded volume, which was read for one channel."""
        others = torch.cat((logits[:channel], logits[channel + 1 :])).amax(0)
        lead = logits[channel] - others
        places = (lead > 0).nonzero()
        if len(places):
            grid = tuple(lead.shape)
            ahead = PatchBox(tuple(places.amin(0).tolist()), tuple((places.amax(0) + 1).tolist()))
            # One cell more on each side: all that a voxel can be interpolated from in which the label may win.
            kept = ahead.grown(1).intersection(whole(grid))
            cells = torch.stack([cut(part[None], kept)[0] for part in (logits[channel], lead)])
            self._zoomed.append(_Zoomed(channel, box, grid, kept.start, cells, _reach(box, grid, ahead)))
        self.patches_read += 1

    def region(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape) of a box of the volume."""
        box = box.shifted(self._overview.offset)
        total = self._coarse(box)
        for zoomed in self._zoomed:
            shared = zoomed.wins.intersection(box)
            if shared is not None:
                logit, lead = _resized(zoomed, shared)
                target = total[(zoomed.channel, *shared.shifted(tuple(-a for a in box.start)).slices())]
                target += torch.where(lead > 0, logit, 0)
        return total

    def winner(self, box: PatchBox) -> int | None:
        """The channel that is largest all over a box of the volume; known only where no label that was read may win."""
        padded = box.shifted(self._overview.offset)
        if any(zoomed.wins.intersection(padded) for zoomed in self._zoomed):
            return None
        return super().winner(box)


def _reach(box: PatchBox, grid: Index, ahead: PatchBox) -> PatchBox:
    """The voxels of a box (outer ones included) that are resampled from at least one cell of `ahead`."""
    start, stop = [], []
    for origin, length, cells, a, b in zip(box.start, box.shape, grid, ahead.start, ahead.stop):
        position = ((torch.arange(length, dtype=torch.float64) + 0.5) * cells / length - 0.5).clamp(0, cells - 1)
        inside = ((position > a - 1) & (position < b)).nonzero()
        start.append(origin + int(inside[0]))
        stop.append(origin + int(inside[-1]) + 1)
    return PatchBox(tuple(start), tuple(stop))


def _resized(zoomed: _Zoomed, box: PatchBox) -> Tensor:
    """Logit and lead, (2, *box.shape), in a box of the padded volume inside `zoomed.wins`."""
    cells, weights = zoomed.cells, []
    for axis in range(3):
        origin = zoomed.box.start[axis]
        length, a, b = zoomed.box.shape[axis], box.start[axis] - origin, box.stop[axis] - origin
        first, matrix = axis_weights(zoomed.grid[axis], length, a, b)
        cells = cells.narrow(axis + 1, first - zoomed.first[axis], matrix.shape[1])
        weights.append(matrix)
    return interpolate(cells, tuple(weights))


def check_model(model: nn.Module, options: Options) -> None:
    """Raises OptionError: the model is no `GlobalLocalModel`, or does not bear the prune_ratio."""
    if not isinstance(model, GlobalLocalModel):
        raise wrong_model("zoom_out", "sliding_window")
    prune_ratio_of(model, options.prune_ratio)


def predict(volume: Tensor, model: GlobalLocalModel, options: Options, watcher: Watcher | None = None) -> Prediction:
    """Segment a prepared volume (C, I, J, K), float32, on the CPU; the model may be on any device.

    The boxes come in order of the channels; their priority is the share of the volume that the coarse pass gave to the
    label. `candidates` are the labels that could have been found.

    Raises:
        OptionError: the model is no `GlobalLocalModel`.
    """
    check_model(model, options)
    watcher = watcher or Watcher()
    fallback = Fallback(model, watcher)
    read = PatchReader(model, options.prune_ratio, fallback=fallback)
    overview = look(volume, model, options.pad_value, fallback)
    ignored = set(getattr(model, "ignored_channels", (0,)))
    channels = [channel for channel in range(len(overview.logits)) if channel not in ignored]
    found = _found(overview, channels, model.patch_size)
    boxes = [ScoredBox(overview.in_volume(box), share, rank) for rank, (_, box, share) in enumerate(found, start=1)]
    logits = CoarseAndZoomed(overview)
    watcher.chosen(tuple(boxes), len(channels), None)
    watcher.refined(logits, None, 0, len(boxes))
    for (channel, box, _), seen in zip(found, boxes):
        if watcher.should_stop():
            break
        patch = shrink(cut(overview.padded, box), model.patch_size)
        logits.add(read(patch, box), box, channel)
        watcher.refined(logits, seen.box, logits.patches_read, len(boxes))
    tokens = {"depths": read.depths, "origin": overview.offset, "prune_ratio": read.prune_ratio}
    return Prediction(logits, tuple(boxes), len(channels), len(boxes), **tokens)


def _found(overview: Overview, channels: list[int], patch: Index) -> list[tuple[int, PatchBox, float]]:
    """Per label that was found: its channel, its box in the padded volume, and its share of the coarse cells."""
    largest = winners(overview.logits)
    cells = tuple(largest.shape)
    padded = tuple(overview.padded.shape[1:])
    factor = tuple(length / count for length, count in zip(overview.covers, cells))
    found = []
    for channel in channels:
        places = (largest == channel).nonzero()
        if not len(places):
            continue
        extent = PatchBox(tuple(places.amin(0).tolist()), tuple((places.amax(0) + 1).tolist())).scaled(factor)
        if extent.intersection(whole(padded)):  # cells behind the volume's end are padding of the global network
            found.append((channel, enlarged(extent, patch, padded), len(places) / largest.numel()))
    return found
