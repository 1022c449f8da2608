"""Which axis of a scan runs along which direction of the patient. Directions are LPS, as in files."""

from itertools import permutations

import numpy as np

from EfficientSegLib.geometry import Index


def axis_order(direction: np.ndarray, orientation: str) -> tuple[Index, tuple[bool, bool, bool]]:
    """Which source axis becomes each wanted axis, and whether it is flipped.

    Args:
        direction: column a is the LPS direction of source axis a, 3 x 3.
        orientation: letters of the directions in which the wanted axes grow.
    """
    world = [0 if c in "LR" else 1 if c in "PA" else 2 for c in orientation]
    axes = max(permutations(range(3)), key=lambda p: sum(abs(direction[w, a]) for w, a in zip(world, p)))
    flips = tuple(bool((direction[w, a] < 0) == (letter in "LPS")) for w, a, letter in zip(world, axes, orientation))
    return axes, flips
