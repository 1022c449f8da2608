"""A chest that was cropped beside the lungs, widened to its full width.

A crop alone teaches that dark means outside: its lungs reach the border of the image. Here the lungs go on, mirrored,
and end at a drawn chest wall with ribs.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

SIDE_MM = 66.0  # added on the left and on the right
BACK_MM = 39.0  # added behind: a crop at the spine lacks the muscles of the back
WALL_MM = (15.0, 33.0)  # thickness of the wall
RIB_SPACING_MM = 27.0
FAT_HU, MUSCLE_HU, RIB_HU, LUNG_HU = -95.0, 45.0, 420.0, -820.0


def widen(
    hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels with more on three sides; labels are 0 in what was added. Axes as RAS, voxels (I, J, K).

    What lay within the body outline of the crop is kept: the wall is drawn outside of it, or in what was added.
    """
    side, back = round(SIDE_MM / spacing_mm[0]), round(BACK_MM / spacing_mm[1])
    side = min(side, hu.shape[0] - 1)
    wide = np.pad(hu, ((side, side), (0, 0), (0, 0)), mode="reflect").astype(np.float32)
    wide = np.pad(wide, ((0, 0), (back, 0), (0, 0)), mode="edge")
    grown = np.pad(labels, ((side, side), (back, 0), (0, 0)))
    added = np.ones(wide.shape, dtype=bool)
    added[side:-side, back:] = False
    depth = _depth_below_skin(wide.shape, spacing_mm, generator)
    wall = generator.uniform(*WALL_MM)
    texture = generator.normal(0, 18, wide.shape).astype(np.float32)
    flank = added & (depth < wall)
    back_muscle = np.zeros_like(added)
    back_muscle[:, : back + 2] = added[:, : back + 2]
    flank |= back_muscle & (depth >= 0)
    fat = flank & (depth < wall * generator.uniform(0.25, 0.6))
    wide[flank] = MUSCLE_HU + texture[flank]
    wide[fat] = FAT_HU + texture[fat]
    ribs = flank & (np.abs(depth - wall * 0.72) < 5) & _rib_levels(wide.shape, spacing_mm, generator)
    wide[ribs] = RIB_HU + 6 * texture[ribs]
    outside = added & (depth < 0)
    wide[outside] = -1000 + 0.5 * texture[outside]
    return _softened(wide, added), grown


@dataclass(frozen=True)
class DrawnChest:
    """An image and masks of what was drawn into it, all (I, J, K)."""

    hu: np.ndarray
    left: np.ndarray
    right: np.ndarray
    heart: np.ndarray


def hollow(
    hu: np.ndarray,
    kept: np.ndarray,
    body: np.ndarray,
    spacing_mm: tuple[float, float, float],
    generator: np.random.Generator,
) -> DrawnChest:
    """A trunk whose inside becomes lungs and a heart, around a spine, an aorta and ribs that stay as they are.

    It shows known structures in surroundings in which nobody drew them. Axes as RAS.

    Args:
        kept: what stays, and one voxel around it; the heart is drawn in front of its middle.
        body: True inside the skin.
    """
    image = sitk.GetImageFromArray(body.astype(np.uint8))
    image.SetSpacing([float(step) for step in reversed(spacing_mm)])
    depth = sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    grown = sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray(kept.astype(np.uint8)), [1] * 3))
    cavity = (sitk.GetArrayFromImage(depth) > generator.uniform(*WALL_MM)) & (grown == 0)
    middle, front = (np.average(np.arange(hu.shape[axis]), weights=kept.sum(_others(axis)) + 1e-6) for axis in (0, 1))
    x = (np.arange(hu.shape[0])[:, None, None] - middle) * spacing_mm[0] + 12
    y = (np.arange(hu.shape[1])[None, :, None] - front) * spacing_mm[1] - 70
    heart = cavity & ((x / 52) ** 2 + (y / 48) ** 2 < 1)
    lung = cavity & ~heart
    grain = sitk.GetArrayFromImage(sitk.DiscreteGaussian(sitk.GetImageFromArray(generator.normal(0, 1, hu.shape)), 1.0))
    grain /= grain.std()
    texture = generator.normal(0, 15, hu.shape)
    result = np.where(heart, MUSCLE_HU + texture, hu)
    result = np.where(lung, np.where(grain > 1.7, -150.0, LUNG_HU + 40 * grain), result)
    left = lung & (np.arange(hu.shape[0])[:, None, None] < middle)
    return DrawnChest(_softened(result.astype(np.float32), cavity), left, lung & ~left, heart)


def _others(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != axis)


def _depth_below_skin(shape: tuple, spacing_mm: tuple, generator: np.random.Generator) -> np.ndarray:
    """Roughly how deep each voxel lies inside a rounded box that fills the slice, mm; negative outside."""
    power = generator.uniform(2.4, 3.2)
    half = [length * step / 2 for length, step in zip(shape[:2], spacing_mm)]
    x = (np.abs(np.arange(shape[0]) + 0.5 - shape[0] / 2) * spacing_mm[0] / half[0])[:, None]
    y = (np.abs(np.arange(shape[1]) + 0.5 - shape[1] / 2) * spacing_mm[1] / half[1])[None]
    radius = (x**power + y**power) ** (1 / power)
    return np.repeat(((0.98 - radius) * min(half))[:, :, None], shape[2], axis=2)


def _rib_levels(shape: tuple, spacing_mm: tuple, generator: np.random.Generator) -> np.ndarray:
    """Bands that slope downwards to the front, as ribs do."""
    y = np.arange(shape[1])[None, :, None] * spacing_mm[1]
    z = np.arange(shape[2])[None, None, :] * spacing_mm[2]
    phase = (z + 0.45 * y + generator.uniform(0, RIB_SPACING_MM)) % RIB_SPACING_MM
    return np.broadcast_to(phase < 11, shape)


def _softened(hu: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The edges of what was drawn are as soft as the scanner's."""
    blurred = sitk.GetArrayFromImage(sitk.DiscreteGaussian(sitk.GetImageFromArray(hu), 0.4))
    return np.where(where, blurred, hu).astype(np.float32)
