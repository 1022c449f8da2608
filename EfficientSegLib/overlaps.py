"""Labels that may overlap: which of them each voxel has, and how they are put into as few layers as it takes."""

from collections.abc import Sequence

import numpy as np

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import OptionError

POPULATION = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)  # bits that are set
PLANES = 16  # of voxels at a time, where all labels of a voxel are looked at


def check(bundle: Bundle) -> None:
    """Refuse a bundle whose labels cannot overlap.

    Raises:
        OptionError: its outputs exclude each other.
    """
    if bundle.outputs != "independent":
        raise OptionError(
            f"Bundle {bundle.name!r} has no overlapping segments.",
            why="Its network gives each voxel one label.",
            mend="Leave overlapping out, or choose a bundle whose outputs are independent.",
        )


class Masks:
    """One bit per label and voxel: a byte per voxel for every eight labels.

    Attributes:
        count: labels, in the order of the bundle's.
        shape: voxels along I, J, K.
    """

    def __init__(self, count: int, shape: tuple[int, int, int]) -> None:
        self.count = count
        self.shape = tuple(shape)
        self._bits = np.zeros((-(-count // 8), *shape), dtype=np.uint8)  # label l is bit 7 - l % 8 of byte l // 8

    def mark(self, where: tuple[slice, slice, slice], present: np.ndarray) -> None:
        """Set the labels of a box: (labels, i, j, k), or what can be spread over it; bool."""
        self._bits[(slice(None), *where)] = np.packbits(present, axis=0)

    def mask(self, label: int) -> np.ndarray:
        """Where a label is, (I, J, K), bool."""
        return (self._bits[label // 8] >> (7 - label % 8) & 1).astype(bool)

    def any_of(self, labels: Sequence[int]) -> np.ndarray:
        """Where at least one of some labels is, (I, J, K), bool."""
        wanted = np.zeros(self.count, dtype=bool)
        wanted[list(labels)] = True
        found = np.zeros(self.shape, dtype=bool)
        for bits, byte in zip(self._bits, np.packbits(wanted)):
            found |= bits & byte != 0
        return found

    def replace(self, label: int, mask: np.ndarray) -> None:
        """Change where a label is."""
        bit = np.uint8(1 << (7 - label % 8))
        byte = self._bits[label // 8]
        byte &= ~bit
        byte |= mask * bit

    def turned_back(self, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> "Masks":
        """The same labels on the axes of the input, as a view; see `preprocess.orient_back`."""
        turned = Masks(self.count, (0, 0, 0))
        flipped = self._bits[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in flips))]
        turned._bits = flipped.transpose(0, *(1 + axes.index(axis) for axis in range(3)))
        turned.shape = turned._bits.shape[1:]
        return turned

    def layers(self, labels: Sequence[int]) -> list[list[int]]:
        """Some labels in as few groups as a first fit finds, such that within a group no voxel has two of them."""
        touches = self._together()
        groups: list[list[int]] = []
        for label in labels:
            free = (group for group in groups if not any(touches[label, other] for other in group))
            group = next(free, None)
            if group is None:
                groups.append([label])
            else:
                group.append(label)
        return groups

    def values(self, group: Sequence[int], values: Sequence[int], planes: slice) -> np.ndarray:
        """One layer of some slices, (I, J, k), uint16: each label of a group by its value."""
        layer = np.zeros_like(self._bits[0][:, :, planes], dtype=np.uint16)
        for label, value in zip(group, values, strict=True):
            layer[(self._bits[label // 8][:, :, planes] >> (7 - label % 8) & 1).astype(bool)] = value
        return layer

    def _together(self) -> np.ndarray:
        """Which two labels share a voxel, (labels, labels), bool."""
        found = np.zeros((self.count, self.count), dtype=bool)
        for first in range(0, self.shape[2], PLANES):
            slab = self._bits[..., first : first + PLANES]
            shared = POPULATION[slab].sum(0, dtype=np.uint16) > 1  # few voxels, if any
            for pattern in np.unique(slab[:, shared], axis=1).T:
                labels = np.flatnonzero(np.unpackbits(pattern, count=self.count))
                found[np.ix_(labels, labels)] = True
        np.fill_diagonal(found, False)
        return found
