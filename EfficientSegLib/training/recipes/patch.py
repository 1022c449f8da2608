"""A network that labels what it is given, trained on random patches. Serves every `PatchModel`.

The defaults are NMSW's. As STP + MTA + UNETR is trained: four patches, weights 1 and 1, `squared`; as Swin SMT: weights
1 and 1. A network that has something to add to the loss of a pass, as the choice of tokens has, is asked for it.

The one recipe of volumes that also trains labels that may overlap (independent outputs): where a sample has `members`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index
from EfficientSegLib.networks.patch_size import refuse_size
from EfficientSegLib.training.boxes import random_box_with_contrast
from EfficientSegLib.training.independent_losses import IndependentLoss
from EfficientSegLib.training.losses import SampleLoss
from EfficientSegLib.training.samples import Sample

INDEPENDENT = True  # it trains outputs that are independent, too


@dataclass(frozen=True)
class Options:
    """How patches are drawn and scored."""

    patch_size: tuple[int, int, int] = (128, 128, 128)  # voxels; what the strategy reads later
    patches: int = 2  # per sample; time grows with it
    foreground: float = 0.5  # share of the patches that are centred on a label
    dice_weight: float = 0.8
    ce_weight: float = 0.2
    squared: bool = False  # Dice with squares in its denominator, background, where there is one, among its labels

    def __post_init__(self) -> None:
        if min(self.patch_size) < 1 or self.patches < 1:
            raise OptionError(
                f"There are {self.patches} patches of {self.patch_size}.", why="Both count.", mend="Use 1 or more."
            )


def losses(
    model: nn.Module, sample: Sample, options: Options, progress: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Terms whose sum is minimised.

    Args:
        model: meets `PatchModel`; with a channel for background unless the sample has `members`.
        sample: image (1, I, J, K), at least one patch long.
        progress: 0 at the start of the training, 1 at its end; not used here.
        generator: source of every draw.

    Returns:
        patch: mean over the patches. selection: what the network adds, likewise; only where it does.

    Raises:
        OptionError: the patch does not fit the model or the sample.
        TrainingError: there is nothing to see in the sample.
    """
    _check_patch(model, sample, options.patch_size)
    cost = _cost(sample, options)
    terms, added = [], []
    for _ in range(options.patches):
        box = random_box_with_contrast(sample, options.patch_size, options.foreground, generator)
        patch = sample.image[None][(..., *box.slices())].contiguous(memory_format=torch.channels_last_3d)
        terms.append(cost(model(patch), sample.target[box.slices()]))
        added.append(added_by(model))
    return {"patch": torch.stack(terms).mean(), **selection_term(added)}


def _cost(sample: Sample, options: Options) -> SampleLoss | IndependentLoss:
    weights = options.dice_weight, options.ce_weight, options.squared
    if sample.members is None:
        return SampleLoss(sample.annotated, *weights)
    return IndependentLoss(sample.annotated, sample.members, *weights)


def added_by(network: nn.Module) -> Tensor | None:
    """What a patch network adds to the loss of its last pass, a scalar; None where it adds nothing."""
    return network.auxiliary_loss() if hasattr(network, "auxiliary_loss") else None


def selection_term(added: Sequence[Tensor | None]) -> dict[str, Tensor]:
    """The mean of what was added in several passes, under its name; empty where nothing was."""
    found = [term for term in added if term is not None]
    return {"selection": torch.stack(found).mean()} if found else {}


def _check_patch(model: nn.Module, sample: Sample, patch: Index) -> None:
    refuse_size(patch, model)
    shape = tuple(sample.target.shape)
    if any(size > length for size, length in zip(patch, shape)):
        raise OptionError(
            f"patch_size is {patch}.",
            why=f"A sample of {sample.name} has {shape} voxels.",
            mend="Use a smaller patch, or larger samples.",
        )
