"""From the scanner's grid to the bundle's, and back: `Prepared` carries what was done.

The volume is turned to the bundle's orientation by exchanging and flipping axes (never by interpolation), resampled
along these axes to the bundle's spacing, cropped, and its values are normalised. A bundle that reads slices may keep
those of the scan along the last axis.
"""

from dataclasses import dataclass

import numpy as np
import torch

from EfficientSegLib.bundle import Intensity, Preprocess
from EfficientSegLib.geometry import Index, PatchBox, whole
from EfficientSegLib.orientation import axis_order
from EfficientSegLib.resampling import shrink
from EfficientSegLib.torso import torso_box
from EfficientSegLib.volume import Volume


@dataclass(frozen=True)
class Prepared:
    """A volume as the network wants it, and the way back."""

    array: np.ndarray  # (C, i, j, k), float32
    spacing_mm: tuple[float, float, float]  # of the array; the rule's, up to rounding to whole voxels
    source_shape: Index  # (I, J, K) of the input
    axes: Index  # source axis that became each axis
    flips: tuple[bool, bool, bool]  # per axis of the array
    grid: Index  # voxels before cropping
    crop: PatchBox  # of that grid

    @property
    def oriented_shape(self) -> Index:
        """Voxels of the input in the order of the array's axes."""
        return tuple(self.source_shape[axis] for axis in self.axes)


def prepare(volume: Volume, rule: Preprocess) -> Prepared:
    """Orient, resample, crop and normalise; see the head of this file."""
    axes, flips = axis_order(np.asarray(volume.direction, dtype=float).reshape(3, 3), rule.orientation)
    spacing = [volume.spacing_mm[axis] for axis in axes]
    oriented = orient(volume.array, axes, flips)
    wanted = (*rule.spacing_mm[:2], spacing[2] if rule.native_slices else rule.spacing_mm[2])
    grid = tuple(max(round(length * step / wish), 1) for length, step, wish in zip(oriented.shape[1:], spacing, wanted))
    found = tuple(length * step / cells for length, step, cells in zip(oriented.shape[1:], spacing, grid))
    crop = whole(grid)
    if rule.native_slices and rule.crop.kind == "none" and rule.intensity.kind == "window":
        array = _slice_by_slice(oriented, grid, rule.intensity)
        return Prepared(array, found, volume.array.shape[1:], axes, flips, grid, crop)
    resampled = _resample(oriented, grid)
    if rule.crop.kind == "torso":
        vertical = next(axis for axis, letter in enumerate(rule.orientation) if letter in "SI")
        crop = torso_box(resampled[0], found, rule.crop.erode_mm, rule.crop.margin_mm, vertical)
    array = normalise(resampled[(slice(None), *crop.slices())], rule.intensity)
    return Prepared(array, found, volume.array.shape[1:], axes, flips, grid, crop)


def orient(array: np.ndarray, axes: Index, flips: tuple[bool, bool, bool]) -> np.ndarray:
    """View of (C, I, J, K) with its axes exchanged, then flipped."""
    turned = array.transpose(0, *(axis + 1 for axis in axes))
    return turned[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in flips))]


def orient_back(array: np.ndarray, axes: Index, flips: tuple[bool, bool, bool]) -> np.ndarray:
    """The inverse of `orient` for (I, J, K), as a view."""
    array = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return array.transpose(*(axes.index(axis) for axis in range(3)))


def _slice_by_slice(oriented: np.ndarray, grid: Index, rule: Intensity) -> np.ndarray:
    """Resample and normalise where neither needs to see other slices: the only copy of the scan is the result.

    Its slices lie one behind the other in memory, as they will be read.
    """
    result = np.empty((oriented.shape[0], grid[2], *grid[:2]), dtype=np.float32).transpose(0, 2, 3, 1)
    for index in range(grid[2]):
        plane = np.ascontiguousarray(oriented[..., index : index + 1], dtype=np.float32)
        seen = shrink(torch.from_numpy(plane), (*grid[:2], 1)).numpy()
        result[..., index : index + 1] = normalise(seen, rule)
    return result


