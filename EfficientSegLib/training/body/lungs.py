"""Lungs by rule, for volumes in which nobody drew them: dark, large, enclosed, one on each side."""

import numpy as np
import SimpleITK as sitk

AIR_HU = -400.0  # lung tissue lies below, everything solid above
AIRWAY_HU = -930.0  # the trachea and main bronchi lie below, lung tissue above
LEAST_ML = 80.0  # smaller pieces are bowel gas, not lung


def lungs_by_rule(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Masks (left, right) of the lungs in a CT; axes grow to the right, to the front and upwards (RAS).

    Air that reaches the border to the left, right, front or back is outside the body; the airways are cut away; of the
    rest, a piece counts when it is large. A piece that holds both lungs is parted at the body's middle.

    Args:
        hu: (I, J, K), Hounsfield units.
        spacing_mm: of I, J, K.
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    dark = hu < AIR_HU
    inside = dark & ~_outside_air(dark)
    smooth = _smoothed(hu)
    lung = inside & ~_grown(inside & (smooth < AIRWAY_HU), 1)
    pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(_image(_opened(lung))))
    middle = _middle(hu > AIR_HU)
    left, right = np.zeros_like(dark), np.zeros_like(dark)
    for piece in range(1, int(pieces.max()) + 1):
        mask = pieces == piece
        if mask.sum() * voxel_ml < LEAST_ML:
            continue
        to_the_left = np.zeros_like(mask)
        to_the_left[:middle] = True
        share = (mask & to_the_left).sum() / mask.sum()
        if share > 0.85:
            left |= mask
        elif share < 0.15:
            right |= mask
        else:
            left |= mask & to_the_left
            right |= mask & ~to_the_left
    return _closed(left), _closed(right) & ~_closed(left)


def _outside_air(dark: np.ndarray) -> np.ndarray:
    """Pieces of dark voxels, slice by slice, that touch the border of their slice."""
    outside = np.zeros_like(dark)
    for k in range(dark.shape[2]):
        pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(dark[:, :, k].astype(np.uint8))))
        rim = np.unique(np.concatenate((pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1])))
        outside[:, :, k] = np.isin(pieces, rim[rim > 0])
    return outside


def _middle(solid: np.ndarray) -> int:
    return int(np.average(np.arange(solid.shape[0]), weights=solid.sum((1, 2)) + 1e-6))


def _image(mask: np.ndarray) -> sitk.Image:
    return sitk.GetImageFromArray(np.ascontiguousarray(mask, dtype=np.uint8))


def _smoothed(hu: np.ndarray) -> np.ndarray:
    image = sitk.GetImageFromArray(np.ascontiguousarray(hu, dtype=np.float32))
    return sitk.GetArrayFromImage(sitk.Mean(image, [1, 1, 1]))


def _grown(mask: np.ndarray, voxels: int) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.BinaryDilate(_image(mask), [voxels] * 3)).astype(bool)


def _opened(mask: np.ndarray) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.BinaryMorphologicalOpening(_image(mask), [1] * 3)).astype(bool)


def _closed(mask: np.ndarray) -> np.ndarray:
    """Vessels inside belong to the lung."""
    closed = sitk.BinaryMorphologicalClosing(_image(mask), [2] * 3)
    return sitk.GetArrayFromImage(sitk.BinaryFillhole(closed)).astype(bool)
