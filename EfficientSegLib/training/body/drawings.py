"""What lies beside a body in a scanner, drawn: arms and the table. Both go only where nothing else is."""

import numpy as np
import torch
from torch import Tensor

FAT_HU, MUSCLE_HU, MARROW_HU = -100.0, 50.0, 120.0


def with_arms(hu: Tensor, outside: Tensor, spacing_mm: tuple, generator: np.random.Generator) -> Tensor:
    """One or two arms beside the body, cut by the border where they reach it.

    Args:
        hu: (I, J, K), image values.
        outside: (I, J, K), True for air around the body.
    """
    columns, rows = _reach(~outside, 0), _reach(~outside, 1)
    if columns is None or rows is None:
        return hu
    hu = hu.clone()
    for side in (0, 1):
        if generator.random() < 0.8:
            radius = generator.uniform(28, 52)
            away = radius / spacing_mm[0] * generator.uniform(0.2, 1.1)
            x = columns[0] - away if side == 0 else columns[1] + away
            y = rows[0] + (rows[1] - rows[0]) * generator.uniform(0.2, 0.8)
            _draw_arm(hu, outside, spacing_mm, (float(x), float(y)), radius, generator)
    return hu


def _reach(body: Tensor, axis: int) -> tuple[int, int] | None:
    """First and last index of an axis where the body fills at least a tenth of its largest section."""
    sections = body.sum(dim=[other for other in range(3) if other != axis])
    filled = (sections > 0.1 * sections.max()).nonzero()[:, 0]
    return (int(filled[0]), int(filled[-1])) if len(filled) and sections.max() > 0 else None


def _draw_arm(
    hu: Tensor, outside: Tensor, spacing_mm: tuple, at: tuple[float, float], radius: float, generator
) -> None:
    k = torch.arange(hu.shape[2]) - hu.shape[2] / 2
    slope = generator.uniform(-0.25, 0.25, 2)
    x = (torch.arange(hu.shape[0])[:, None, None] - at[0]) * spacing_mm[0] - float(slope[0]) * k * spacing_mm[2]
    y = (torch.arange(hu.shape[1])[None, :, None] - at[1]) * spacing_mm[1] - float(slope[1]) * k * spacing_mm[2]
    squeeze = generator.uniform(0.75, 1.3)
    distance = torch.sqrt((x * squeeze) ** 2 + (y / squeeze) ** 2)
    texture = torch.from_numpy(generator.normal(0, 15, tuple(hu.shape)).astype(np.float32))
    free = outside & (distance < radius)
    skin = generator.uniform(3, 14)
    hu[free] = torch.where(distance < radius - skin, MUSCLE_HU + texture, FAT_HU + texture)[free]
    bones = [(0.0, 0.0, 13.0)] if generator.random() < 0.5 else [(-13.0, 5.0, 8.0), (13.0, -5.0, 8.0)]
    for dx, dy, size in bones:
        bone = torch.sqrt((x - dx) ** 2 + (y - dy) ** 2)
        hu[free & (bone < size)] = float(generator.uniform(500, 1200))
        hu[free & (bone < size - 6)] = MARROW_HU


def with_table(hu: Tensor, outside: Tensor, spacing_mm: tuple, generator: np.random.Generator) -> Tensor:
    """A curved plate or a cushion behind the body."""
    rows = _reach(~outside, 1)
    if rows is None:
        return hu
    x = (torch.arange(hu.shape[0])[:, None, None] - hu.shape[0] / 2) * spacing_mm[0]
    y = torch.arange(hu.shape[1])[None, :, None] * spacing_mm[1]
    lowest = rows[0] * spacing_mm[1] - generator.uniform(-6, 24)
    surface = lowest + x**2 / generator.uniform(400, 3000)
    thickness = generator.uniform(3, 18)
    plate = ((y < surface) & (y > surface - thickness)).expand(hu.shape)
    return torch.where(plate & outside, torch.tensor(float(generator.uniform(-850, 100))), hu)
