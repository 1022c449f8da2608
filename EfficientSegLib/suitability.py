"""Can this image be segmented? Refusals in words, and what is odd yet allowed. Standard library and numpy only."""

import numpy as np

from EfficientSegLib.bundle import Preprocess
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.stacks import slice_warnings

SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.01, 50.0
# Rounded decimals in a header leave up to 1e-5. Beyond 1e-3 the far corner of half a metre is off by half a millimetre.
UNNOTICED_SKEW, LARGEST_SKEW = 1e-5, 1e-3
FEWEST_SLICES = 3
LONGEST_MM, SHORTEST_MM = 2500.0, 20.0
FAT_HU, NO_AIR_HU = -30.0, -500.0
NARROWEST_CT_HU = 100.0
SAMPLES = 1_000_000
# A derived or exported CT may call itself "OT" (other): its values then decide.
OTHER_MODALITIES = ("MR", "PT", "NM", "US", "XA", "CR", "DX", "MG")


def skew(direction: np.ndarray) -> float:
    """How far the columns of a 3 x 3 matrix are from unit length and right angles; 0 for a rotation or reflection."""
    direction = np.asarray(direction, dtype=float).reshape(3, 3)
    return float(np.abs(direction.T @ direction - np.eye(3)).max())


def check_geometry(spacing_mm: tuple[float, float, float], direction: np.ndarray) -> None:
    """Voxels must have a believable size and axes at right angles (left-handed ones are fine).

    Raises:
        VolumeError: they have not.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    if not (
        np.isfinite(spacing).all() and (spacing >= SMALLEST_SPACING_MM).all() and spacing.max() <= LARGEST_SPACING_MM
    ):
        raise VolumeError(
            f"The voxel size is {_by(spacing)} mm.",
            why=f"Sizes from {SMALLEST_SPACING_MM:g} to {LARGEST_SPACING_MM:g} mm are believable; lengths, volumes and "
            "the model's scale depend on it.",
            mend="Correct the image spacing (in Slicer: Volumes, Volume Information), or export the scan again.",
        )
    found = skew(direction)
    if not found <= LARGEST_SKEW:
        raise VolumeError(
            "The axes of the image are not at right angles, or its direction has no unit length.",
            why=f"Its direction matrix is off by {found:.2g}; {LARGEST_SKEW:g} is allowed. A tilted gantry or a "
            "sheared or scaled transform does this.",
            mend="Resample it onto a straight grid first (in Slicer: Resample Scalar/Vector/DWI Volume, or harden "
            "the acquisition transform of the DICOM import).",
        )


def check_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], direction: np.ndarray) -> None:
    """Refuse a grid that is empty, a single slice, or not in space; memory is judged elsewhere.

    Raises:
        VolumeError: see above.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise VolumeError(
            f"The image has {_by(shape)} voxels.", why="There is nothing in it.", mend="Load or export the scan again."
        )
    check_geometry(spacing_mm, direction)
    if min(shape) < FEWEST_SLICES:
        raise VolumeError(
            f"The image is {_by(shape)} voxels: only {min(shape)} {'slice' if min(shape) == 1 else 'slices'}.",
            why=f"At least {FEWEST_SLICES} are needed: structures are recognised in three dimensions.",
            mend="Choose the whole series; of a DICOM scan give the folder, not one file.",
        )


def check_intensities(array: np.ndarray, modality: str, said: str = "") -> None:
    """Refuse values that no scan of the bundle's modality has.

    Args:
        array: any shape.
        modality: the bundle's, "CT" or "MR".
        said: the image's own, as DICOM names it; "" where unknown.

    Raises:
        VolumeError: no voxel, NaN or infinite values, one value only, or an image that is not CT for a CT bundle.
    """
    if array.size == 0:
        raise VolumeError("The image has no voxels.", why="It is empty.", mend="Load or export the scan again.")
    low, high = float(array.min()), float(array.max())  # both carry NaN on, so they see every voxel
    if not (np.isfinite(low) and np.isfinite(high)):
        raise not_finite(array.size - int(np.count_nonzero(np.isfinite(array))), array.size)
    if low == high:
        raise VolumeError(
            f"Every voxel is {low:g}.", why="There is nothing to see in it.", mend="Choose the scan itself."
        )
    if modality == "CT":
        _check_hounsfield(array, low, high, said)


def not_finite(bad: int, total: int) -> VolumeError:
    """The refusal of an image in which `bad` of `total` voxels hold no number."""
    return VolumeError(
        f"{bad} of {total} voxels are not numbers (NaN) or infinite.",
        why="A calculation on the image left them; the model would spread them over its answer.",
        mend="Replace them, for example by the value of air, or use the original scan.",
    )


