"""Boxes and grids in voxel indices: start inclusive, stop exclusive, in the order I, J, K."""

from dataclasses import dataclass
from itertools import product
from math import ceil, floor

from EfficientSegLib.errors import OptionError

Index = tuple[int, int, int]


@dataclass(frozen=True)
class PatchBox:
    """A box of voxels; `start` is inside, `stop` is the first index outside, per axis I, J, K."""

    start: Index
    stop: Index

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", tuple(int(value) for value in self.start))
        object.__setattr__(self, "stop", tuple(int(value) for value in self.stop))
        if len(self.start) != 3 or len(self.stop) != 3 or any(a >= b for a, b in zip(self.start, self.stop)):
            raise OptionError(
                f"A box from {self.start} to {self.stop} is empty.",
                why="Each stop must lie behind its start.",
                mend="Give a box of at least one voxel per axis.",
            )

    @property
    def shape(self) -> Index:
        return tuple(b - a for a, b in zip(self.start, self.stop))

    def slices(self) -> tuple[slice, slice, slice]:
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop))

    def scaled(self, factor: tuple[float, float, float]) -> "PatchBox":
        """The smallest box of another grid that holds this one; index i lies at i * factor there."""
        return PatchBox(
            tuple(floor(a * f + 1e-6) for a, f in zip(self.start, factor)),
            tuple(max(ceil(b * f - 1e-6), floor(a * f + 1e-6) + 1) for a, b, f in zip(self.start, self.stop, factor)),
        )

    def shifted(self, offset: Index) -> "PatchBox":
        return PatchBox(
            tuple(a + o for a, o in zip(self.start, offset)), tuple(b + o for b, o in zip(self.stop, offset))
        )

    def grown(self, margin: int) -> "PatchBox":
        """The box with a margin of voxels on every side."""
        return PatchBox(tuple(a - margin for a in self.start), tuple(b + margin for b in self.stop))

    def intersection(self, other: "PatchBox") -> "PatchBox | None":
        """The box shared with another one, or None."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start))
        stop = tuple(min(a, b) for a, b in zip(self.stop, other.stop))
        return PatchBox(start, stop) if all(a < b for a, b in zip(start, stop)) else None


@dataclass(frozen=True)
class ScoredBox:
    """A chosen patch: its box, its priority (learned benefit, never a confidence) and its rank, 1 = first read."""

    box: PatchBox
    score: float
    rank: int


def whole(shape: Index) -> PatchBox:
    """The box of a whole grid."""
    return PatchBox((0, 0, 0), shape)


def enlarged(box: PatchBox, least: Index, within: Index) -> PatchBox:
    """The box, grown evenly to both sides to at least `least` voxels per axis, then moved into the grid `within`.

    What lies outside the grid is cut off first; an odd voxel is added behind.

    Raises:
        OptionError: `least` is longer than the grid, or the box lies outside it.
    """
    if any(size > length for size, length in zip(least, within)):
        raise OptionError(
            f"The patch has {least} voxels, the volume {within}.",
            why="A patch cannot be larger than the volume it is cut from.",
            mend="Pad the volume or choose a smaller patch.",
        )
    inside = box.intersection(whole(within))
    if inside is None:
        raise OptionError(
            f"A box from {box.start} to {box.stop} lies outside the volume of {within} voxels.",
            why="There is nothing to read.",
            mend="Give a box that meets the volume.",
        )
    sizes = tuple(max(size, smallest) for size, smallest in zip(inside.shape, least))
    start = tuple(
        min(max(a - (size - length) // 2, 0), end - size)
        for a, length, size, end in zip(inside.start, inside.shape, sizes, within)
    )
    return PatchBox(start, tuple(a + size for a, size in zip(start, sizes)))


def patch_starts(length: int, patch: int, overlap: float) -> list[int]:
    """Where the patches of one axis start; the last one is moved back to end at the border.

    Args:
        length: voxels of the axis.
        patch: voxels of the patch.
        overlap: fraction shared by neighbouring patches, in [0, 1).

    Raises:
        OptionError: the patch is longer than the axis, or the overlap is out of range.

    Source: the dense grid of MONAI's sliding window, which NMSW's published costs imply (7 patches for 480, 128, 0.5).
    """
    if not 0 <= overlap < 1:
        raise OptionError(f"overlap is {overlap}.", why="It is a fraction in [0, 1).", mend="0.5 is the usual choice.")
    if patch < 1 or patch > length:
        raise OptionError(
            f"The patch has {patch} voxels, on an axis of {length}.",
            why="A patch cannot be larger than the volume it is cut from.",
            mend="Pad the volume or choose a smaller patch.",
        )
    step = max(int(patch * (1 - overlap)), 1)
    count = ceil((length - patch) / step) + 1
    return [min(index * step, length - patch) for index in range(count)]


def patch_grid(shape: Index, patch: Index, overlap: float) -> list[PatchBox]:
    """All candidate patches of a volume, raster order with the last axis fastest."""
    starts = [patch_starts(length, size, overlap) for length, size in zip(shape, patch, strict=True)]
    return [PatchBox(start, tuple(a + p for a, p in zip(start, patch))) for start in product(*starts)]


def grid_shape(shape: Index, patch: Index, overlap: float) -> Index:
    """Number of candidate patches per axis."""
    return tuple(len(patch_starts(length, size, overlap)) for length, size in zip(shape, patch, strict=True))
