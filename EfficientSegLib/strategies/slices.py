"""Slice by slice along the last axis: every slice with its neighbours through a two-dimensional network.

The slices are read while the logits are asked for, in order, and forgotten behind, so that at no time more than one
batch of them exists. The network's channels are independent (sigmoid); a background logit of 0 before them makes the
largest logit the label whose probability is largest among those above one half, and background where none is.

Slice t of Z lies at t / (Z - 1). Published networks learned something else: where in the extent of the structures a
slice lies, which only the true labels tell. `position="found"` comes nearer to that: a first pass with t / (Z - 1)
finds the first and the last slice with any structure, and the second takes the position between these two, cut to 0
and 1 outside them. A scan that ends inside the structures makes both the same. Source: SegMate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.networks import SliceModel
from EfficientSegLib.strategies import Prediction, Watcher, wrong_model
from EfficientSegLib.strategies.fallback import Fallback

UNIT, LAZY = "slices", True  # see `strategies.unit` and `strategies.reads_lazily`
ABSENT = -1e4  # logit of a label that the presence head denies; finite, since it is interpolated
BATCH_ON_CPU, BATCH_ELSEWHERE = 1, 8  # on a CPU several at once are no faster, and need as many times the memory

# First and last (exclusive) slice wanted -> mask logits (B, K, I, J) of the first of them, at least of one, on the CPU.
Read = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class Options:
    """How the slices are read."""

    batch: int | None = None  # slices in one pass; memory grows with it, results do not change; null: by the device
    position: Literal["volume", "found"] = "volume"  # found: two passes, twice the time; see the head of this file
    presence: float | None = None  # below this probability that a label is in the slice, it is not; null: not asked
    pad_value: float = 0.0  # network value of air, for slices whose sides are no multiple of what the network needs

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise OptionError(f"batch is {self.batch}.", why="It counts slices.", mend="Use 1 or more, or null.")
        if self.presence is not None and not 0 <= self.presence <= 1:
            raise OptionError(
                f"presence is {self.presence}.", why="It is a probability.", mend="Use 0 to 1, or null for no gate."
            )

    def batch_on(self, device: str) -> int:
        """Slices in one pass on a device."""
        return self.batch or (BATCH_ON_CPU if device == "cpu" else BATCH_ELSEWHERE)


class Slices:
    """Logits that are computed when they are first asked for, in order of the last axis. A `LogitField`."""

    slab = 1  # slices at a time on the way back: each has all labels at full size

    def __init__(self, shape: tuple[int, int, int], num_outputs: int, read: Read, watcher: Watcher) -> None:
        self.shape = shape
        self.num_labels = num_outputs + 1
        self.patches_read = 0  # slices
        self._read = read
        self._watcher = watcher
        self._stopped = False
        self._logits: dict[int, Tensor] = {}  # (K, I, J) by slice

    def region(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape); regions must be asked for with a last axis that never starts further back."""
        self._logits = {index: logits for index, logits in self._logits.items() if index >= box.start[2]}
        while self.patches_read < box.stop[2] and not self._stops():
            self._read_on(box.start[2])
        rows, columns, planes = box.slices()
        logits = torch.zeros(self.num_labels, *box.shape)  # of the background, and of what is unread
        for plane in range(planes.start, min(planes.stop, self.patches_read)):
            logits[1:, :, :, plane - planes.start] = self._logits[plane][:, rows, columns]
        return logits

    def winner(self, box: PatchBox) -> int | None:
        """Background where nothing will be read any more."""
        return 0 if self._stopped and box.start[2] >= self.patches_read else None

    def _read_on(self, needed: int) -> None:
        first = self.patches_read
        batch = self._read(first, self.shape[2])
        self._logits |= {index: logits for index, logits in enumerate(batch, first) if index >= needed}
        self.patches_read = first + len(batch)
        self._watcher.refined(None, None, self.patches_read, self.shape[2])

    def _stops(self) -> bool:
        self._stopped = self._stopped or self._watcher.should_stop()
        return self._stopped


def check_model(model: nn.Module, options: Options) -> None:
    """Raises OptionError: the model reads no slices. Whether it has a head for `presence`, the first slice tells."""
    if not isinstance(model, SliceModel):
        raise wrong_model("slices", "a bundle whose network reads slices, or another strategy")


def predict(volume: Tensor, model: SliceModel, options: Options, watcher: Watcher | None = None) -> Prediction:
    """Segment a prepared volume (1, I, J, K), float32, on the CPU; the model may be on any device.

    Raises:
        OptionError: the model reads no slices, or has no presence head to ask.
    """
    check_model(model, options)
    watcher = watcher or Watcher()
    fallback = Fallback(model, watcher, options.batch_on)
    depth = volume.shape[3]
    first, last = 0, depth - 1
    if options.position == "found":
        first, last = _extent(_reader(volume, fallback, options, first, last), depth, watcher)
    read = _reader(volume, fallback, options, first, last)
    field = Slices(tuple(volume.shape[1:]), model.num_outputs, read, watcher)
    return Prediction(field, (), depth, planned=depth)


def stack(volume: Tensor, start: int, stop: int, slices: int) -> Tensor:
    """Each slice of (1, I, J, K) from `start` to `stop` between its neighbours, (B, slices, I, J).

    Beyond the volume's ends, and only there, the outermost slice is repeated.
    """
    reach = range(-(slices // 2), slices // 2 + 1)
    planes = [min(max(slice_ + step, 0), volume.shape[3] - 1) for slice_ in range(start, stop) for step in reach]
    return torch.stack([volume[0, :, :, plane] for plane in planes]).unflatten(0, (stop - start, slices))


def _reader(volume: Tensor, fallback: Fallback, options: Options, first: int, last: int) -> Read:
    """What reads some slices, their position counted from slice `first` (0) to `last` (1)."""
    sides = tuple(volume.shape[1:3])
    missing = [-side % multiple for side, multiple in zip(sides, fallback.model.size_multiple)]

    def read(model: nn.Module, start: int, stop: int) -> Tensor:
        stop, device = min(start + fallback.batch, stop), next(model.parameters()).device
        slices = functional.pad(
            stack(volume, start, stop, model.slices), (0, missing[1], 0, missing[0]), value=options.pad_value
        )
        position = (torch.arange(start, stop) - first).double() / max(last - first, 1)
        given = slices.to(device), position.clamp(0, 1).float().to(device)
        logits = model(*given) if options.presence is None else _gated(*model.with_presence(*given), options.presence)
        return logits[:, :, : sides[0], : sides[1]].float().cpu()

    return lambda start, stop: fallback.ask(lambda model: read(model, start, stop))


def _gated(logits: Tensor, presence: Tensor | None, least: float) -> Tensor:
    """Logits (B, K, H, W), those of labels that are less likely in the slice than `least` denied."""
    if presence is None:
        raise OptionError(
            f"presence is {least}.", why="The network has no head that tells it.", mend="Use null: no gate."
        )
    return logits.masked_fill((presence.sigmoid() < least)[:, :, None, None], ABSENT)


def _extent(read: Read, depth: int, watcher: Watcher) -> tuple[int, int]:
    """First and last slice with any structure; the volume's own where there is none, or after a stop."""
    found, done = [], 0
    while done < depth:
        if watcher.should_stop():
            return 0, depth - 1
        batch = read(done, depth)
        found += [done + index for index, logits in enumerate(batch) if bool((logits > 0).any())]
        done += len(batch)
        watcher.searched(done, depth)
    return (found[0], found[-1]) if found else (0, depth - 1)
