"""One training sample from a prepared case: framing and shape, then brightness, then what disturbs an image.

Every step draws from the generator it is given, so a sample is a function of case, options and seed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from EfficientSegLib.errors import OptionError
from EfficientSegLib.training.body import drawings
from EfficientSegLib.training.body.prepare import OUTSIDE, PreparedCase
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.samples import Along, Sample
from EfficientSegLib.training.samples.framing import rotation

BASE = -1000.0  # CT value of air; what lies beyond an image


@dataclass(frozen=True)
class Options:
    """How far samples stray from the case; a probability of 0 switches a step off."""

    rotation_deg: tuple[float, float, float] = (6.0, 6.0, 12.0)  # about I, J, K, each way
    scale: tuple[float, float] = (0.85, 1.2)  # of the body
    stretch: float = 0.06  # further scale of each axis, each way
    bend_mm: float = 9.0  # deviation of a smooth random displacement
    bend_knot_mm: float = 75.0  # distance of its knots
    mirror: float = 0.1  # probability of exchanging left and right
    longest_mm: float = 288.0  # of a sample along K; longer ones cost more time
    shortest_mm: float = 72.0
    slab: float = 0.5  # probability of a thin slab
    slab_mm: tuple[float, float] = (20.0, 60.0)
    focus: float = 0.5  # probability that a sample is centred on a label drawn at random, not on a random height
    contrast: float = 0.5  # probability that structures change their brightness
    gain: tuple[float, float] = (0.9, 1.1)  # of all values, about 40
    shift: float = 20.0  # of all values, each way
    thick: float = 0.3  # probability of thick slices
    blur: float = 0.25
    blur_voxels: tuple[float, float] = (0.4, 1.0)
    noise: float = 0.5
    noise_deviation: tuple[float, float] = (5.0, 45.0)
    arms: float = 0.35
    table: float = 0.35

    def __post_init__(self) -> None:
        for name in ("mirror", "slab", "focus", "contrast", "thick", "blur", "noise", "arms", "table"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}.", why="It is a probability.", mend="Use 0 to 1.")


STILL = Options(
    rotation_deg=(0.0, 0.0, 0.0),
    scale=(1.0, 1.0),
    stretch=0.0,
    bend_mm=0.0,
    mirror=0.0,
    shortest_mm=288.0,
    slab=0.0,
    focus=0.0,
    contrast=0.0,
    gain=(1.0, 1.0),
    shift=0.0,
    thick=0.0,
    blur=0.0,
    noise=0.0,
    arms=0.0,
    table=0.0,
)  # a sample that shows the case as it is


@dataclass(frozen=True)
class Grid:
    """What samples are drawn on."""

    spacing_mm: tuple[float, float, float]
    multiple: tuple[int, int, int]  # of voxels per axis
    least: tuple[int, int, int]  # voxels per axis
    most: tuple[int, int, int]
    low: float  # value that becomes to[0]
    high: float
    to: tuple[float, float]
    pairs: Tensor  # (L,), channel of each channel's mirror image


def draw_sample(prepared: PreparedCase, options: Options, grid: Grid, generator: np.random.Generator) -> Sample:
    """A new sample; see the head of this file."""
    hu, source, along, mirrored = _framed(prepared, options, grid, generator)
    if generator.random() < options.contrast:
        hu = _recoloured(hu, source, prepared, generator)
    if prepared.case.role != "limb":
        source = torch.where(source < 0, float(OUTSIDE), source)  # the body is whole: beyond the image is air
    outside = source == OUTSIDE
    if prepared.case.role == "torso" and generator.random() < options.arms:
        hu = drawings.with_arms(hu, outside, grid.spacing_mm, generator)
    if generator.random() < options.table:
        hu = drawings.with_table(hu, outside, grid.spacing_mm, generator)
    hu = _disturbed(hu, options, grid, generator)
    target = prepared.values[source.clamp(min=0).long()].to(torch.uint8)
    target[source < 0] = IGNORE
    start, stop = along.shown
    hu[..., :start], hu[..., stop:] = BASE, BASE
    target[..., :start], target[..., stop:] = IGNORE, IGNORE
    annotated = prepared.annotated
    if mirrored:
        lookup = torch.arange(256, dtype=torch.uint8)
        lookup[: len(grid.pairs)] = grid.pairs.to(torch.uint8)
        target = lookup[target.long()]
        annotated = annotated[grid.pairs]
    image = (hu.clamp(grid.low, grid.high) - grid.low) / (grid.high - grid.low)
    image = (image * (grid.to[1] - grid.to[0]) + grid.to[0])[None]
    return Sample(image, target, annotated, prepared.name, along)


def _framed(prepared: PreparedCase, options: Options, grid: Grid, generator: np.random.Generator):
    """Cut, turn, scale and bend; returns values, source labels (-1 beyond the image), place along K, mirrored."""
    shape = prepared.hu.shape
    scale = generator.uniform(*options.scale) * (1 + generator.uniform(-options.stretch, options.stretch, 3))
    extent = [length * factor for length, factor in zip(shape, scale)]
    is_slab = generator.random() < options.slab
    low, high = options.slab_mm if is_slab else (options.shortest_mm, options.longest_mm)
    count = min(round(generator.uniform(low, high) / grid.spacing_mm[2]), int(extent[2]), grid.most[2])
    size = [_rounded(extent[0], 0, grid), _rounded(extent[1], 1, grid), _rounded(count, 2, grid)]
    start = int(generator.integers(0, size[2] - count + 1))
    middle = count / 2 / scale[2]
    height = generator.uniform(middle, max(shape[2] - middle, middle))
    if generator.random() < options.focus:
        height = min(max(_height_of_a_label(prepared, generator), middle), max(shape[2] - middle, middle))
    centre = np.array([shape[0] / 2, shape[1] / 2, height])
    spare = [max(size[axis] - extent[axis], 8) / 2 for axis in (0, 1)]
    target_centre = np.array(
        [
            size[0] / 2 + generator.uniform(-spare[0], spare[0]),
            size[1] / 2 + generator.uniform(-spare[1], spare[1]),
            start + count / 2,
        ]
    )
    mirrored = generator.random() < options.mirror
    matrix = rotation(np.deg2rad(options.rotation_deg), generator) @ np.diag(1 / scale)
    if mirrored:
        matrix = np.diag([-1.0, 1, 1]) @ matrix
    coordinates = _coordinates(size, matrix, target_centre, centre)
    coordinates += _bend(size, options, grid, generator)
    normalised = (2 * coordinates + 1) / torch.tensor(shape, dtype=torch.float32)[:, None, None, None] - 1
    lookup = normalised.flip(0).permute(1, 2, 3, 0)[None]
    hu = functional.grid_sample((prepared.hu - BASE)[None, None], lookup, "bilinear", "zeros", align_corners=False)
    source = functional.grid_sample((prepared.source + 1)[None, None], lookup, "nearest", "zeros", align_corners=False)
    first = height - 0.5 - (start + count / 2 - 0.5) / scale[2]
    along = Along(float(first), shape[2], (start, start + count), float(1 / scale[2]))
    return hu[0, 0] + BASE, source[0, 0] - 1, along, mirrored


def _height_of_a_label(prepared: PreparedCase, generator: np.random.Generator) -> float:
    """Index along K of a random voxel of a random label: small organs are met as often as large ones."""
    heights = prepared.heights[int(generator.integers(len(prepared.heights)))]
    return float(heights[int(generator.integers(len(heights)))])


def _rounded(length: float, axis: int, grid: Grid) -> int:
    multiple = grid.multiple[axis]
    return int(min(max(-(-int(length) // multiple) * multiple, grid.least[axis]), grid.most[axis]))


def _coordinates(size: list[int], matrix: np.ndarray, here: np.ndarray, there: np.ndarray) -> Tensor:
    """Index in the case for every voxel of the sample, (3, I, J, K): `here` (edges at 0) goes to `there`."""
    axes = [torch.arange(n, dtype=torch.float32) + 0.5 - float(c) for n, c in zip(size, here)]
    m = torch.as_tensor(matrix, dtype=torch.float32)
    result = torch.empty(3, *size)
    for row in range(3):
        i, j, k = (m[row, column] * axes[column] for column in range(3))
        result[row] = i[:, None, None] + j[:, None] + k + float(there[row]) - 0.5
    return result


def _bend(size: list[int], options: Options, grid: Grid, generator: np.random.Generator) -> Tensor:
    """Smooth displacement in voxels, (3, I, J, K)."""
    knots = [max(round(n * s / options.bend_knot_mm), 1) + 2 for n, s in zip(size, grid.spacing_mm)]
    field = generator.normal(0, options.bend_mm, (3, *knots)) / np.asarray(grid.spacing_mm)[:, None, None, None]
    field = torch.as_tensor(field, dtype=torch.float32)
    return functional.interpolate(field[None], size=size, mode="trilinear", align_corners=True)[0]


def _recoloured(hu: Tensor, source: Tensor, prepared: PreparedCase, generator: np.random.Generator) -> Tensor:
    """Structures get brighter or darker, and more or less grainy, each group by its own draw."""
    offset = torch.zeros(len(prepared.values) + 1)
    for group in prepared.case.contrast:
        change = generator.uniform(*group.offset)
        for label in group.labels:
            offset[label] = change + generator.uniform(-0.1, 0.1) * abs(change)
    change = offset[source.clamp(min=0).long()]
    return hu + functional.avg_pool3d(change[None, None], 3, 1, 1, count_include_pad=False)[0, 0]


def _disturbed(hu: Tensor, options: Options, grid: Grid, generator: np.random.Generator) -> Tensor:
    gain, shift = generator.uniform(*options.gain), generator.uniform(-options.shift, options.shift)
    hu = torch.where(hu > -700, (hu - 40) * gain + 40 + shift, hu)
    if generator.random() < options.thick:
        hu = _thick(hu, int(generator.integers(2, 4)))
    if generator.random() < options.blur:
        hu = _blurred(hu, generator.uniform(*options.blur_voxels))
    if generator.random() < options.noise:
        noise = torch.randn(hu.shape, generator=_torch_generator(generator))
        if generator.random() < 0.5:
            noise = _blurred(noise, 0.7) * 2.5
        hu = hu + noise * float(generator.uniform(*options.noise_deviation))
    return hu


def _thick(hu: Tensor, slices: int) -> Tensor:
    count = hu.shape[2] // slices
    averaged = functional.adaptive_avg_pool3d(hu[None, None], (*hu.shape[:2], max(count, 1)))
    return functional.interpolate(averaged, size=tuple(hu.shape), mode="trilinear", align_corners=False)[0, 0]


def _blurred(volume: Tensor, sigma: float) -> Tensor:
    reach = max(int(2.5 * sigma + 0.5), 1)
    weights = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights = weights / weights.sum()
    for axis in range(3):
        length = volume.shape[axis]
        index = torch.arange(length)
        total = torch.zeros_like(volume)
        for step, weight in zip(range(-reach, reach + 1), weights.tolist()):
            total += weight * volume.index_select(axis, (index + step).clamp(0, length - 1))
        volume = total
    return volume


def _torch_generator(generator: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(generator.integers(2**62)))
