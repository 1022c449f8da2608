"""How a sample strays from its case: place and shape in one resampling, then brightness (see there).

The steps and their defaults are NMSW's. All draws come from the generator that is given.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index
from EfficientSegLib.training.samples.brightness import STEPS, BrightnessOptions, check_shares
from EfficientSegLib.training.samples.framing import rotation

PLACES = ("focus", "translation", "affine", "zoom", "distortion", "mirror", "flip_front", "flip_top", "quarter_turn")
PROBABILITIES = (*PLACES, *STEPS)


@dataclass(frozen=True)
class Options(BrightnessOptions):
    """How far samples stray from the case. A probability of 0 switches a step off; values are network values.

    The reference turns and scales in voxels; here it is done in millimetres, so that thick slices are not sheared, and
    the translation is a share of the sample (its 50 voxels of 480), so that it suits volumes of any size.
    """

    focus: float = 0.5  # probability that a part of a large case is centred on a label drawn at random
    translation: float = 1.0  # probability
    translation_share: float = 0.1  # of the sample's length, each way, along every axis
    affine: float = 0.3  # probability of a turn with a change of scale
    rotation_rad: float = 0.52  # about every axis, each way
    scale: tuple[float, float, float] = (0.2, 0.2, 0.3)  # change along I, J, K, each way
    zoom: float = 0.0  # probability of an enlargement, all axes alike; Swin SMT's is 0.3
    zoom_range: tuple[float, float] = (1.3, 1.5)
    distortion: float = 0.3  # probability of stretching the cells of a coarse grid
    distortion_cells: int = 5  # along every axis
    distortion_limit: float = 0.05  # change of a cell's length, each way
    mirror: float = 0.0  # probability of exchanging left and right, and the labels that `mirrored` pairs
    flip_front: float = 0.0  # probability of a flip from front to back; STP + MTA + UNETR's are 0.2 along every axis
    flip_top: float = 0.0  # probability of a flip from top to bottom
    quarter_turn: float = 0.0  # probability of one to three quarter turns about the axis from bottom to top
    memory_share: float = 0.5  # of the free memory; cases beyond it lie in a mapped file, which is slower

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self, (*PROBABILITIES, "translation_share", "memory_share"))
        if not all(0 <= change < 1 for change in (*self.scale, self.distortion_limit)):
            raise OptionError(
                f"scale is {self.scale}, distortion_limit {self.distortion_limit}.",
                why="They are changes each way; 1 would leave nothing.",
                mend="Use 0 to below 1.",
            )
        if not 0 < self.zoom_range[0] <= self.zoom_range[1]:
            raise OptionError(
                f"zoom_range is {self.zoom_range}.", why="It is a range above 0.", mend="Lower end first: 1.3, 1.5."
            )
        if self.rotation_rad < 0 or self.distortion_cells < 1:
            raise OptionError(
                f"rotation_rad is {self.rotation_rad}, distortion_cells {self.distortion_cells}.",
                why="They are a size, and a number of cells.",
                mend="Use 0 or more, and at least one cell.",
            )


def shape_change(
    options: Options, size: Index, spacing_mm: tuple[float, float, float], generator: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray] | None:
    """Where a sample is read from, relative to its centre; None where it is the case's own grid.

    Returns:
        Along each axis the offsets of its voxels, (length,), and the matrix (3, 3) that takes offsets (in voxels of
        the sample) to offsets in the case.
    """
    turns = generator.random() < options.affine
    bends = generator.random() < options.distortion
    zooms = options.zoom > 0 and generator.random() < options.zoom
    if not (turns or bends or zooms):
        return None
    axes = [np.arange(length) - (length - 1) / 2 for length in size]
    if bends:
        axes = [_bent(axis, options, generator) for axis in axes]
    matrix = np.eye(3)
    if turns:
        limit = np.asarray(options.scale)
        scale = 1 + generator.uniform(-limit, limit)
        millimetres, turn = np.diag(spacing_mm), rotation((options.rotation_rad,) * 3, generator)
        matrix = np.linalg.inv(millimetres) @ turn @ millimetres @ np.diag(1 / scale)
    if zooms:
        matrix = matrix / generator.uniform(*options.zoom_range)
    return axes, matrix


def _bent(axis: np.ndarray, options: Options, generator: np.random.Generator) -> np.ndarray:
    """Offsets along an axis whose cells are longer or shorter than they were; ascending."""
    lengths = 1 + generator.uniform(-options.distortion_limit, options.distortion_limit, options.distortion_cells)
    half = len(axis) / 2
    before = np.linspace(-half, half, options.distortion_cells + 1)
    after = np.concatenate(([0.0], np.cumsum(lengths))) * len(axis) / options.distortion_cells
    return np.interp(axis, before, after - after[-1] / 2)


def cut(image: Tensor, target: Tensor, start: Index, size: Index, pad_value: float) -> tuple[Tensor, Tensor, Tensor]:
    """A part of a case as it is.

    Args:
        image: (I, J, K), float32.
        target: (I, J, K), uint8.
        start: of the part, in voxels of the case; it may begin before it and end behind it.

    Returns:
        image, target and where they lie inside the case (bool), all of shape `size`; outside is `pad_value` and 0.
    """
    taken = [slice(max(a, 0), max(min(a + s, n), 0)) for a, s, n in zip(start, size, image.shape)]
    put = [slice(max(-a, 0), max(-a, 0) + max(t.stop - t.start, 0)) for a, t in zip(start, taken)]
    values = torch.full(size, float(pad_value))
    labels = torch.zeros(size, dtype=torch.uint8)
    inside = torch.zeros(size, dtype=torch.bool)
    values[tuple(put)] = image[tuple(taken)]
    labels[tuple(put)] = target[tuple(taken)]
    inside[tuple(put)] = True
    return values, labels, inside


def resample(
    image: Tensor, target: Tensor, centre: np.ndarray, axes: list[np.ndarray], matrix: np.ndarray, pad_value: float
) -> tuple[Tensor, Tensor, Tensor]:
    """A part of a case in another shape: linear for the image, nearest for the target. Returns what `cut` does.

    Args:
        centre: index in the case that the sample's centre shows, (3,).
        axes, matrix: from `shape_change`.
    """
    size = tuple(len(axis) for axis in axes)
    terms = [[matrix[row, column] * axes[column] for column in range(3)] for row in range(3)]
    # Only the part of the case that is looked at is copied; positions are linear in each axis, so ends bound them.
    low = [centre[row] + sum(term.min() for term in terms[row]) for row in range(3)]
    high = [centre[row] + sum(term.max() for term in terms[row]) for row in range(3)]
    first = [min(max(int(np.floor(a)) - 1, 0), n - 1) for a, n in zip(low, image.shape)]
    box = tuple(slice(a, min(max(int(np.ceil(b)) + 2, a + 1), n)) for a, b, n in zip(first, high, image.shape))
    values, labels = image[box], target[box]
    lookup = torch.empty(*size, 3)
    for row in range(3):
        length = values.shape[row]
        scaled = [torch.as_tensor(term * 2 / length, dtype=torch.float32) for term in terms[row]]
        base = (2 * (centre[row] - first[row]) + 1) / length - 1
        torch.add(scaled[0][:, None, None] + scaled[1][:, None], scaled[2] + float(base), out=lookup[..., 2 - row])
    values = (values - pad_value)[None, None]
    found = functional.grid_sample(values, lookup[None], "bilinear", "zeros", align_corners=False)[0, 0]
    shown = functional.grid_sample(
        (labels.float() + 1)[None, None], lookup[None], "nearest", "zeros", align_corners=False
    )
    inside = shown[0, 0] > 0
    return found + pad_value, (shown[0, 0] - 1).clamp(min=0).to(torch.uint8), inside