def _check_hounsfield(array: np.ndarray, low: float, high: float, said: str) -> None:
    wrong = f"The values go from {low:g} to {high:g}"
    mend = "Choose a CT, or a bundle for this kind of image."
    if said in OTHER_MODALITIES:
        raise VolumeError(f"The image is {said}.", why="The bundle was trained on CT.", mend=mend)
    if low >= 0:
        shifted = high > 1500 and float(np.median(_sample(array))) < 1200
        raise VolumeError(
            f"{wrong}; none is below 0.",
            why="The bundle reads CT in Hounsfield units, where air is about -1000 and fat -100.",
            mend=f"{mend} If it is a CT, its rescale is lost" + (" (try subtracting 1024)." if shifted else "."),
        )
    if high - low < NARROWEST_CT_HU:
        raise VolumeError(
            f"{wrong} only.",
            why="The bundle reads CT in Hounsfield units, where a body spans several hundred.",
            mend=f"{mend} If it is a CT, do not normalise it before.",
        )
    if float(np.quantile(_sample(array), 0.001)) > FAT_HU:
        raise VolumeError(
            f"{wrong}, hardly any below {FAT_HU:g}.",
            why="The bundle reads CT in Hounsfield units, where air is about -1000 and fat -100.",
            mend=f"{mend} If it is a CT, do not clip it before.",
        )


def warnings(
    array: np.ndarray,
    spacing_mm: tuple[float, float, float],
    modality: str,
    rule: Preprocess | None = None,
    patch: tuple[int, int, int] | None = None,
    said: str = "",
    direction: np.ndarray | None = None,
) -> list[str]:
    """What is odd about an image that may be segmented all the same, one sentence each.

    Args:
        array: (..., I, J, K), checked by `check_intensities`.
        spacing_mm: along I, J, K.
        modality: the bundle's.
        rule: the bundle's grid, for the remarks on resolution and field of view.
        patch: voxels of the network's patch on that grid.
        said: the image's modality as DICOM names it; "" where unknown.
        direction: of the axes, 3 x 3; for the remarks of a bundle that reads slices.
    """
    slices = [] if rule is None or not rule.native_slices else slice_warnings(spacing_mm, _straight(direction), rule)
    grid = _grid_warnings(array.shape[-3:], spacing_mm, rule, patch)
    return grid + slices + _value_warnings(array, modality, said)


def _straight(direction: np.ndarray | None) -> np.ndarray:
    return np.eye(3) if direction is None else np.asarray(direction)


def _grid_warnings(
    shape: tuple[int, ...],
    spacing_mm: tuple[float, float, float],
    rule: Preprocess | None,
    patch: tuple[int, int, int] | None,
) -> list[str]:
    found = []
    extent = [count * step for count, step in zip(shape, spacing_mm)]
    if max(extent) > LONGEST_MM:
        found.append(f"The image is {max(extent) / 1000:.1f} m long: check its voxel size, {_by(spacing_mm)} mm.")
    needed = SHORTEST_MM
    if rule is not None:
        if patch is not None:
            needed = max(needed, min(a * b for a, b in zip(patch, rule.spacing_mm)) / 2)
        coarse = 2 * max(rule.spacing_mm)
        if max(spacing_mm) > coarse and not rule.native_slices:
            found.append(
                f"Slices or voxels are {max(spacing_mm):.3g} mm apart and the model was trained at "
                f"{_by(rule.spacing_mm)} mm: small structures and borders will be rough."
            )
    elif max(spacing_mm) > 6:
        found.append(f"Slices or voxels are {max(spacing_mm):.3g} mm apart: small structures will be rough.")
    if min(extent) < needed:
        found.append(
            f"The image covers only {_by(extent)} mm: the model sees little around a structure and may miss it."
        )
    return found


def _value_warnings(array: np.ndarray, modality: str, said: str) -> list[str]:
    values = _sample(array)
    low, high = float(values.min()), float(values.max())
    if modality != "CT":
        if said == "CT" or (not said and -4000 < low < -900 and high > 100):
            return ["The image looks like CT and the bundle was trained on MR: the result may be meaningless."]
        return []
    found = []
    if low > NO_AIR_HU:
        found.append(f"No value is below {low:g}, so there is no air: the image seems cropped or clipped.")
    elif low > -900 and np.mean(values == low) > 0.05:
        found.append(f"Values below {low:g} seem to be cut off.")
    if np.mean(values == high) > 0.005:
        found.append(f"Values above {high:g} seem to be cut off: bone and contrast may look alike.")
    return found


def _sample(array: np.ndarray) -> np.ndarray:
    """At most about a million values, evenly spread."""
    step = max(round((array.size / SAMPLES) ** (1 / 3)), 1)
    return array[(..., *[slice(None, None, step)] * min(array.ndim, 3))]


def _by(values) -> str:
    return " x ".join(f"{float(value):.4g}" for value in values)
