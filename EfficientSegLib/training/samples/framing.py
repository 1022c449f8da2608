"""What every source of samples needs: how large samples may be, what a mirror exchanges, and a turn at random."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.geometry import Index
from EfficientSegLib.training.config import TrainConfig


def sample_sizes(config: TrainConfig, patch: Index, multiple: Index) -> tuple[Index, Index]:
    """Voxels per axis that a sample has at least and at most.

    Args:
        patch: voxels that every sample must have.
        multiple: voxels per axis are multiples of this.

    Raises:
        TrainingError: no size fits.
    """
    least = tuple(-(-max(a, b) // m) * m for a, b, m in zip(patch, config.smallest, multiple))
    most = tuple(length // m * m for length, m in zip(config.largest, multiple))
    if any(a > b for a, b in zip(least, most)):
        raise TrainingError(
            f"largest is {config.largest}.",
            why=f"A patch, and multiples of {multiple} that the network takes, need {least}.",
            mend="Raise largest, or choose a smaller patch.",
        )
    return least, most


def mirror_pairs(config: TrainConfig) -> Tensor:
    """Channel of each channel's mirror image, (L,).

    Raises:
        TrainingError: a pair names a label that the bundle does not have.
    """
    pairs = torch.arange(len(config.channels) + 1)
    for one, other in config.mirrored:
        if one not in config.channels or other not in config.channels:
            raise TrainingError(
                f"mirrored pairs {one} with {other}.",
                why=f"The bundle's labels are {sorted(config.channels)}.",
                mend="Name label values of the bundle.",
            )
        a, b = config.channels[one], config.channels[other]
        pairs[a], pairs[b] = b, a
    return pairs


def sides_alone(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that tell a side, left or right."""
    return tuple(name for name in names if re.search(r"\b(left|right)\b", name.lower().replace("_", " ")))


def sides_left_alone(config: TrainConfig) -> tuple[str, ...]:
    """Names of labels that tell a side and that no pair of `mirrored` exchanges."""
    paired = {value for pair in config.mirrored for value in pair}
    return sides_alone(label.name for label in config.template.labels if label.value not in paired)


def rotation(limits_rad: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    """A turn about I, then J, then K, each by an angle up to its limit either way, (3, 3)."""
    matrix = np.eye(3)
    for axis, limit in enumerate(limits_rad):
        angle = generator.uniform(-limit, limit)
        turn = np.eye(3)
        first, second = [other for other in range(3) if other != axis]
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix
