"""Labels that may overlap, in a target that has one whole number for each voxel.

Where labels exclude each other the number is the channel. Where they may overlap, a table `members` beside the target
says which channels each number stands for, (numbers, L), bool: 0 stands for background, 1 to K for one label each, as
without a table, and one more number for every further set of labels that a case's map names. So whatever cuts, turns,
flips or resamples targets need not know of it.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.training.losses import IGNORE


def label_sets(named: Iterable[tuple[int, ...]], num_labels: int) -> list[tuple[int, ...]]:
    """The channels that each number of a target stands for, in order of the numbers.

    Args:
        named: sets of channels, each ascending; () is background.
        num_labels: background included.

    Raises:
        TrainingError: there are more than a byte can tell apart.
    """
    plain = [(), *((channel,) for channel in range(1, num_labels))]
    sets = plain + sorted(set(named) - set(plain))
    if len(sets) > IGNORE:
        raise TrainingError(
            f"The labels of a case overlap in {len(sets) - num_labels} ways, beside {num_labels - 1} labels.",
            why=f"Targets are kept in a byte, where {IGNORE} means ignored.",
            mend=f"Name at most {IGNORE - num_labels} sets of several labels in its map.",
        )
    return sets


def table(sets: Iterable[tuple[int, ...]], num_labels: int) -> Tensor:
    """`members` for these sets of channels, (numbers, L), bool; background is where no label is."""
    sets = list(sets)
    members = torch.zeros(len(sets), num_labels, dtype=torch.bool)
    for number, channels in enumerate(sets):
        members[number, list(channels) or [0]] = True
    return members


def present_labels(target: Tensor, members: Tensor | None = None) -> Tensor:
    """The labels that are in a target, uint8: channels, ascending, without background and ignored voxels.

    Args:
        target: of any shape.
        members: None: labels exclude each other.
    """
    counts = torch.bincount(target.flatten(), minlength=IGNORE + 1)  # a tenth of the time of torch.unique, which sorts
    counts[0] = counts[IGNORE] = 0
    numbers = counts.nonzero()[:, 0]
    return numbers if members is None else members[numbers].any(0).nonzero()[:, 0]


def has_label(target: Tensor, channel: int, members: Tensor | None = None) -> Tensor:
    """Where a label is in a target, bool, in its shape."""
    if members is None:
        return target == channel
    found = torch.zeros_like(target, dtype=torch.bool)
    for number in members[:, channel].nonzero()[:, 0].tolist():  # few; a hundredth of the time of torch.isin
        found |= target == number
    return found
