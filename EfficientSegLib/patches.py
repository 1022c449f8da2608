"""Cut patches, weigh them, and join their logits without ever holding those of the whole volume in memory."""

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional

from EfficientSegLib.errors import DeviceError
from EfficientSegLib.geometry import Index, PatchBox
from EfficientSegLib.resampling import labels_last
from EfficientSegLib.resources import free_disk_mb

BLOCK = 32  # voxels per axis of the accumulator's blocks


def cut(volume: Tensor, box: PatchBox) -> Tensor:
    """The patch (C, *box.shape) of a volume (C, I, J, K), as a view."""
    return volume[(slice(None), *box.slices())]


def pad_to(volume: Tensor, shape: Index, value: float) -> tuple[Tensor, Index]:
    """Pad (C, I, J, K) on both sides to at least `shape`; also tells how much stands in front."""
    missing = [max(wanted - length, 0) for wanted, length in zip(shape, volume.shape[1:])]
    before = tuple(count // 2 for count in missing)
    widths = [width for front, count in zip(reversed(before), reversed(missing)) for width in (front, count - front)]
    return (functional.pad(volume, widths, value=value) if any(missing) else volume), before


def pad_to_multiple(volume: Tensor, multiple: Index, value: float) -> Tensor:
    """Pad (C, I, J, K) at the end of each axis to the next multiple."""
    missing = [-length % factor for length, factor in zip(volume.shape[1:], multiple)]
    widths = [width for count in reversed(missing) for width in (0, count)]
    return functional.pad(volume, widths, value=value) if any(missing) else volume


def gaussian_window(shape: Index, sigma: float = 0.125) -> Tensor:
    """Trust in each voxel of a patch, (I, J, K): highest at the centre, at least 1e-3 at the rim.

    Args:
        shape: voxels of the patch.
        sigma: deviation as a fraction of each axis.

    Source: MONAI's gaussian importance map, which NMSW uses (spec: section 6).
    """
    window = torch.ones(())
    for length in shape:
        distance = torch.arange(length, dtype=torch.float32) - (length - 1) / 2
        window = window[..., None] * torch.exp(-(distance**2) / (2 * (sigma * length) ** 2))
    return window.clamp(min=1e-3)


class Blend:
    """Sum of weighted patch logits, kept in blocks, and only where patches lie.

    The first blocks live in memory, up to `memory_mb`; the others in files in a folder that the system cleans. Those
    are mapped, and their pages are handed back after every use, so that they do not count as memory of this process.
    The sums do not depend on where a block lives, nor the mean, beyond rounding, on the order of the patches.

    Args:
        num_labels: channels of the logits.
        boxes: every patch that will be added, as far as it is known; `extend` announces more.
        memory_mb: how much may stay in memory.
        alive: fraction of the blocks that exist at one time, below 1 where `forget_before` is called on the way.
        scratch_dir: where the files lie; None is the system's folder for temporary files.

    Raises:
        DeviceError: a file is needed and the disk is too full for it.
    """

    def __init__(
        self,
        num_labels: int,
        boxes: Iterable[PatchBox] = (),
        memory_mb: float = 2000,
        scratch_dir: str | None = None,
        alive: float = 1.0,
    ) -> None:
        self.num_labels = num_labels
        self._floats = (num_labels + 1) * BLOCK**3
        self._in_memory = int(memory_mb * 2**20 / (self._floats * 4))  # blocks that may still be made there
        self._scratch_dir = scratch_dir
        self._alive = alive
        self._known: set[Index] = set()
        self._blocks: dict[Index, _Block] = {}
        self._rows: list[_Row] = []  # free
        self.extend(boxes)

    def extend(self, boxes: Iterable[PatchBox]) -> None:
        """Announce further patches, which decide what room is needed.

        Raises:
            DeviceError: a file is needed and the disk is too full for it; nothing has changed then.
        """
        new = {key for box in boxes for key in _keys(box)} - self._known
        missing = len(self._known | new) - len(self._blocks) - self._in_memory - len(self._rows)
        if missing > 0 and len(self._known | new) * self._alive > len(self._blocks) + self._in_memory:
            self._rows += _mapped_rows(missing, self._floats, self._scratch_dir)
        self._known |= new

    @torch.inference_mode()  # sums that were begun in this mode may only be changed in it
    def add(self, logits: Tensor, box: PatchBox, window: Tensor) -> None:
        """Add the logits (L, *box.shape) of one patch, weighted by `window` (*box.shape).

        The blocks take the memory layout of the logits, labels first or last.
        """
        last = labels_last(logits)
        pieces = []
        for key, inside, outside in _pieces(box):
            block = self._blocks.get(key) or self._new_block(key, last)
            weight = window[outside]
            block.weight[inside] += weight
            pieces.append((block.sums[(slice(None), *inside)], logits[(slice(None), *outside)], weight))
        if last:
            for sums, values, weight in pieces:
                sums.addcmul_(values, weight)
        else:  # label by label: eight times as fast as block by block, which jumps through all of the patch
            for label in range(self.num_labels):
                for sums, values, weight in pieces:
                    sums[label].addcmul_(values[label], weight)
        for key in _keys(box):
            self._blocks[key].release()

    def region(self, box: PatchBox) -> tuple[Tensor, Tensor]:
        """Mean logits (L, *box.shape) and covered voxels (*box.shape) of a region; 0 where no patch was added."""
        if not self.touches(box):
            return torch.zeros(self.num_labels, *box.shape), torch.zeros(box.shape, dtype=torch.bool)
        last = labels_last(next(iter(self._blocks.values())).sums)
        mean = (
            torch.empty(*box.shape, self.num_labels).movedim(-1, 0)
            if last
            else torch.empty(self.num_labels, *box.shape)
        )
        weight = torch.empty(box.shape)
        for key, inside, outside in _pieces(box):
            block = self._blocks.get(key)
            if block is None:
                mean[(slice(None), *outside)] = 0
                weight[outside] = 0
                continue
            weight[outside] = block.weight[inside]
            divisor = weight[outside] + 1e-20
            torch.div(block.sums[(slice(None), *inside)], divisor, out=mean[(slice(None), *outside)])
            block.release()
        return mean, weight > 0

    def touches(self, box: PatchBox) -> bool:
        """Whether anything was added near a box; False is certain, True need not be."""
        return any(key in self._blocks for key in _keys(box))

    @torch.inference_mode()
    def forget_before(self, last_axis: int) -> None:
        """Free the blocks that end before index `last_axis` of the last axis; they must not be read again."""
        for key in [key for key in self._blocks if (key[2] + 1) * BLOCK <= last_axis]:
            row = self._blocks.pop(key).row
            if row is None:
                self._in_memory += 1
            else:
                row.values.zero_()
                row.release()
                self._rows.append(row)

    def _new_block(self, key: Index, last: bool) -> "_Block":
        if self._in_memory > 0 or not self._rows:  # room in files was made for all that is known
            self._in_memory -= 1
            row, values = None, torch.zeros(self._floats)
        else:
            row = self._rows.pop()
            values = row.values
        cells = values[: -(BLOCK**3)]
        if last:
            sums = cells.view(BLOCK, BLOCK, BLOCK, self.num_labels).movedim(-1, 0)
        else:
            sums = cells.view(self.num_labels, BLOCK, BLOCK, BLOCK)
        self._blocks[key] = _Block(sums, values[-(BLOCK**3) :].view(BLOCK, BLOCK, BLOCK), row)
        return self._blocks[key]


@dataclass(frozen=True)
class _Row:
    """Room for one block in a mapped file."""

    values: Tensor  # (floats,)
    map: mmap.mmap
    start: int  # bytes

    def release(self) -> None:
        """Take the pages out of this process's memory; what was written stays in the file, or on its way there."""
        if hasattr(mmap, "MADV_DONTNEED"):  # for a shared map of a file it never loses anything; Windows has no such
            self.map.madvise(mmap.MADV_DONTNEED, self.start, self.values.numel() * 4)


@dataclass(frozen=True)
class _Block:
    sums: Tensor  # (L, BLOCK, BLOCK, BLOCK), of logits times window
    weight: Tensor  # (BLOCK, BLOCK, BLOCK), sum of the windows
    row: _Row | None  # None: in memory

    def release(self) -> None:
        if self.row is not None:
            self.row.release()


def _mapped_rows(count: int, floats: int, scratch_dir: str | None) -> list[_Row]:
    """A new file of zeros, mapped; it has no name, so that nothing is left behind however the process ends."""
    folder = scratch_dir or tempfile.gettempdir()
    needed_mb = count * floats * 4 / 2**20
    free_mb = free_disk_mb(folder)
    mend = "Free disk space, or read fewer patches."
    if free_mb < needed_mb:
        raise DeviceError(
            f"The logits of these patches take {needed_mb:.0f} MB.", why=f"{folder} has {free_mb:.0f} MB.", mend=mend
        )
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # the map keeps the file; on Windows it goes with the handle
            file.truncate(count * floats * 4)
            pages = mmap.mmap(file.fileno(), count * floats * 4)
    except OSError as error:
        raise DeviceError(
            f"{needed_mb:.0f} MB of patch logits have no place.",
            why=f"Writing to {folder} failed: {error.strerror or error}.",
            mend=mend,
        ) from error
    values = torch.frombuffer(pages, dtype=torch.float32).view(count, floats)
    return [_Row(values[row], pages, row * floats * 4) for row in reversed(range(count))]


def _keys(box: PatchBox) -> Iterator[Index]:
    return product(*(range(a // BLOCK, ceil(b / BLOCK)) for a, b in zip(box.start, box.stop)))


def _pieces(box: PatchBox) -> Iterator[tuple[Index, tuple[slice, ...], tuple[slice, ...]]]:
    """Per block: its key, where the box lies in it, and where it lies in the box."""
    for key in _keys(box):
        inside, outside = [], []
        for index, a, b in zip(key, box.start, box.stop):
            origin = index * BLOCK
            low, high = max(a, origin), min(b, origin + BLOCK)
            inside.append(slice(low - origin, high - origin))
            outside.append(slice(low - a, high - a))
        yield key, tuple(inside), tuple(outside)
