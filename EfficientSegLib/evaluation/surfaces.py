"""How far two surfaces lie apart: distances in mm, weighted by area.

A surface runs through the corners of voxels. Each corner with voxels of both kinds around it carries the area of the
marching-cubes triangles in it, so that spacing and slant count as they should; voxels outside the grid are background.

Source: Nikolov et al., Clinically Applicable Segmentation of Head and Neck Anatomy for Radiotherapy (J Med Internet
Res 2021; 23(7): e26151), section "Evaluation"; areas from MONAI's table (as in `monai.metrics.compute_surface_dice`
with `use_subvoxels=True`), distances from SimpleITK's exact distance map.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import PatchBox

ROUNDING = 1e-5  # of the tolerance: three voxels of 0.7 mm are 2.1 mm, whatever float32 says


@dataclass(frozen=True)
class SurfaceDistances:
    """Each piece of one surface: how far the other surface is, (N,) in mm, and its area, (N,) in mm²."""

    to_reference_mm: np.ndarray
    prediction_area: np.ndarray
    to_prediction_mm: np.ndarray
    reference_area: np.ndarray

    def within(self, tolerance_mm: float) -> float:
        """Share of both surfaces that lies within a tolerance of the other one, 0 to 1: the normalised surface Dice."""
        limit = tolerance_mm * (1 + ROUNDING)
        near = self.prediction_area[self.to_reference_mm <= limit].sum()
        near += self.reference_area[self.to_prediction_mm <= limit].sum()
        return float(near / (self.prediction_area.sum() + self.reference_area.sum()))

    def hausdorff_mm(self, share: float = 0.95) -> float:
        """The distance below which this share of a surface lies; the larger of the two directions."""
        return max(
            _quantile(self.to_reference_mm, self.prediction_area, share),
            _quantile(self.to_prediction_mm, self.reference_area, share),
        )


def surface_distances(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple) -> SurfaceDistances:
    """Distances between the surfaces of two masks, (I, J, K) bool, neither of them empty.

    Raises:
        VolumeError: MONAI is missing.
    """
    table, order = _areas(tuple(float(step) for step in spacing_mm))
    ours, theirs = _codes(prediction, order), _codes(reference, order)
    on_ours, on_theirs = _is_surface(ours), _is_surface(theirs)
    return SurfaceDistances(
        to_reference_mm=_distances(on_theirs, spacing_mm)[on_ours],
        prediction_area=table[ours[on_ours]],
        to_prediction_mm=_distances(on_ours, spacing_mm)[on_theirs],
        reference_area=table[theirs[on_theirs]],
    )


def bounding_boxes(labels: np.ndarray) -> dict[int, PatchBox]:
    """The box of each label value but 0 in a map (I, J, K) of integers, in one pass."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(labels.transpose(2, 1, 0)))
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.ComputePerimeterOff()
    shapes.Execute(image)
    boxes = {}
    for value in shapes.GetLabels():
        place = shapes.GetBoundingBox(value)
        boxes[value] = PatchBox(place[:3], tuple(start + size for start, size in zip(place[:3], place[3:])))
    return boxes


@lru_cache(maxsize=32)
def _areas(spacing_mm: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Area in mm² of each of the 256 neighbourhoods, and what each of the 2 x 2 x 2 voxels counts in their number."""
    try:
        from monai.metrics.utils import get_code_to_measure_table
    except ImportError as error:
        raise VolumeError(
            "Surface distances cannot be measured.",
            why="The Python package monai is missing.",
            mend="Install monai.",
        ) from error
    table, kernel = get_code_to_measure_table(spacing_mm)
    return table.double().numpy(), np.asarray(kernel.reshape(2, 2, 2)).round().astype(np.uint8)


def _codes(mask: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The number of the neighbourhood of each corner, (I + 1, J + 1, K + 1) uint8."""
    padded = np.pad(mask, 1).view(np.uint8)
    size = [length + 1 for length in mask.shape]
    codes = np.zeros(size, dtype=np.uint8)
    for place in np.ndindex(2, 2, 2):
        codes += order[place] * padded[tuple(slice(start, start + length) for start, length in zip(place, size))]
    return codes


def _is_surface(codes: np.ndarray) -> np.ndarray:
    return (codes != 0) & (codes != 255)


def _distances(surface: np.ndarray, spacing_mm: tuple) -> np.ndarray:
    """Distance in mm of every corner to the nearest one of a surface."""
    image = sitk.GetImageFromArray(surface.view(np.uint8))
    image.SetSpacing([float(step) for step in reversed(spacing_mm)])  # SimpleITK counts axes from the last
    signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    # It is negative on pieces that have only pieces around them, which happens in thin structures.
    return np.where(surface, np.float32(0), sitk.GetArrayViewFromImage(signed))


def _quantile(distances: np.ndarray, areas: np.ndarray, share: float) -> float:
    order = np.argsort(distances, kind="stable")
    reached = np.cumsum(areas[order])
    place = np.searchsorted(reached, share * reached[-1] * (1 - 1e-12))
    return float(distances[order][min(place, len(order) - 1)])
