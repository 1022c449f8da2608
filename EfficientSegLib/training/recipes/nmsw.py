"""Both networks of NMSW, its scores and its class weights, trained together.

Source: NMSW (arXiv 2501.10814), sections 3 and 4. The high-resolution loss is taken inside the patches that were read:
outside them the answer is the coarse one, which is detached there and so has no gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.geometry import Index, PatchBox, patch_grid
from EfficientSegLib.networks.topk import mask_background, sample_without_replacement
from EfficientSegLib.resampling import enlarge
from EfficientSegLib.training.augment import Sample
from EfficientSegLib.training.data import shrink_labels
from EfficientSegLib.training.losses import IGNORE, dice_ce, rows, selection_entropy

LEAST_DEVIATION = 0.02  # of a patch, in network values (0 to 1 for a window)


@dataclass(frozen=True)
class Options:
    """How NMSW is trained; the defaults are the paper's, but for the number of patches."""

    sampled_patches: int = 1  # drawn by score; 3 in the paper, time grows with it
    random_patches: int = 1  # unscaled: the only inputs that look like those of inference
    foreground: float = 0.5  # share of the random patches that are centred on a label
    temperature: tuple[float, float] = (2.0, 0.33)  # of the draw, at the start and at the end
    entropy: float = 1e-4  # weight of the entropy that keeps the choice exploring
    dice_weight: float = 0.8
    ce_weight: float = 0.2

    def __post_init__(self) -> None:
        if self.sampled_patches < 0 or self.random_patches < 1:
            raise OptionError(
                f"There are {self.sampled_patches} sampled and {self.random_patches} random patches.",
                why="Sampled patches are dimmed by their score; only random ones look as they do in inference.",
                mend="Use at least one random patch.",
            )
        if min(self.temperature) <= 0:
            raise OptionError(f"temperature is {self.temperature}.", why="It divides scores.", mend="Use 2 and 0.33.")


def losses(
    model: nn.Module, sample: Sample, options: Options, progress: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Terms whose sum is minimised.

    Args:
        model: meets `GlobalLocalModel`.
        sample: image (1, I, J, K), its axes multiples of the model's `size_multiple` and at least one patch long.
        progress: 0 at the start of the training, 1 at its end.
        generator: source of every draw.
    """
    image, target = sample.image[None], sample.target
    shape = tuple(target.shape)
    proposal = model.propose(_fast(model.shrink(image)), shape)
    cost = _Cost(sample.annotated, options)
    terms = {"low": cost(proposal.logits, shrink_labels(target, model.downsampling))}
    scores = proposal.scores.float()
    masked = mask_background(scores, proposal.foreground)
    grid = patch_grid(shape, model.patch_size, model.overlap)
    start, end = options.temperature
    count = min(options.sampled_patches, len(grid))
    drawn = sample_without_replacement(masked, count, start * (end / start) ** progress, generator)
    chosen = [(grid[index], scale) for index, scale in zip(drawn.indices.tolist(), drawn.scale)]
    chosen = [(box, scale) for box, scale in chosen if has_contrast(image[(..., *box.slices())])]
    for _ in range(options.random_patches):
        chosen.append((_random_box_with_contrast(sample, model.patch_size, options.foreground, generator), None))
    patch_terms, high_terms = [], []
    for box, scale in chosen:
        patch = image[(..., *box.slices())]
        logits = model.local(_fast(patch if scale is None else patch * scale))
        truth = target[box.slices()]
        patch_terms.append(cost(logits, truth))
        high_terms.append(cost(_merged(proposal.logits, logits, model.class_weights, box, shape), truth))
    terms["patch"] = torch.stack(patch_terms).mean()
    terms["high"] = torch.stack(high_terms).mean()
    terms["entropy"] = -options.entropy * selection_entropy(masked)
    return terms


def has_contrast(patch: Tensor) -> bool:
    """Whether there is something to see. Instance normalisation divides by the deviation: on an empty patch every layer
    would multiply the gradient by hundreds, until it overflows."""
    return float(patch.std()) > LEAST_DEVIATION


def _random_box_with_contrast(sample: Sample, size: Index, foreground: float, generator: torch.Generator) -> PatchBox:
    for _ in range(20):
        box = random_box(sample.target, size, foreground, generator)
        if has_contrast(sample.image[(..., *box.slices())]):
            return box
    raise TrainingError(
        f"A sample of {sample.name} is empty.",
        why="Twenty patches drawn from it were nearly constant.",
        mend="Check the image and the window of intensity.",
    )


def random_box(target: Tensor, size: Index, foreground: float, generator: torch.Generator) -> PatchBox:
    """A patch anywhere, or with the given probability around a random voxel of a random label that is there.

    Args:
        target: (I, J, K), 0 is background.
        size: voxels of the patch, no longer than the target.
    """
    start = [
        int(torch.randint(length - step + 1, (), generator=generator)) for length, step in zip(target.shape, size)
    ]
    present = torch.unique(target)
    present = present[(present != 0) & (present != IGNORE)]
    if len(present) and torch.rand((), generator=generator) < foreground:
        label = present[torch.randint(len(present), (), generator=generator)]
        voxels = (target.flatten() == label).nonzero()[:, 0]
        index = int(voxels[torch.randint(len(voxels), (), generator=generator)])
        centre = (index // (target.shape[1] * target.shape[2]), index // target.shape[2] % target.shape[1])
        centre = (*centre, index % target.shape[2])
        start = [min(max(c - s // 2, 0), n - s) for c, s, n in zip(centre, size, target.shape)]
    return PatchBox(tuple(start), tuple(a + s for a, s in zip(start, size)))


def _merged(low: Tensor, patch: Tensor, class_weights: Tensor, box: PatchBox, shape: Index) -> Tensor:
    """The answer inside one patch. Source: NMSW, equation 6, where one patch lies alone."""
    coarse = enlarge(low.detach()[0].float(), shape, box)[None]
    trust = class_weights[:, None, None, None]
    return trust * patch + (1 - trust) * coarse


def _fast(volume: Tensor) -> Tensor:
    return volume.contiguous(memory_format=torch.channels_last_3d)


class _Cost:
    def __init__(self, annotated: Tensor, options: Options) -> None:
        self.annotated, self.options = annotated, options

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        flat, labels = rows(logits, target)
        return dice_ce(flat, labels, self.annotated, self.options.dice_weight, self.options.ce_weight)
