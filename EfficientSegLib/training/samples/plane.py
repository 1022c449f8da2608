"""How stacks of slices stray from their case within their plane: turned, scaled, sheared, shifted, bent.

All draws come from the generator that is given. Shapes: n stacks, S slices of each, h w pixels of the case, H W of the
sample.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Plane = tuple[int, int]
KNOTS = 4  # of a bend, along each axis inside the image; one more lies on each border


def turn_matrix(
    scale: float, angle_rad: float, shear_rad: tuple[float, float], spacing_mm: tuple[float, float]
) -> np.ndarray:
    """What takes offsets from the centre of a changed image to offsets in the one before, in pixels, (2, 2).

    Args:
        scale: of the body; above 1 it becomes larger.
        angle_rad: turn, in millimetres: pixels that are not square do not shear the image.
        shear_rad: of either axis.
    """
    turn = np.array([[np.cos(angle_rad), -np.sin(angle_rad)], [np.sin(angle_rad), np.cos(angle_rad)]])
    shear = np.array([[1.0, np.tan(shear_rad[0])], [np.tan(shear_rad[1]), 1.0]])
    millimetres = np.diag(spacing_mm)
    return np.linalg.inv(millimetres) @ np.linalg.inv(scale * turn @ shear) @ millimetres


def bend(size: Plane, deviation: float, generator: np.random.Generator) -> Tensor:
    """Smooth displacement in pixels, (2, H, W).

    Args:
        deviation: of the displacement at its knots, as a share of each axis.
    """
    knots = generator.normal(0, deviation, (2, KNOTS + 2, KNOTS + 2)) * np.array(size)[:, None, None]
    field = torch.as_tensor(knots, dtype=torch.float32)[None]
    return functional.interpolate(field, size=size, mode="bicubic", align_corners=True)[0]


def places(size: Plane, matrices: np.ndarray, shifts: np.ndarray) -> Tensor:
    """Offset from the centre of the case, in its pixels, that each pixel of a sample shows, (n, 2, H, W).

    Args:
        matrices: (n, 2, 2), from offsets in the sample to offsets in the case.
        shifts: (n, 2), pixels of the case.
    """
    rows, columns = (torch.arange(length, dtype=torch.float32) - (length - 1) / 2 for length in size)
    m = torch.as_tensor(matrices, dtype=torch.float32)[..., None, None]
    offsets = torch.as_tensor(shifts, dtype=torch.float32)[..., None, None]
    return m[:, :, 0] * rows[:, None] + m[:, :, 1] * columns + offsets


def resample(stacks: Tensor, targets: Tensor, where: Tensor, pad_value: float) -> tuple[Tensor, Tensor, Tensor]:
    """Stacks in another shape: linear for the images, nearest for the targets.

    Args:
        stacks: (n, S, h, w).
        targets: (n, h, w), uint8.
        where: from `places`, (n, 2, H, W).

    Returns:
        Stacks (n, S, H, W), targets (n, H, W), and where they lie inside the case (bool), (n, H, W); outside is
        `pad_value` and 0.
    """
    h, w = targets.shape[1:]
    lookup = torch.stack([where[:, 1] * (2 / w), where[:, 0] * (2 / h)], dim=-1)  # from the centre, ends at -1 and 1
    found = functional.grid_sample(stacks - pad_value, lookup, "bilinear", "zeros", align_corners=False)
    shown = functional.grid_sample(targets[:, None].float() + 1, lookup, "nearest", "zeros", align_corners=False)[:, 0]
    return found + pad_value, (shown - 1).clamp(min=0).to(torch.uint8), shown > 0


def placed(
    stacks: Tensor, targets: Tensor, size: Plane, pad_value: float, centred: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Stacks as they are, on a plane at least as large; returns what `resample` does.

    `centred`: in its middle; else at its beginning, as inference pads.
    """
    n, slices, h, w = stacks.shape
    if (h, w) == size:
        return stacks, targets, torch.ones(n, *size, dtype=torch.bool)
    starts = [(large - small) // 2 if centred else 0 for small, large in zip((h, w), size)]
    inner = tuple(slice(start, start + small) for start, small in zip(starts, (h, w)))
    values = stacks.new_full((n, slices, *size), pad_value)
    labels, inside = targets.new_zeros(n, *size), torch.zeros(n, *size, dtype=torch.bool)
    values[(..., *inner)], labels[(..., *inner)], inside[(..., *inner)] = stacks, targets, True
    return values, labels, inside
