"""Cut patches, weigh them, and join their logits without ever holding those of the whole volume in memory."""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import product
from math import ceil

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from EfficientSegLib.errors import DeviceError
from EfficientSegLib.geometry import Index, PatchBox
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

    Blocks live in memory up to `memory_mb`; beyond, in one file in a folder that the system cleans, mapped into memory.

    Args:
        num_labels: channels of the logits.
        boxes: every patch that will be added; they decide which blocks exist.
        memory_mb: how much may stay in memory.
        alive: fraction of the blocks that exist at one time, below 1 where `forget_before` is called on the way.
        scratch_dir: where the file lies; None is the system's folder for temporary files.

    Raises:
        DeviceError: the file is needed and the disk is too full for it.
    """

    def __init__(
        self,
        num_labels: int,
        boxes: Iterable[PatchBox],
        memory_mb: float = 2000,
        scratch_dir: str | None = None,
        alive: float = 1.0,
    ) -> None:
        self.num_labels = num_labels
        self._places = {key: row for row, key in enumerate(sorted({key for box in boxes for key in _keys(box)}))}
        self._blocks: dict[Index, Tensor] = {}
        floats = (num_labels + 1) * BLOCK**3
        needed_mb = len(self._places) * floats * 4 / 2**20
        self._file = None
        if needed_mb * alive > memory_mb:
            self._file = _mapped(len(self._places), floats, needed_mb, scratch_dir)

    def add(self, logits: Tensor, box: PatchBox, window: Tensor) -> None:
        """Add the logits (L, *box.shape) of one patch, weighted by `window` (*box.shape)."""
        weighted = torch.cat((logits * window, window[None]))
        for key, inside, outside in _pieces(box):
            self._block(key)[(slice(None), *inside)] += weighted[(slice(None), *outside)]

    def region(self, box: PatchBox) -> tuple[Tensor, Tensor]:
        """Mean logits (L, *box.shape) and covered voxels (*box.shape) of a region; 0 where no patch was added."""
        total = torch.zeros(self.num_labels + 1, *box.shape)
        for key, inside, outside in _pieces(box):
            if key in self._blocks:
                total[(slice(None), *outside)] = self._blocks[key][(slice(None), *inside)]
        weight = total[-1]
        return total[:-1] / (weight + 1e-20), weight > 0

    def forget_before(self, last_axis: int) -> None:
        """Free the blocks that end before index `last_axis` of the last axis; they must not be read again."""
        for key in [key for key in self._blocks if (key[2] + 1) * BLOCK <= last_axis]:
            del self._blocks[key]

    def _block(self, key: Index) -> Tensor:
        if key not in self._blocks:
            if self._file is None:
                self._blocks[key] = torch.zeros(self.num_labels + 1, BLOCK, BLOCK, BLOCK)
            else:
                row = torch.from_numpy(self._file[self._places[key]])
                self._blocks[key] = row.view(self.num_labels + 1, BLOCK, BLOCK, BLOCK)
        return self._blocks[key]


def _mapped(rows: int, floats: int, needed_mb: float, scratch_dir: str | None) -> np.memmap:
    folder = scratch_dir or tempfile.gettempdir()
    free_mb = free_disk_mb(folder)
    mend = "Free disk space, or read fewer patches."
    if free_mb < needed_mb:
        raise DeviceError(
            f"The logits of these patches take {needed_mb:.0f} MB.", why=f"{folder} has {free_mb:.0f} MB.", mend=mend
        )
    try:
        # The file has no name once it is open (on Windows it goes with the last handle), so a kill leaves nothing.
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (the map keeps it open)
        file.truncate(rows * floats * 4)
        return np.memmap(file, dtype=np.float32, mode="r+", shape=(rows, floats))
    except OSError as error:
        raise DeviceError(
            f"{needed_mb:.0f} MB of patch logits have no place.",
            why=f"Writing to {folder} failed: {error.strerror or error}.",
            mend=mend,
        ) from error


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
