"""A network that labels what it is given, trained on random patches. Serves every `PatchModel`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.training.boxes import random_box_with_contrast
from EfficientSegLib.training.losses import dice_ce, rows
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
    """
    terms = []
    for _ in range(options.patches):
        box = random_box_with_contrast(sample, options.patch_size, options.foreground, generator)
        patch = sample.image[None][(..., *box.slices())].contiguous(memory_format=torch.channels_last_3d)
        flat, labels = rows(model(patch), sample.target[box.slices()])
        terms.append(dice_ce(flat, labels, sample.annotated, options.dice_weight, options.ce_weight))
    return {"patch": torch.stack(terms).mean()}
