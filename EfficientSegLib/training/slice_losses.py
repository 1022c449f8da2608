"""Losses of slices whose labels have a sigmoid channel each, as pure functions; means over what is known.

Shapes: B slices, K labels (no background), H W pixels. `known` tells where the annotation says whether a label is
there; what is not known takes no part in any loss: pixels of value IGNORE, and labels that nobody drew in this case.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from EfficientSegLib.training.losses import IGNORE

SMOOTH = 1e-6


@dataclass(frozen=True)
class Truth:
    """What the annotation of a batch says."""

    target: Tensor  # (B, H, W), long, channel: 0 is background; or IGNORE
    annotated: Tensor  # (B, K), bool
    masks: Tensor  # (B, K, H, W), float32, 1 where the label is
    known: Tensor  # (B, K, H, W), bool

    @classmethod
    def of(cls, target: Tensor, annotated: Tensor) -> "Truth":
        """Args: target (B, H, W), uint8; annotated (B, L), bool, background first."""
        labels = torch.arange(1, annotated.shape[1], device=target.device, dtype=target.dtype)
        masks = (target[:, None] == labels[:, None, None]).float()
        known = (target != IGNORE)[:, None] & annotated[:, 1:, None, None]
        return cls(target.long(), annotated[:, 1:], masks, known)


def soft_dice(found: Tensor, true: Tensor, known: Tensor, squared: bool = False) -> Tensor:
    """1 - Dice of each slice and label, mean over those of which anything is known; a scalar, 0 at best.

    Args:
        found, true: (B, K, H, W), 0 or more.
        known: (B, K, H, W), bool.
        squared: squares in the sums below the fraction's line, so that only equal values give a Dice of 1; for values
            between 0 and 1 that are meant as such. Else the plain sums, for masks.

    Source: SegMate; smooth 1e-6. A label that is not in a slice counts too, as in its code: its Dice is 0 until all
    that is found of it there sums up to less than 1e-6.
    """
    found, true = found * known, true * known
    overlap = (found * true).sum((2, 3))
    total = (found.square() + true.square() if squared else found + true).sum((2, 3))
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return mean_where(1 - dice, known.flatten(2).any(2))


def focal(logits: Tensor, truth: Truth, weights: Tensor, gamma: float = 2.0) -> Tensor:
    """(1 - p)^gamma times the binary cross-entropy, p the probability of the truth; mean over pixels and labels.

    Args:
        weights: of each label, (K,); the mean is over pixels and labels, not over weights.
    """
    cost = functional.binary_cross_entropy_with_logits(logits, truth.masks, reduction="none")
    missing = (torch.sigmoid(logits) - truth.masks).abs()  # 1 - p
    return mean_where(missing**gamma * cost * weights[:, None, None], truth.known)


def cross_entropy(logits: Tensor, truth: Truth, weights: Tensor) -> Tensor:
    """Softmax cross-entropy of labels and background, the latter with a logit of 0; mean weighted by the true label.

    Background weighs 1. Labels that are not annotated are left out of the softmax.

    Why a background of 0: the reference takes the softmax over the labels alone, so that background pixels are taught
    to be its first label, against all other terms. The strategy `slices` makes labels by the largest logit among the
    labels and a background of 0; this term trains just that decision. Weighted binary cross-entropy, the other way out,
    would repeat the focal term and leave overlaps of two labels unopposed.
    """
    logits = logits.masked_fill(~truth.annotated[:, :, None, None], -torch.inf)
    target = torch.where(_own(truth), truth.target, IGNORE)
    if not bool((target != IGNORE).any()):
        return _nothing(logits)
    with_background = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
    return functional.cross_entropy(
        with_background, target, torch.cat([weights.new_ones(1), weights]), ignore_index=IGNORE
    )


def _own(truth: Truth) -> Tensor:
    """Pixels of background and of annotated labels, (B, H, W)."""
    drawn = torch.cat([torch.ones_like(truth.annotated[:, :1]), truth.annotated], dim=1)
    channel = torch.where(truth.target == IGNORE, 0, truth.target)
    own = drawn.gather(1, channel.flatten(1)).view_as(channel)
    return own & (truth.target != IGNORE)


def boundary(logits: Tensor, truth: Truth) -> Tensor:
    """1 - Dice between the Sobel magnitudes of the boundary head's probabilities and of the masks.

    A pixel counts where the annotation is known all around it.

    Source: SegMate's code; its paper compares the head itself with the edges. The squared form of the Dice, since
    magnitudes are no masks: with plain sums two equal soft edges would cost something.
    """
    unknown = functional.max_pool2d((~truth.known).float(), 3, 1, 1) > 0
    return soft_dice(sobel(torch.sigmoid(logits)), sobel(truth.masks), ~unknown, squared=True)


def sobel(images: Tensor) -> Tensor:
    """Magnitude of the gradient of (B, K, H, W), 1 for a step from 0 to 1 along an axis; the rim is no edge."""
    x = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    # Kernels of one channel are ten times as slow backwards on CPUs as these differences.
    # Divided by 4, a step from 0 to 1 along an axis has magnitude 1.
    across, along = x[..., 2:] - x[..., :-2], x[:, :, 2:] - x[:, :, :-2]
    gradients = _smoothed(across, 2) / 4, _smoothed(along, 3) / 4
    # The root has no finite slope at 0; 1e-8 below it moves no magnitude by more than 1e-4.
    return (gradients[0].square() + gradients[1].square() + 1e-8).sqrt()


def _smoothed(x: Tensor, axis: int) -> Tensor:
    """Sobel's weights 1, 2, 1 along an axis, which becomes two shorter."""
    inner = x.shape[axis] - 2
    return x.narrow(axis, 0, inner) + 2 * x.narrow(axis, 1, inner) + x.narrow(axis, 2, inner)


def presence(logits: Tensor, truth: Truth) -> Tensor:
    """Binary cross-entropy of whether a label is in the slice at all, (B, K) logits.

    Where pixels are ignored, only a label that is seen is known.
    """
    seen = (truth.masks * truth.known).flatten(2).any(2)
    cost = functional.binary_cross_entropy_with_logits(logits, seen.float(), reduction="none")
    return mean_where(cost, seen | truth.known.flatten(2).all(2))


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the values that count; 0 where none does."""
    return (values * counted).sum() / counted.sum().clamp(min=1)


def _nothing(logits: Tensor) -> Tensor:
    return logits.nan_to_num(neginf=0.0).sum() * 0
