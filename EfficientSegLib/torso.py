"""Find the torso of a CT, so that arms, hands and the table go before a network looks."""

import numpy as np
import SimpleITK as sitk

from EfficientSegLib.geometry import PatchBox, whole

SKIN_HU = -300.0  # between air and fat


def torso_box(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], erode_mm: float, margin_mm: float, vertical: int
) -> PatchBox:
    """The box around the largest piece of the body after eroding it by `erode_mm`.

    An arm touches the trunk along a thin bridge; eroded, they part, and the trunk is larger.

    Args:
        hu: Hounsfield units, (I, J, K).
        spacing_mm: of the three axes.
        erode_mm: how deep to erode.
        margin_mm: added to the eroded piece on every side beyond what was eroded.
        vertical: axis from feet to head; the box always keeps its full length.

    Returns:
        The box in voxels; the whole volume where no body is found.
    """
    mask = (hu > SKIN_HU).astype(np.uint8)
    filled = np.stack(
        [_filled(plane) for plane in np.moveaxis(mask, vertical, 0)],
        axis=vertical,
    )
    # One voxel of background is not assumed around the volume: a body cut by the field of view is not eroded there.
    image = sitk.GetImageFromArray(filled)
    image.SetSpacing([float(step) for step in reversed(spacing_mm)])
    depth = sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(depth >= erode_mm))
    trunk = sitk.GetArrayViewFromImage(pieces) == 1
    if not filled.any() or filled.all() or not trunk.any():
        return whole(hu.shape)
    start, stop = [], []
    for axis in range(3):
        inside = np.flatnonzero(trunk.any(axis=tuple(other for other in range(3) if other != axis)))
        grow = int(np.ceil((erode_mm + margin_mm) / spacing_mm[axis]))
        start.append(0 if axis == vertical else max(int(inside[0]) - grow, 0))
        stop.append(hu.shape[axis] if axis == vertical else min(int(inside[-1]) + 1 + grow, hu.shape[axis]))
    return PatchBox(tuple(start), tuple(stop))


def _filled(plane: np.ndarray) -> np.ndarray:
    """A body section with its lungs and bowel gas filled."""
    return sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.GetImageFromArray(plane)))
