"""How well a label map agrees with its reference: Dice, NSD, HD95 and volumes, label by label.

The rule for empty labels, here and nowhere else:

- In neither map: nothing could be right or wrong; the label is not counted in this case (None).
- In one map only: Dice and NSD are 0, the worst there is. HD95 has no worst value; the diagonal of the volume stands
  for it, as is usual where missed structures must cost something in a mean (Metrics Reloaded, Maier-Hein, Reinke et
  al., Nat Methods 2024; 21: 195-212, on missing values), and `LabelScore.one_sided` lets them be counted apart.
  MONAI gives infinity or NaN there and leaves it out of its means, which would reward a method that finds nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.evaluation.surfaces import bounding_boxes, surface_distances
from EfficientSegLib.geometry import PatchBox

TOLERANCE_MM = 2.0


@dataclass(frozen=True)
class LabelScore:
    """One label of one case; measures are None where the label is in neither map."""

    dice: float | None
    nsd: float | None  # normalised surface Dice, 0 to 1
    hd95_mm: float | None  # the diagonal of the volume where the label is in one map only
    prediction_ml: float
    reference_ml: float

    @property
    def one_sided(self) -> bool:
        """Missed altogether, or found where there is nothing."""
        return (self.prediction_ml > 0) != (self.reference_ml > 0)


def dice(prediction: np.ndarray, reference: np.ndarray) -> float | None:
    """Dice coefficient of two masks of one shape, bool; None where both are empty."""
    both = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return 2 * int(np.count_nonzero(prediction & reference)) / both if both else None


def nsd(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float = TOLERANCE_MM
) -> float | None:
    """Normalised surface Dice of two masks (I, J, K), bool: share of surface nearer than the tolerance, 0 to 1."""
    return score_masks(prediction, reference, spacing_mm, tolerance_mm).nsd


def hd95(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]) -> float | None:
    """95 % Hausdorff distance in mm of two masks (I, J, K), bool: the larger of the two directed percentiles."""
    return score_masks(prediction, reference, spacing_mm).hd95_mm


def score_masks(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float = TOLERANCE_MM
) -> LabelScore:
    """Compare one label of two volumes, given as masks (I, J, K), bool; raises what `score` raises."""
    return score(*_as_maps(prediction, reference), spacing_mm, [1], tolerance_mm=tolerance_mm)[1]


def score(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    labels: Iterable[int],
    *,
    known: Iterable[int] | None = None,
    tolerance_mm: float = TOLERANCE_MM,
) -> dict[int, LabelScore]:
    """Compare two label maps on one grid.

    Args:
        prediction: (I, J, K), whole numbers of any type; 0 is background.
        reference: likewise.
        spacing_mm: size of a voxel along I, J, K.
        labels: the values to score, in this order.
        known: the values that either map may hold; None is `labels`.
        tolerance_mm: for NSD, distances up to this count as agreement.

    Returns:
        By label value.

    Raises:
        VolumeError: shapes differ, a value is not whole, not finite or not known; or MONAI is missing.
        OptionError: a spacing or the tolerance is not positive.
    """
    labels = tuple(labels)
    _check(prediction, reference, spacing_mm, tolerance_mm)
    maps, boxes = [], []
    for array, name in ((prediction, "The prediction"), (reference, "The reference")):
        maps.append(whole_numbers(array, name))
        boxes.append(bounding_boxes(maps[-1]))
        refuse_unknown(boxes[-1], {*labels, *(known or ())}, name)
    spacing = tuple(float(step) for step in spacing_mm)
    diagonal = float(np.linalg.norm(np.multiply(prediction.shape, spacing)))
    result = {}
    for value in labels:
        found = [box[value] for box in boxes if value in box]
        masks = [np.ascontiguousarray(array[_union(found).slices()] == value) for array in maps] if found else []
        result[value] = _score_masks(*masks, spacing, tolerance_mm, diagonal) if found else NOT_THERE
    return result


NOT_THERE = LabelScore(None, None, None, 0.0, 0.0)


def whole_numbers(array: np.ndarray, name: str) -> np.ndarray:
    """A label map as integers that SimpleITK knows; other tools also write them as floating point.

    Raises:
        VolumeError: a value is not finite, not whole or below 0.
    """

    def refuse(value: object) -> VolumeError:
        return VolumeError(
            f"{name} holds the value {value}.",
            why="A label map holds whole numbers from 0 on.",
            mend="Give the label map, not an image or a probability map.",
        )

    if array.dtype.kind == "f":
        wrong = array[~np.isfinite(array) | (array != np.round(array))]
        if wrong.size:
            raise refuse(wrong[0])
    elif array.dtype.kind not in "iub":
        raise refuse(array.flat[0])
    if array.size and array.min() < 0:
        raise refuse(array.min())
    highest = array.max() if array.size else 0
    if highest > np.iinfo(np.int32).max:
        raise refuse(highest)
    return array.astype(np.min_scalar_type(int(highest)) if highest < 1 << 16 else np.int32, copy=False)


def _score_masks(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple, tolerance_mm: float, diagonal_mm: float
) -> LabelScore:
    voxel_ml = float(np.prod(spacing)) / 1000
    volumes = int(np.count_nonzero(prediction)) * voxel_ml, int(np.count_nonzero(reference)) * voxel_ml
    if not min(volumes):
        return LabelScore(0.0, 0.0, diagonal_mm, *volumes)
    distances = surface_distances(prediction, reference, spacing)
    return LabelScore(
        dice(prediction, reference), distances.within(tolerance_mm), distances.hausdorff_mm(0.95), *volumes
    )


def _union(boxes: Sequence[PatchBox]) -> PatchBox:
    return PatchBox(
        tuple(min(values) for values in zip(*(box.start for box in boxes))),
        tuple(max(values) for values in zip(*(box.stop for box in boxes))),
    )


def _as_maps(*masks: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(mask, dtype=bool).astype(np.uint8) for mask in masks)


def _check(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float) -> None:
    if prediction.shape != reference.shape or prediction.ndim != 3:
        raise VolumeError(
            f"The prediction has {_text(prediction.shape)} voxels, the reference {_text(reference.shape)}.",
            why="Two label maps are compared voxel by voxel, in three dimensions.",
            mend="Bring the prediction back to the grid of the reference.",
        )
    if len(spacing_mm) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing_mm):
        raise OptionError(
            f"The spacing is {tuple(spacing_mm)}.", why="Voxels have a size.", mend="Give three numbers above 0, in mm."
        )
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise OptionError(f"The tolerance is {tolerance_mm} mm.", why="It is a distance.", mend="Give 0 or more.")


def refuse_unknown(found: Iterable[int], known: set[int], name: str) -> None:
    """Raises VolumeError: a label that was found is not known; `name` is what holds it."""
    strange = sorted(set(found) - known)
    if strange:
        raise VolumeError(
            f"{name} holds label {strange[0]}.",
            why=f"Known are {', '.join(map(str, sorted(known))) or 'none'}.",
            mend="Say in the case's map which of our labels it is, or that it is none (0).",
        )


def _text(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "no"
