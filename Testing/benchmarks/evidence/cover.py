"""How much of what the coarse pass got wrong lies in the patches that are read: the choice by itself, whatever the
local network makes of it."""

from collections.abc import Iterator, Sequence

import numpy as np

from EfficientSegLib.geometry import PatchBox


def covered(errors: np.ndarray, boxes: Sequence[PatchBox], counts: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Per count: the share of the wrong voxels (I, J, K), bool, that lie in the first so many boxes."""
    total = max(int(errors.sum()), 1)
    left, shares = errors.copy(), []
    for number in range(min(max(counts), len(boxes)) + 1):
        shares.append(1 - int(left.sum()) / total)
        if number < len(boxes):
            left[boxes[number].slices()] = False
    for count in counts:
        yield count, shares[min(count, len(shares) - 1)]


def best_first(errors: np.ndarray, boxes: Sequence[PatchBox], count: int) -> list[PatchBox]:
    """The boxes that a choice would take which knows all errors: each the one with most errors not yet covered."""
    left, chosen = errors.copy(), []
    found = np.array([int(left[box.slices()].sum()) for box in boxes])
    while len(chosen) < min(count, len(boxes)) and found.max() > 0:
        best = int(found.argmax())
        chosen.append(boxes[best])
        left[boxes[best].slices()] = False
        for number, box in enumerate(boxes):
            if found[number] and box.intersection(boxes[best]) is not None:
                found[number] = int(left[box.slices()].sum())
    return chosen
