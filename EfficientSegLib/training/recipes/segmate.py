"""All heads of SegMate trained together: masks, contours, presence, deep supervision. Serves every `SliceModel`.

Source: SegMate (paper and code of February 2026), its loss 2.0 (0.5 Dice + 0.5 focal) + 1.0 cross-entropy + 0.1
boundary + 0.2 presence + 0.2 deep supervision, with two corrections: see `slice_losses.cross_entropy` for background
pixels; left and right labels change places in mirrored images (samples/slices.py). A head that the network has not
gives no term. Beyond the paper, a new network begins with few labels, see `begin`.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks.heads import Heads
from EfficientSegLib.training import slice_losses
from EfficientSegLib.training.samples import SliceBatch
from EfficientSegLib.training.slice_losses import Truth

TAKES = SliceBatch


@dataclass(frozen=True)
class Options:
    """Weights of the terms; the defaults are the paper's."""

    dice: float = 1.0  # the paper's 2.0 x 0.5
    focal: float = 1.0  # the paper's 2.0 x 0.5
    cross_entropy: float = 1.0
    boundary: float = 0.1
    presence: float = 0.2
    deep: float = 0.2  # of Dice + cross-entropy, mean over the coarser levels
    focal_gamma: float = 2.0
    # Probability of each label, everywhere, that a new network begins with; null: as it is built, about one half. Not
    # in the paper: after 80 iterations on a drawn torso Dice was .93 with it and .28 without.
    prior: float | None = 0.02
    # By label value, such as {"4": 5}; 1 where none is given. The paper's, in the order of its labels, are
    # 1, 1, 5, 5, 1, 3, 3, 6, 4.
    class_weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        terms = {name: getattr(self, name) for name in ("dice", "focal", "cross_entropy", "boundary", "presence")}
        terms |= {"deep": self.deep, "focal_gamma": self.focal_gamma}
        wrong = next((name for name, weight in terms.items() if weight < 0), None)
        if wrong:
            raise OptionError(f"{wrong} is {terms[wrong]}.", why="It is a weight.", mend="Use 0 or more.")
        if self.prior is not None and not 0 < self.prior < 1:
            raise OptionError(f"prior is {self.prior}.", why="It is a probability.", mend="Use 0.02, or null.")
        for value, weight in self.class_weights.items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not weight > 0:
                raise OptionError(
                    f"class_weights of label {value} is {weight!r}.",
                    why="It is a weight.",
                    mend="Use a number above 0.",
                )


@dataclass(frozen=True)
class Fitted(Options):
    """The options with the weights in the order of a bundle's labels."""

    weights: tuple[float, ...] = ()  # (K,)


def fitted(options: Options, channels: Mapping[int, int]) -> Fitted:
    """The options for a bundle.

    Args:
        channels: logit channel of each label value.

    Raises:
        OptionError: class_weights name a label that the bundle does not have.
    """
    known = {str(value): channel for value, channel in channels.items()}
    unknown = sorted(set(options.class_weights) - set(known))
    if unknown:
        raise OptionError(
            f"class_weights names label {unknown[0]}.",
            why=f"The bundle's labels are {', '.join(known)}.",
            mend="Name label values of the bundle.",
        )
    weights = [1.0] * len(channels)
    for value, weight in options.class_weights.items():
        weights[known[value] - 1] = float(weight)
    return Fitted(**dataclasses.asdict(options), weights=tuple(weights))


def begin(model: nn.Module, options: Options) -> None:
    """Let a new network find hardly anything, in place: its mask heads' constant terms become the prior's logit.

    Most pixels are background, and networks that begin with one half everywhere spend their first hundreds of
    iterations on unlearning that.

    Source: the focal loss (Lin et al., ICCV 2017), section 3.3.
    """
    if options.prior is None:
        return
    with torch.no_grad():
        for head in (model.mask_head, *getattr(model, "deep_heads", ())):
            head.bias.fill_(math.log(options.prior / (1 - options.prior)))


def losses(
    model: nn.Module, sample: SliceBatch, options: Fitted, progress: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Terms whose sum is minimised.

    Args:
        model: meets `SliceModel`.
        progress: 0 at the start of the training, 1 at its end; not used here.
        generator: source of every draw; not used here.

    Returns:
        dice, focal, ce; boundary, presence and deep where the network has such heads, each times its weight.
    """
    stack = sample.image.contiguous(memory_format=torch.channels_last)
    heads = model.heads(stack, sample.position)
    with torch.autocast(stack.device.type, enabled=False):
        return _terms(heads, Truth.of(sample.target, sample.annotated), options)


def _terms(heads: Heads, truth: Truth, options: Fitted) -> dict[str, Tensor]:
    mask = heads.mask.float()
    weights = mask.new_tensor(options.weights)
    terms = {
        "dice": options.dice * slice_losses.soft_dice(mask.sigmoid(), truth.masks, truth.known),
        "focal": options.focal * slice_losses.focal(mask, truth, weights, options.focal_gamma),
        "ce": options.cross_entropy * slice_losses.cross_entropy(mask, truth, weights),
    }
    if heads.boundary is not None:
        terms["boundary"] = options.boundary * slice_losses.boundary(heads.boundary.float(), truth)
    if heads.presence is not None:
        terms["presence"] = options.presence * slice_losses.presence(heads.presence.float(), truth)
    if heads.deep:
        terms["deep"] = (
            options.deep * torch.stack([_deep(level.float(), truth, weights) for level in heads.deep]).mean()
        )
    return terms


def _deep(logits: Tensor, truth: Truth, weights: Tensor) -> Tensor:
    dice = slice_losses.soft_dice(logits.sigmoid(), truth.masks, truth.known)
    return dice + slice_losses.cross_entropy(logits, truth, weights)
