"""What is done to a finished label map."""

import numpy as np
import SimpleITK as sitk

from EfficientSegLib.bundle import Postprocess


def clean(labels: np.ndarray, rule: Postprocess) -> None:
    """Apply the bundle's rule to a label map (I, J, K), in place."""
    for value in rule.largest_component:
        keep_largest_component(labels, value)


def keep_largest_component(labels: np.ndarray, value: int) -> None:
    """Turn all pieces of a label into background but the largest (faces connected), in place."""
    where = labels == value
    bounds = []
    for axis in range(3):
        inside = np.flatnonzero(where.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(inside):
            return
        bounds.append(slice(int(inside[0]), int(inside[-1]) + 1))
    part = where[tuple(bounds)]
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(part.astype(np.uint8))))
    labels[tuple(bounds)][part & (sitk.GetArrayViewFromImage(pieces) != 1)] = 0
