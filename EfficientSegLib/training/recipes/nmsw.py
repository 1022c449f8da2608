"""Both networks of NMSW, its scores and its class weights, trained together.

Source: NMSW (arXiv 2501.10814), sections 3 and 4. The high-resolution loss is taken inside the patches that were read:
outside them the answer is the coarse one, which is detached there and so has no gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, PatchBox, patch_grid
from EfficientSegLib.networks.topk import mask_background, sample_without_replacement
from EfficientSegLib.resampling import enlarge, shrink_labels
from EfficientSegLib.training.boxes import has_contrast, random_box_with_contrast
from EfficientSegLib.training.losses import dice_ce, rows, selection_entropy
from EfficientSegLib.training.samples import Sample


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
        chosen.append((random_box_with_contrast(sample, model.patch_size, options.foreground, generator), None))
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


def _merged(low: Tensor, patch: Tensor, class_weights: Tensor, box: PatchBox, shape: Index) -> Tensor:
    """The answer inside one patch. Source: NMSW, equation 6, where one patch lies alone."""
    coarse = enlarge(low.detach()[0].float(), shape, box)[None]
    trust = class_weights[:, None, None, None]
    return trust * patch + (1 - trust) * coarse


def _fast(volume: Tensor) -> Tensor:
    return volume.contiguous(memory_format=torch.channels_last_3d)


class _Cost:
    """The same loss for every output of one sample."""

    def __init__(self, annotated: Tensor, options: Options) -> None:
        self.annotated, self.options = annotated, options

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        flat, labels = rows(logits, target)
        return dice_ce(flat, labels, self.annotated, self.options.dice_weight, self.options.ce_weight)
