"""Both networks of NMSW, its scores and its class weights, trained together.

Source: NMSW (arXiv 2501.10814), sections 3 and 4. The high-resolution loss is taken inside the patches that were read:
outside them the answer is the coarse one, which is detached there and so has no gradient.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.geometry import Index, PatchBox, patch_grid
from EfficientSegLib.networks.nmsw import Proposal
from EfficientSegLib.networks.topk import mask_background, sample_without_replacement
from EfficientSegLib.resampling import enlarge, shrink_labels
from EfficientSegLib.training.boxes import has_contrast, random_box_with_contrast
from EfficientSegLib.training.losses import SampleLoss, selection_entropy
from EfficientSegLib.training.samples import Sample


@dataclass(frozen=True)
class Options:
    """How NMSW is trained; the defaults are the paper's."""

    sampled_patches: int = 3  # drawn from the candidates; time grows with it
    random_patches: int = 1  # unscaled: the only inputs that look like those of inference
    foreground: float = 0.5  # share of the random patches that are centred on a label
    draw: Literal["scores", "uniform"] = "scores"  # uniform: the random-foreground baseline, without learned scores
    class_weights: Literal["learned", "one"] = "learned"  # one: inside patches the coarse logits do not count
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

    Raises:
        TrainingError: the sample has fewer candidate patches than are to be sampled.
    """
    image, target = sample.image[None], sample.target
    shape = tuple(target.shape)
    proposal = model.propose(_fast(model.shrink(image)), shape)
    cost = SampleLoss(sample.annotated, options.dice_weight, options.ce_weight)
    terms = {"low": cost(proposal.logits, shrink_labels(target, model.downsampling))}
    grid = patch_grid(shape, model.patch_size, model.overlap)
    _check_sampled(options, len(grid), sample, model.patch_size)
    scores = draw_scores(proposal, options.draw)
    start, end = options.temperature
    drawn = sample_without_replacement(scores, options.sampled_patches, start * (end / start) ** progress, generator)
    chosen = [(grid[index], scale) for index, scale in zip(drawn.indices.tolist(), drawn.scale)]
    chosen = [(box, scale) for box, scale in chosen if has_contrast(image[(..., *box.slices())])]
    for _ in range(options.random_patches):
        chosen.append((random_box_with_contrast(sample, model.patch_size, options.foreground, generator), None))
    trust = model.class_weights if options.class_weights == "learned" else torch.ones_like(model.class_weights)
    patch_terms, high_terms = [], []
    for box, scale in chosen:
        patch = image[(..., *box.slices())]
        logits = model.local(_fast(patch if scale is None or options.draw == "uniform" else patch * scale))
        truth = target[box.slices()]
        patch_terms.append(cost(logits, truth))
        high_terms.append(cost(_merged(proposal.logits, logits, trust, box, shape), truth))
    terms["patch"] = torch.stack(patch_terms).mean()
    terms["high"] = torch.stack(high_terms).mean()
    if options.draw == "scores":
        terms["entropy"] = -options.entropy * selection_entropy(scores)
    return terms


def draw_scores(proposal: Proposal, draw: Literal["scores", "uniform"]) -> Tensor:
    """Log-weights (N,) of the candidates for the draw: learned, or all alike; background is masked in both."""
    scores = proposal.scores.float()
    return mask_background(scores if draw == "scores" else torch.zeros_like(scores.detach()), proposal.foreground)


def _check_sampled(options: Options, candidates: int, sample: Sample, patch: Index) -> None:
    if options.sampled_patches > candidates:
        raise TrainingError(
            f"sampled_patches is {options.sampled_patches}.",
            why=f"A sample of {sample.name} of {tuple(sample.target.shape)} voxels has {candidates} candidate patches "
            f"of {tuple(patch)}.",
            mend=f"Use {candidates} or fewer, larger samples, or a smaller patch.",
        )


def _merged(low: Tensor, patch: Tensor, trust: Tensor, box: PatchBox, shape: Index) -> Tensor:
    """The answer inside one patch. Source: NMSW, equation 6, where one patch lies alone."""
    coarse = enlarge(low.detach()[0].float(), shape, box)[None]
    trust = trust[:, None, None, None]
    return trust * patch + (1 - trust) * coarse


def _fast(volume: Tensor) -> Tensor:
    return volume.contiguous(memory_format=torch.channels_last_3d)
