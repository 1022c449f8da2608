"""How far two label maps of one volume agree, structure by structure, counted a slab at a time without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from EfficientSegLib.bundle import Label
from EfficientSegLib.errors import VolumeError

LARGEST_VALUE = 65535


@dataclass(frozen=True)
class Pair:
    """One structure and its label in each of the maps; None where that map does not know it."""

    name: str
    one: Label | None
    other: Label | None


@dataclass(frozen=True)
class Agreement:
    """One structure in both maps."""

    name: str
    one_ml: float | None  # None: the model does not know this structure
    other_ml: float | None
    dice: float | None  # 0 to 1; None where a model does not know it, or neither has found it


def pairs(one: Sequence[Label], other: Sequence[Label]) -> tuple[Pair, ...]:
    """Which labels mean the same: by terminology code and side, else by name; those of one map alone come last."""
    found, left = [], list(other)
    alone = []
    for label in one:
        match = next((item for item in left if _same_code(label, item)), None)
        match = match or next((item for item in left if label.name.casefold() == item.name.casefold()), None)
        if match is None:
            alone.append(Pair(label.name, label, None))
        else:
            left.remove(match)
            found.append(Pair(label.name, label, match))
    return (*found, *alone, *(Pair(label.name, None, label) for label in left))


def _same_code(one: Label, other: Label) -> bool:
    return bool(one.code) and (one.code, one.modifier) == (other.code, other.modifier)


class Counts:
    """Voxels of two label maps, counted together.

    Args:
        pairs: the structures to count; other label values count as background.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs = tuple(pairs)
        self._places = tuple(_places(pairs, side) for side in ("one", "other"))
        self._table = np.zeros((len(self._pairs) + 1,) * 2, np.int64)

    def add(self, one: np.ndarray, other: np.ndarray) -> None:
        """Count a part.

        Args:
            one: label values, whole numbers of any type, any shape.
            other: likewise, of the same voxels.

        Raises:
            VolumeError: the shapes differ.
        """
        if one.shape != other.shape:
            raise VolumeError(
                f"One label map has {one.shape} voxels, the other {other.shape}.",
                why="They are compared voxel by voxel.",
                mend="Compare results of the same volume.",
            )
        size = len(self._pairs) + 1
        joint = self._places[0][one.ravel()] * size + self._places[1][other.ravel()]
        self._table += np.bincount(joint, minlength=size * size).reshape(size, size)

    def agreements(self, voxel_ml: float) -> tuple[Agreement, ...]:
        """What was counted.

        Args:
            voxel_ml: volume of a voxel.

        Returns:
            One for each pair, in their order.
        """
        ones, others, both = self._table.sum(axis=1), self._table.sum(axis=0), self._table.diagonal()
        result = []
        for place, pair in enumerate(self._pairs, start=1):
            total = int(ones[place] + others[place])
            known = pair.one is not None and pair.other is not None
            result.append(
                Agreement(
                    pair.name,
                    float(ones[place] * voxel_ml) if pair.one is not None else None,
                    float(others[place] * voxel_ml) if pair.other is not None else None,
                    2 * int(both[place]) / total if known and total else None,
                )
            )
        return tuple(result)


def _places(pairs: Sequence[Pair], side: str) -> np.ndarray:
    """From a label value to its row of the table."""
    places = np.zeros(LARGEST_VALUE + 1, np.int64)
    for place, pair in enumerate(pairs, start=1):
        label = getattr(pair, side)
        if label is not None:
            places[label.value] = place
    return places
