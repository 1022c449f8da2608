"""A network that labels what it is given, trained on random patches. Serves every `PatchModel`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index
from EfficientSegLib.training.boxes import random_box_with_contrast
from EfficientSegLib.training.losses import SampleLoss
from EfficientSegLib.training.samples import Sample


@dataclass(frozen=True)
class Options:
    """How patches are drawn and scored."""

    patch_size: tuple[int, int, int] = (128, 128, 128)  # voxels; what the strategy reads later
    patches: int = 2  # per sample; time grows with it
    foreground: float = 0.5  # share of the patches that are centred on a label
    dice_weight: float = 0.8
    ce_weight: float = 0.2

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
        model: meets `PatchModel`.
        sample: image (1, I, J, K), at least one patch long.
        progress: 0 at the start of the training, 1 at its end; not used here.
        generator: source of every draw.

    Raises:
        OptionError: the patch does not fit the model or the sample.
        TrainingError: there is nothing to see in the sample.
    """
    _check_patch(model, sample, options.patch_size)
    cost = SampleLoss(sample.annotated, options.dice_weight, options.ce_weight)
    terms = []
    for _ in range(options.patches):
        box = random_box_with_contrast(sample, options.patch_size, options.foreground, generator)
        patch = sample.image[None][(..., *box.slices())].contiguous(memory_format=torch.channels_last_3d)
        terms.append(cost(model(patch), sample.target[box.slices()]))
    return {"patch": torch.stack(terms).mean()}


def _check_patch(model: nn.Module, sample: Sample, patch: Index) -> None:
    shape = tuple(sample.target.shape)
    if any(size % multiple for size, multiple in zip(patch, model.size_multiple)):
        raise OptionError(
            f"patch_size is {patch}.",
            why=f"The network takes multiples of {tuple(model.size_multiple)}.",
            mend=f"Use {tuple(-(-size // multiple) * multiple for size, multiple in zip(patch, model.size_multiple))}.",
        )
    if any(size > length for size, length in zip(patch, shape)):
        raise OptionError(
            f"patch_size is {patch}.",
            why=f"A sample of {sample.name} has {shape} voxels.",
            mend="Use a smaller patch, or larger samples.",
        )
