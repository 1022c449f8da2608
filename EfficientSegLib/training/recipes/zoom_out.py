"""The zoom-out baseline: a global network, and a local one that sees whole labels, shrunk to the size of a patch.

Source: NMSW (arXiv 2501.10814), section 4 (baselines). The model is NMSW's; its scores and class weights take no part,
and are not trained. `strategies/zoom_out.py` reads the boxes of the labels that the global network found; here they are
those of the reference, moved and resized at random, since the found ones are never exact.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, PatchBox, enlarged
from EfficientSegLib.resampling import shrink, shrink_labels
from EfficientSegLib.training.boxes import has_contrast, label_box, random_box_with_contrast
from EfficientSegLib.training.losses import SampleLoss
from EfficientSegLib.training.members import present_labels
from EfficientSegLib.training.recipes.patch import added_by, selection_term
from EfficientSegLib.training.samples import Sample

OVERVIEW = True  # it trains a network that looks at the whole volume first


@dataclass(frozen=True)
class Options:
    """How zoom-out is trained."""

    patches: int = 4  # per sample, as many as NMSW reads; time grows with it
    jitter: float = 0.1  # each face of a label's box moves by up to this share of the box, and at least of a patch
    dice_weight: float = 0.8
    ce_weight: float = 0.2

    def __post_init__(self) -> None:
        if self.patches < 1:
            raise OptionError(
                f"There are {self.patches} patches.", why="The local network learns from them.", mend="Use 1 or more."
            )
        if not 0 <= self.jitter < 0.5:
            raise OptionError(
                f"jitter is {self.jitter}.",
                why="From half a box on, opposite faces could change places.",
                mend="Use 0 to below 0.5; 0.1 is the usual choice.",
            )


def losses(
    model: nn.Module, sample: Sample, options: Options, progress: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Terms whose sum is minimised: low (global network), patch and selection (local network, see `patch.losses`).

    Args:
        model: meets `GlobalLocalModel`.
        sample: image (1, I, J, K), its axes multiples of the model's `size_multiple` and at least one patch long.
        progress: 0 at the start of the training, 1 at its end; not used here.
        generator: source of every draw.
    """
    image, target = sample.image[None], sample.target
    cost = SampleLoss(sample.annotated, options.dice_weight, options.ce_weight)
    low = model.propose(_fast(model.shrink(image)), tuple(target.shape)).logits
    patch_terms, added = [], []
    for _ in range(options.patches):
        patch, truth = zoomed(sample, _box(model, sample, options, generator), model.patch_size)
        patch_terms.append(cost(model.local(_fast(patch[None])), truth))
        added.append(added_by(getattr(model, "local_network", model)))
    low_term = cost(low, shrink_labels(target, model.downsampling))
    return {"low": low_term, "patch": torch.stack(patch_terms).mean(), **selection_term(added)}


def _box(model: nn.Module, sample: Sample, options: Options, generator: torch.Generator) -> PatchBox:
    """The box of a random label that is there, moved; anywhere, one patch large, where none is."""
    patch, within = model.patch_size, tuple(sample.target.shape)
    ignored = getattr(model, "ignored_channels", (0,))  # inference does not look for these
    labels = [label for label in present_labels(sample.target).tolist() if label not in ignored]
    if labels:
        label = labels[int(torch.randint(len(labels), (), generator=generator))]
        box = jittered(label_box(sample.target, label), patch, options.jitter, within, generator)
        if has_contrast(sample.image[(slice(None), *box.slices())]):
            return box
    return random_box_with_contrast(sample, patch, 0.0, generator)


def jittered(box: PatchBox, patch: Index, share: float, within: Index, generator: torch.Generator) -> PatchBox:
    """The box with each face moved at random, enlarged to at least a patch, inside a grid of `within` voxels."""
    moves = (2 * torch.rand(2, 3, generator=generator) - 1) * share
    start, stop = [], []
    for axis in range(3):
        a, b = box.start[axis], box.stop[axis]
        reach = max(b - a, patch[axis])
        if b - a < patch[axis]:  # both faces together: the box will be as large as a patch in any case
            moves[1, axis] = moves[0, axis]
        first = min(max(a + round(float(moves[0, axis]) * reach), 0), within[axis] - 1)
        start.append(first)
        stop.append(min(max(b + round(float(moves[1, axis]) * reach), first + 1), within[axis]))
    return enlarged(PatchBox(tuple(start), tuple(stop)), patch, within)


def zoomed(sample: Sample, box: PatchBox, patch: Index) -> tuple[Tensor, Tensor]:
    """Image (1, *patch) and target (*patch) of a box at least as large as a patch, both resized to the patch.

    The image is averaged as `resampling.shrink` does; labels are those of the nearest voxel.
    """
    target = sample.target[box.slices()]
    for axis, size in enumerate(patch):
        length = target.shape[axis]
        nearest = ((torch.arange(size, dtype=torch.float64) + 0.5) * length / size).long()
        target = target.index_select(axis, nearest.to(target.device))
    return shrink(sample.image[(slice(None), *box.slices())], patch), target


def _fast(volume: Tensor) -> Tensor:
    return volume.contiguous(memory_format=torch.channels_last_3d)
