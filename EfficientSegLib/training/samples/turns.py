"""Flips and quarter turns of a whole sample: voxels change places, no value changes.

They come after all other changes, and the turn last of all: a mirror must still find left and right on its axis.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib.geometry import Index
from EfficientSegLib.training.samples import Along, Sample
from EfficientSegLib.training.samples.transforms import Options


@dataclass(frozen=True)
class Axes:
    """Which of I, J, K runs from left to right, from back to front, and from bottom to top."""

    sideways: int
    front: int
    top: int

    @classmethod
    def of(cls, orientation: str) -> "Axes":
        """For three letters such as RAS."""
        pairs = ("RL", "AP", "SI")
        return cls(*(next(axis for axis, letter in enumerate(orientation) if letter in pair) for pair in pairs))

    @property
    def level(self) -> tuple[int, int]:
        """The two that a turn about the vertical exchanges, ascending."""
        return (min(self.sideways, self.front), max(self.sideways, self.front))


def draw_quarters(options: Options, generator: np.random.Generator) -> int:
    """Quarter turns about the vertical, 0 to 3."""
    if options.quarter_turn and generator.random() < options.quarter_turn:
        return int(generator.integers(1, 4))
    return 0


def before_turn(size: Index, quarters: int, axes: Axes) -> Index:
    """Voxels of what has `size` after so many quarter turns."""
    if quarters % 2 == 0:
        return size
    swapped, (one, other) = list(size), axes.level
    swapped[one], swapped[other] = size[other], size[one]
    return tuple(swapped)


def turned(
    sample: Sample, options: Options, axes: Axes, pairs: Tensor, quarters: int, generator: np.random.Generator
) -> Sample:
    """The sample mirrored and flipped as often as the options have it, then turned.

    Args:
        pairs: (L,), channel of each channel's mirror image.
        quarters: from `draw_quarters`.
    """
    if generator.random() < options.mirror:
        sample = mirrored(sample, axes.sideways, pairs)
    for probability, axis in ((options.flip_front, axes.front), (options.flip_top, axes.top)):
        if probability and generator.random() < probability:
            sample = flipped(sample, axis)
    if not quarters:
        return sample
    one, other = axes.level
    image = sample.image.rot90(quarters, (one + 1, other + 1)).contiguous()
    return dataclasses.replace(sample, image=image, target=sample.target.rot90(quarters, (one, other)).contiguous())


def mirrored(sample: Sample, axis: int, pairs: Tensor) -> Sample:
    """Flipped from left to right; labels that are each other's mirror image change places."""
    sample = flipped(sample, axis)
    if sample.members is not None:
        return dataclasses.replace(sample, members=sample.members[:, pairs], annotated=sample.annotated[pairs])
    lookup = torch.arange(256, dtype=torch.uint8)
    lookup[: len(pairs)] = pairs.to(torch.uint8)
    return dataclasses.replace(sample, target=lookup[sample.target.long()], annotated=sample.annotated[pairs])


def flipped(sample: Sample, axis: int) -> Sample:
    """The other way round along I, J or K (0, 1 or 2); every label stays what it is."""
    image, target = sample.image.flip(axis + 1), sample.target.flip(axis)
    along = sample.along
    if axis == 2 and along is not None:
        count, (start, stop) = target.shape[2], along.shown
        along = Along(along.index(count - 1), along.length, (count - stop, count - start), -along.step)
    return dataclasses.replace(sample, image=image, target=target, along=along)
