"""Which patches of a sample are trained on, and what lies in them."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.geometry import Index, PatchBox
from EfficientSegLib.training.members import has_label, present_labels
from EfficientSegLib.training.samples import Sample

LEAST_DEVIATION = 0.02  # of a patch's network values, which span 1 for the usual window
TRIES = 20


def random_box(
    target: Tensor, size: Index, foreground: float, generator: torch.Generator, members: Tensor | None = None
) -> PatchBox:
    """A patch anywhere, or with the given probability around a random voxel of a random label that is there.

    Args:
        target: (I, J, K), 0 is background.
        size: voxels of the patch, no longer than the target.
        members: of labels that may overlap; see training.members.
    """
    start = [int(torch.randint(length - step + 1, (), generator=generator)) for length, step in zip(target.shape, size)]
    if torch.rand((), generator=generator) < foreground:
        present = present_labels(target, members)
        if len(present):
            label = int(present[torch.randint(len(present), (), generator=generator)])
            voxels = has_label(target.flatten(), label, members).nonzero()[:, 0]
            index = int(voxels[torch.randint(len(voxels), (), generator=generator)])
            _, columns, slices = target.shape
            centre = (index // (columns * slices), index // slices % columns, index % slices)
            start = [min(max(c - s // 2, 0), n - s) for c, s, n in zip(centre, size, target.shape)]
    return PatchBox(tuple(start), tuple(a + s for a, s in zip(start, size)))


def label_box(target: Tensor, label: int) -> PatchBox:
    """The smallest box that holds all voxels of a label that is in (I, J, K)."""
    mask = target == label
    spans = [mask.any(dim=other[1]).any(dim=other[0]).nonzero()[:, 0] for other in ((1, 2), (0, 2), (0, 1))]
    return PatchBox(tuple(int(span[0]) for span in spans), tuple(int(span[-1]) + 1 for span in spans))


def random_box_with_contrast(sample: Sample, size: Index, foreground: float, generator: torch.Generator) -> PatchBox:
    """The first random box with something in it.

    Raises:
        TrainingError: twenty boxes were empty.
    """
    for _ in range(TRIES):
        box = random_box(sample.target, size, foreground, generator, sample.members)
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


def counts_in(mask: Tensor, boxes: Sequence[PatchBox]) -> Tensor:
    """True voxels of a mask (I, J, K), bool, in each box, (N,), float32; large boxes cost no more."""
    total = mask.new_zeros([length + 1 for length in mask.shape], dtype=torch.float64)
    total[1:, 1:, 1:] = mask.double().cumsum(0).cumsum(1).cumsum(2)
    start, stop = (torch.tensor([getattr(box, end) for box in boxes], device=mask.device) for end in ("start", "stop"))
    counts = total.new_zeros(len(boxes))
    for corner in product((0, 1), repeat=3):
        i, j, k = ((stop if far else start)[:, axis] for axis, far in enumerate(corner))
        counts += (-1) ** (3 - sum(corner)) * total[i, j, k]
    return counts.float()
