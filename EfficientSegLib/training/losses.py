"""Losses as pure functions on logits and labels.

Volumes that are annotated in part are the normal case. Two things are kept apart: an *ignored* voxel (value `IGNORE`)
says nothing, and a voxel of value 0 in a volume where only some labels are annotated says "none of the annotated ones":
it is background or one of the labels nobody drew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORE = 255
SMALL = 1e-6  # voxels, so that nothing is divided by zero


@dataclass(frozen=True)
class SampleLoss:
    """The same loss for every output of one sample: logits (1, L, I, J, K) and target (I, J, K) -> a scalar."""

    annotated: Tensor  # (L,), bool
    dice_weight: float = 0.8
    ce_weight: float = 0.2
    squared: bool = False

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.together([logits], [target])

    def together(self, logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """The loss of several boxes as if they were one: one Dice per label over all their voxels."""
        parts = [rows(*part) for part in zip(logits, targets, strict=True)]
        flat, labels = parts[0] if len(parts) == 1 else (torch.cat(part) for part in zip(*parts))
        return dice_ce(flat, labels, self.annotated, self.dice_weight, self.ce_weight, squared=self.squared)


def rows(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (1, L, I, J, K) and target (I, J, K) as (voxels, L) float32 and (voxels,), ignored voxels left out.

    In the channels-last layout the first step is a view; losses on rows are several times faster on CPUs.
    """
    flat = logits.permute(0, 2, 3, 4, 1).reshape(-1, logits.shape[1])
    target = target.reshape(-1).long()
    valid = target != IGNORE
    if not bool(valid.all()):
        kept = valid.nonzero()[:, 0]
        flat, target = flat[kept], target[kept]
    return flat.float(), target


def dice_ce(
    logits: Tensor,
    target: Tensor,
    annotated: Tensor | None = None,
    dice_weight: float = 0.8,
    ce_weight: float = 0.2,
    smooth: float = 1.0,
    squared: bool = False,
) -> Tensor:
    """Soft Dice over the labels that are there, and cross-entropy; a scalar, 0 at best.

    Labels absent from the target take no part in the Dice (its gradient vanishes for them), only in the
    cross-entropy; where no label is there, the cross-entropy takes the Dice's weight too, or negatives would teach
    little.

    Args:
        logits: (voxels, L), background first.
        target: (voxels,), integers in [0, L).
        annotated: (L,), True where this volume's annotation is complete for the label; None where it is for all.
        smooth: voxels added to both sides of the Dice's fraction, where it is not squared.
        squared: the Dice's denominator has squares of the probabilities, nothing is added to its fraction, and
            background is one of its labels.

    Source: NMSW, section 4 (weights 0.8 and 0.2); squared: STP + MTA + UNETR (weights 1 and 1), but that absent labels
    count in its mean, as a constant 1; the partly annotated voxels follow the marginal loss of Shi et al.
    (Medical Image Analysis 2021).
    """
    if target.numel() == 0:
        return logits.sum() * 0
    log_p = _log_softmax(logits)
    own = log_p.gather(1, target[:, None])[:, 0]
    if annotated is not None and not bool(annotated[1:].all()):
        undrawn = ~annotated
        undrawn[0] = True
        either = torch.logsumexp(log_p[:, undrawn], dim=1)
        cross_entropy = -torch.where(target == 0, either, own).mean()
    else:
        cross_entropy = -own.mean()
    count = torch.bincount(target, minlength=logits.shape[1]).to(log_p.dtype)
    scored = count > 0
    scored[0] &= squared
    if annotated is not None:
        scored &= annotated
    if not bool(scored.any()):
        return (dice_weight + ce_weight) * cross_entropy
    overlap = torch.zeros_like(count).index_add(0, target, own.exp())
    if squared:
        dice = 2 * overlap / (log_p.mul(2).exp().sum(0) + count + SMALL)
    else:
        dice = (2 * overlap + smooth) / (log_p.exp().sum(0) + count + smooth)
    return dice_weight * (1 - dice[scored].mean()) + ce_weight * cross_entropy


def _log_softmax(logits: Tensor) -> Tensor:
    """Over the labels, (voxels, L). On CPUs it is ten times slower along short rows than across columns as long."""
    if logits.device.type == "cpu":
        return torch.log_softmax(logits.t().contiguous(), dim=0).t()
    return torch.log_softmax(logits, dim=1)


def selection_entropy(scores: Tensor) -> Tensor:
    """Entropy of the patch choice, in nats: log N when all N patches are equally likely, 0 when one is certain.

    Source: NMSW, equation 7; it is *subtracted* from the loss, so that the choice keeps exploring.
    """
    log_p = torch.log_softmax(scores, dim=0)
    return -(log_p.exp() * log_p).sum()


def missed_errors(scores: Tensor, errors: Tensor) -> Tensor:
    """Cross-entropy of the choice against where the errors are, in nats; 0 where there are none.

    Sampled patches alone teach the scores slowly: a patch that was not drawn says nothing for itself. Where the coarse
    pass is wrong is known in training for all candidates at once, and is what a patch is worth reading for.

    Args:
        scores: log-weights of the candidates, (N,), background not masked: what the coarse pass missed counts.
        errors: how much is wrong in each, (N,), not negative.

    Source: own; the paper has no such term.
    """
    if not bool(errors.any()):
        return scores.sum() * 0
    return -(errors / errors.sum() * torch.log_softmax(scores, dim=0)).sum()
