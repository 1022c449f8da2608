"""What is done to a finished label map."""

import numpy as np
import SimpleITK as sitk

from EfficientSegLib.bundle import Bundle, Postprocess
from EfficientSegLib.overlaps import Masks


def clean(labels: np.ndarray, rule: Postprocess) -> None:
    """Apply the bundle's rule to a label map (I, J, K), in place."""
    if not rule.largest_component:
        return
    bounds = sitk.LabelShapeStatisticsImageFilter()
    bounds.ComputePerimeterOff()
    bounds.Execute(sitk.GetImageFromArray(labels))
    for value in rule.largest_component:
        if bounds.HasLabel(value):
            k, j, i, depth, rows, columns = bounds.GetBoundingBox(value)
            _keep_largest_component(labels[i : i + columns, j : j + rows, k : k + depth], value)


def clean_masks(masks: Masks, bundle: Bundle) -> None:
    """Apply the bundle's rule to labels that may overlap, in place."""
    for index, label in enumerate(bundle.labels):
        if label.value in bundle.postprocess.largest_component:
            mask = masks.mask(index).astype(np.uint8)
            clean(mask, Postprocess((1,)))
            masks.replace(index, mask != 0)


def _keep_largest_component(part: np.ndarray, value: int) -> None:
    """Turn all pieces of a label into background but the largest (faces connected), in place."""
    where = part == value
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(where.astype(np.uint8))))
    part[where & (sitk.GetArrayViewFromImage(pieces) != 1)] = 0
