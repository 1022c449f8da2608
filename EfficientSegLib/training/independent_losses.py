"""Losses of volumes whose labels have a sigmoid channel each and may overlap, as pure functions on rows of voxels.

K labels, no background. What is not known takes no part: voxels of value IGNORE, and labels that nobody drew in this
case.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from EfficientSegLib.training.losses import SMALL, rows


@dataclass(frozen=True)
class IndependentLoss:
    """The same loss for every output of one sample: logits (1, K, I, J, K) and target (I, J, K) -> a scalar."""

    annotated: Tensor  # (1 + K,), bool, background first
    members: Tensor  # (numbers, 1 + K), bool; see training.members
    dice_weight: float = 0.8
    ce_weight: float = 0.2
    squared: bool = False

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        flat, numbers = rows(logits, target)
        truth = self.members[:, 1:].to(flat.dtype).index_select(0, numbers)
        return sigmoid_dice_ce(flat, truth, self.annotated[1:], self.dice_weight, self.ce_weight, squared=self.squared)


def sigmoid_dice_ce(
    logits: Tensor,
    truth: Tensor,
    annotated: Tensor | None = None,
    dice_weight: float = 0.8,
    ce_weight: float = 0.2,
    smooth: float = 1.0,
    squared: bool = False,
) -> Tensor:
    """Soft Dice and binary cross-entropy, mean over the annotated labels; a scalar, 0 at best.

    A label that is in no voxel has no Dice (its gradient vanishes where the Dice is squared): its cross-entropy takes
    the Dice's weight too, so that labels are unlearnt where they are not, even with `ce_weight` 0.

    Args:
        logits: (voxels, K).
        truth: (voxels, K), 1 or True where the label is.
        annotated: (K,), True where this volume's annotation is complete for the label; None where it is for all.
        smooth: voxels added to both sides of the Dice's fraction, where it is not squared.
        squared: the Dice's denominator has squares of the probabilities, and nothing is added to its fraction.

    Source: STP + MTA + UNETR on BraTS: squared; its code takes the Dice alone (weights 1 and 0), its paper both (1 and
    1). There an absent label's Dice is a constant 1, from which nothing is learnt.
    """
    if annotated is not None and not bool(annotated.all()):
        logits, truth = logits[:, annotated], truth[:, annotated]
    if logits.numel() == 0:
        return logits.sum() * 0
    truth = truth.to(logits.dtype)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(0)
    p, count = logits.sigmoid(), truth.sum(0)
    overlap = (p * truth).sum(0)
    if squared:
        dice = 2 * overlap / (p.square().sum(0) + count + SMALL)
    else:
        dice = (2 * overlap + smooth) / (p.sum(0) + count + smooth)
    missing = torch.where(count > 0, 1 - dice, cross_entropy)
    return (dice_weight * missing + ce_weight * cross_entropy).mean()
