"""Smooth random fields and the grain of a CT."""

import numpy as np


def _spline_weights(positions: np.ndarray, knot_mm: float, low_mm: float, knots: int) -> np.ndarray:
    """Uniform cubic B-spline weights of every position, (positions, knots), float32."""
    at = (positions - low_mm) / knot_mm + 1  # one knot of margin below
    first = np.floor(at).astype(int)
    t = at - first
    weights = np.zeros((len(positions), knots), np.float32)
    rows = np.arange(len(positions))
    for offset, weight in enumerate(
        ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    ):
        weights[rows, first - 1 + offset] = weight
    return weights


def smooth_field(axes: tuple[np.ndarray, ...], knot_mm: float, generator: np.random.Generator) -> np.ndarray:
    """A field of mean 0 and variance near 1 that changes over `knot_mm`, (I, J, K) float32.

    Cubic B-spline with normal coefficients: the same generator draws the same field at any resolution.

    Args:
        axes: voxel centres along each axis in mm, evenly spaced around the middle of a field of view.
        knot_mm: distance of the spline's knots.
    """
    lengths = [len(axis) * (axis[1] - axis[0]) for axis in axes]
    lows = [axis[0] - (axis[1] - axis[0]) / 2 for axis in axes]
    counts = [int(np.ceil(round(length / knot_mm, 6))) + 4 for length in lengths]
    field = generator.standard_normal(counts).astype(np.float32)
    for axis, low, count in zip(axes, lows, counts):
        weights = _spline_weights(axis, knot_mm, low, count)
        field = np.tensordot(field, weights, axes=(0, 1))  # the axis done goes to the end: in order again after three
    field *= 0.479**-1.5  # mean of the squared weights of one axis, integrated over a knot interval
    return field


def blur(volume: np.ndarray, sigma_voxels: tuple[float, float, float]) -> np.ndarray:
    """Binomial blur of three taps per axis, repeated where the sigma asks for it; borders repeat."""
    for axis, sigma in enumerate(sigma_voxels):
        passes = int(np.ceil(sigma**2 / 0.5))
        for _ in range(passes):
            volume = _three_taps(volume, axis, np.float32(sigma**2 / 2 / passes))
    return volume


def _three_taps(volume: np.ndarray, axis: int, side: np.float32) -> np.ndarray:
    result = volume * (1 - 2 * side)
    new, old = np.moveaxis(result, axis, 0), np.moveaxis(volume * side, axis, 0)
    new[1:] += old[:-1]
    new[:-1] += old[1:]
    new[0] += old[0]
    new[-1] += old[-1]
    return result


def grain(shape: tuple[int, int, int], generator: np.random.Generator) -> np.ndarray:
    """CT noise of mean 0 and standard deviation 1, (I, J, K) float32.

    White noise through a soft kernel, with the slow part taken away: reconstruction's ramp filter leaves little noise
    at low frequencies. More alike within a slice than across slices.
    """
    white = generator.standard_normal(shape, np.float32)
    noise = blur(white, (0.7, 0.7, 0.4))
    noise -= blur(noise, (1.4, 1.4, 0.0))
    noise /= noise.std()
    return noise
