"""Which patches of a sample are trained on."""

import torch
from torch import Tensor

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.geometry import Index, PatchBox
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.samples import Sample

LEAST_DEVIATION = 0.02  # of a patch's network values, which span 1 for the usual window
TRIES = 20


def random_box(target: Tensor, size: Index, foreground: float, generator: torch.Generator) -> PatchBox:
    """A patch anywhere, or with the given probability around a random voxel of a random label that is there.

    Args:
        target: (I, J, K), 0 is background.
        size: voxels of the patch, no longer than the target.
    """
    start = [int(torch.randint(length - step + 1, (), generator=generator)) for length, step in zip(target.shape, size)]
    present = torch.unique(target)
    present = present[(present != 0) & (present != IGNORE)]
    if len(present) and torch.rand((), generator=generator) < foreground:
        label = present[torch.randint(len(present), (), generator=generator)]
        voxels = (target.flatten() == label).nonzero()[:, 0]
        index = int(voxels[torch.randint(len(voxels), (), generator=generator)])
        _, columns, slices = target.shape
        centre = (index // (columns * slices), index // slices % columns, index % slices)
        start = [min(max(c - s // 2, 0), n - s) for c, s, n in zip(centre, size, target.shape)]
    return PatchBox(tuple(start), tuple(a + s for a, s in zip(start, size)))


def random_box_with_contrast(sample: Sample, size: Index, foreground: float, generator: torch.Generator) -> PatchBox:
    """The first random box with something in it.

    Raises:
        TrainingError: twenty boxes were empty.
    """
    for _ in range(TRIES):
        box = random_box(sample.target, size, foreground, generator)
        if has_contrast(sample.image[(slice(None), *box.slices())]):
            return box
    raise TrainingError(
        f"A sample of {sample.name} is empty.",
        why=f"{TRIES} patches drawn from it were nearly constant.",
        mend="Check the image and the window of intensity.",
    )


def has_contrast(patch: Tensor) -> bool:
    """Whether there is something to see: nothing is learnt from air, and a scaled patch would be all rounding error."""
    return float(patch.std()) > LEAST_DEVIATION