def _resample(oriented: np.ndarray, grid: Index) -> np.ndarray:
    """Slab by slab along the last axis, so that the float copy of the input stays small."""
    depth, cells = oriented.shape[3], grid[2]
    if depth <= cells or depth < 64:
        return shrink(torch.from_numpy(np.ascontiguousarray(oriented, dtype=np.float32)), grid).numpy()
    result = np.empty((oriented.shape[0], *grid), dtype=np.float32)
    for cell in range(cells):
        # Adaptive average pooling of the whole axis would read exactly these slices for this cell.
        start, stop = cell * depth // cells, -(-(cell + 1) * depth // cells)
        slab = np.ascontiguousarray(oriented[..., start:stop]).astype(np.float32).mean(-1, keepdims=True)
        result[..., cell] = shrink(torch.from_numpy(slab), (*grid[:2], 1)).numpy()[..., 0]
    return result


def normalise(array: np.ndarray, rule: Intensity) -> np.ndarray:
    """Image values to network values, float32; see `bundle.Intensity`."""
    if rule.kind == "window":
        scale = (rule.to[1] - rule.to[0]) / (rule.high - rule.low)
        values = ((np.clip(array, rule.low, rule.high) - rule.low) * scale + rule.to[0]).astype(np.float32)
    else:
        low, high = np.percentile(array, (rule.low, rule.high))
        clipped = np.clip(array, low, high)
        values = ((clipped - clipped.mean()) / max(float(clipped.std()), 1e-8)).astype(np.float32)
    return values if rule.standardise is None else _standardise(values, *rule.standardise)


def _standardise(values: np.ndarray, mean: float, deviation: float, largest: float) -> np.ndarray:
    """What albumentations' Normalize does to float32 values, rounded where it rounds, in place.

    It multiplies by a reciprocal that was rounded to float32; a division would differ in the last bit.
    """
    values -= np.float32(mean) * np.float32(largest)
    values *= np.reciprocal(np.float32(deviation) * np.float32(largest))
    return values


def to_source(box: PatchBox, prepared: Prepared) -> PatchBox:
    """The box of the input volume that holds a box of the prepared array, cut at the volume's border."""
    factor = tuple(length / cells for length, cells in zip(prepared.oriented_shape, prepared.grid))
    oriented = box.shifted(prepared.crop.start).scaled(factor)
    start = tuple(min(max(a, 0), length - 1) for a, length in zip(oriented.start, prepared.oriented_shape))
    stop = tuple(max(min(b, length), 1) for b, length in zip(oriented.stop, prepared.oriented_shape))
    return from_oriented(PatchBox(start, stop), prepared)


def from_oriented(box: PatchBox, prepared: Prepared) -> PatchBox:
    """The inverse of `to_oriented`."""
    start, stop = [0, 0, 0], [0, 0, 0]
    for axis, flip, length, a, b in zip(prepared.axes, prepared.flips, prepared.oriented_shape, box.start, box.stop):
        start[axis], stop[axis] = (length - b, length - a) if flip else (a, b)
    return PatchBox(tuple(start), tuple(stop))


def to_prepared(box: PatchBox, prepared: Prepared) -> PatchBox | None:
    """The box of the prepared array that holds a box of the input volume, as far as it was not cropped away."""
    factor = tuple(cells / length for length, cells in zip(prepared.oriented_shape, prepared.grid))
    inside = to_oriented(box, prepared).scaled(factor).intersection(prepared.crop)
    return inside and inside.shifted(tuple(-a for a in prepared.crop.start))


def to_oriented(box: PatchBox, prepared: Prepared) -> PatchBox:
    """A box of the input volume, in the order of the prepared array's axes, at the input's resolution."""
    start, stop = [], []
    for axis, flip, length in zip(prepared.axes, prepared.flips, prepared.oriented_shape):
        a, b = box.start[axis], box.stop[axis]
        start.append(length - b if flip else a)
        stop.append(length - a if flip else b)
    return PatchBox(tuple(start), tuple(stop))
