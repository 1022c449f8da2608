"""Both networks of NMSW, its scores and its class weights, trained together.

Source: NMSW (arXiv 2501.10814), sections 3 and 4. The high-resolution answer is mixed from all patches that were read,
as in inference, and its loss is taken where they lie: elsewhere the answer is the coarse one, which is detached there
and so has no gradient, and which would only make the term smaller, the more so the larger the volume is.

The patches go through the local network one by one: the norms that are fast on a CPU take batches of one (see
`networks/inference.py`).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.geometry import Index, PatchBox, patch_grid, whole
from EfficientSegLib.networks.nmsw import Proposal
from EfficientSegLib.networks.topk import chosen_patches, mask_background, sample_without_replacement
from EfficientSegLib.patches import cut, gaussian_window
from EfficientSegLib.resampling import enlarge, shrink_labels
from EfficientSegLib.training.boxes import counts_in, has_contrast, random_box_with_contrast
from EfficientSegLib.training.losses import IGNORE, SampleLoss, missed_errors, selection_entropy
from EfficientSegLib.training.recipes.patch import added_by, selection_term
from EfficientSegLib.training.samples import Sample

OVERVIEW = True  # it trains a network that looks at the whole volume first


@dataclass(frozen=True)
class Options:
    """How NMSW is trained; the defaults are the paper's."""

    sampled_patches: int = 3  # drawn from the candidates; time grows with it
    random_patches: int = 1  # unscaled: the only inputs that look like those of inference
    foreground: float = 0.5  # share of the random patches that are centred on a label
    draw: Literal["scores", "uniform"] = "scores"  # uniform: the random-foreground baseline, without learned scores
    gradient: Literal["exact", "chosen"] = "exact"  # of the scores: by all candidates (3 % of a step), or those read
    class_weights: Literal["learned", "one"] = "learned"  # one: inside patches the coarse logits do not count
    temperature: tuple[float, float] = (2.0, 0.33)  # of the draw, at the start and at the end
    entropy: float = 1e-4  # weight of the entropy that keeps the choice exploring
    teaching: float = 0.0  # weight of telling the scores where the coarse pass is wrong; not in the paper, 0.1 works
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

    Returns:
        low: of the coarse logits. patch: mean over the patches. high: of the mixed logits, over all voxels that were
        read. selection: what the local network adds, see `patch.losses`; only where it does. entropy: minus the
        weighted entropy of the draw; not where the draw is uniform. teaching: see `losses.missed_errors`; only where
        it has a weight.

    Raises:
        TrainingError: the sample has fewer candidate patches than are to be sampled, or nothing in it to see.

    Source: NMSW, equation 7; the entropy is subtracted, as its text and its code have it.
    """
    image, target = sample.image, sample.target
    shape = tuple(target.shape)
    proposal = model.propose(_fast(model.shrink(image[None])), shape)
    cost = SampleLoss(sample.annotated, options.dice_weight, options.ce_weight)
    terms = {"low": cost(proposal.logits, shrink_labels(target, model.downsampling))}
    scores = draw_scores(proposal, options.draw)
    boxes, patches = _sampled(model, sample, scores, options, progress, generator)
    for _ in range(options.random_patches):
        box = random_box_with_contrast(sample, model.patch_size, options.foreground, generator)
        boxes.append(box)
        patches.append(cut(image, box))
    read, added = local_answers(model, patches)
    truths = [target[box.slices()] for box in boxes]
    terms["patch"] = torch.stack([cost(logits, truth) for logits, truth in zip(read, truths)]).mean()
    trust = model.class_weights if options.class_weights == "learned" else torch.ones_like(model.class_weights)
    mixed = blended([logits[0] for logits in read], boxes)
    coarse = proposal.logits.detach()[0].float()
    answers = [merged(enlarge(coarse, shape, box), patch, trust) for box, patch in zip(boxes, mixed)]
    terms["high"] = cost.together([answer[None] for answer in answers], once(truths, boxes))
    terms |= added
    if options.draw == "scores":
        terms["entropy"] = -options.entropy * selection_entropy(scores)
    if options.teaching and options.draw == "scores":
        grid = patch_grid(shape, model.patch_size, model.overlap)
        errors = coarse_errors(proposal.logits, shrink_labels(target, model.downsampling), grid, model.downsampling)
        terms["teaching"] = options.teaching * missed_errors(proposal.scores.float(), errors)
    return terms


def local_answers(model: nn.Module, patches: list[Tensor]) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Logits (1, L, *patch) of patches (C, *patch), one by one, and what the local network adds to the loss."""
    read, added = [], []
    for patch in patches:
        read.append(model.local(_fast(patch[None])))
        added.append(added_by(getattr(model, "local_network", model)))
    return read, selection_term(added)


def draw_scores(proposal: Proposal, draw: Literal["scores", "uniform"]) -> Tensor:
    """Log-weights (N,) of the candidates for the draw: learned, or all alike; background is masked in both."""
    scores = proposal.scores.float()
    return mask_background(scores if draw == "scores" else torch.zeros_like(scores.detach()), proposal.foreground)


def _sampled(
    model: nn.Module, sample: Sample, scores: Tensor, options: Options, progress: float, generator: torch.Generator
) -> tuple[list[PatchBox], list[Tensor]]:
    """Boxes and patches (C, *patch) drawn from the candidates, those without anything to see left out."""
    shape, image = tuple(sample.target.shape), sample.image
    grid = patch_grid(shape, model.patch_size, model.overlap)
    _check_sampled(options, len(grid), sample, model.patch_size)
    start, end = options.temperature
    drawn = sample_without_replacement(scores, options.sampled_patches, start * (end / start) ** progress, generator)
    indices = drawn.indices.tolist()
    rows = [row for row, index in enumerate(indices) if has_contrast(cut(image, grid[index]))]
    boxes = [grid[indices[row]] for row in rows]
    if options.draw == "uniform" or not rows:
        return boxes, [cut(image, box) for box in boxes]
    with torch.autocast(image.device.type, enabled=False):
        return boxes, list(chosen_patches(image, grid, drawn.kept(rows), options.gradient))


def coarse_errors(logits: Tensor, truth: Tensor, grid: list[PatchBox], downsampling: Index) -> Tensor:
    """Cells in each candidate that the coarse pass labels wrongly, (N,).

    Args:
        logits: coarse, (1, L, i, j, k).
        truth: channels on the same cells, or IGNORE.
        grid: candidates, in voxels of the full grid, each cell of which has `downsampling` voxels.
    """
    wrong = (logits.detach()[0].argmax(0) != truth) & (truth != IGNORE)
    cells = tuple(1 / factor for factor in downsampling)
    inside = whole(tuple(wrong.shape))
    return counts_in(wrong, [box.scaled(cells).intersection(inside) for box in grid])


def _check_sampled(options: Options, candidates: int, sample: Sample, patch: Index) -> None:
    if options.sampled_patches > candidates:
        raise TrainingError(
            f"sampled_patches is {options.sampled_patches}.",
            why=f"A sample of {sample.name} of {tuple(sample.target.shape)} voxels has {candidates} candidate patches "
            f"of {tuple(patch)}.",
            mend=f"Use {candidates} or fewer, larger samples, or a smaller patch.",
        )


def blended(patches: list[Tensor], boxes: list[PatchBox]) -> list[Tensor]:
    """Logits (L, *patch) of patches, each mixed inside its own box with those that overlap it; float32.

    Where boxes overlap, all of them get the same: the mean weighted by Gaussian windows. Only the boxes are ever in
    memory, not what lies between them.

    Source: NMSW, equation 6, normalised as in its code; the same as `patches.Blend` makes in inference.
    """
    window = gaussian_window(boxes[0].shape).to(patches[0].device)
    mixed = []
    for number, (patch, box) in enumerate(zip(patches, boxes)):
        patch = patch.float()
        shared = [(other, box.intersection(boxes[other])) for other in range(len(boxes)) if other != number]
        shared = [(other, common) for other, common in shared if common is not None]
        if shared:
            patch, weight = patch * window, window.clone()
            for other, common in shared:
                own, theirs = _inside(common, box), _inside(common, boxes[other])
                patch[(slice(None), *own)] += patches[other][(slice(None), *theirs)].float() * window[theirs]
                weight[own] += window[theirs]
            patch = patch / weight
        mixed.append(patch)
    return mixed


def once(targets: list[Tensor], boxes: list[PatchBox]) -> list[Tensor]:
    """The targets (*patch) of the boxes, with IGNORE in every voxel that an earlier box has already."""
    cleared = []
    for number, (target, box) in enumerate(zip(targets, boxes)):
        earlier = [common for other in boxes[:number] if (common := box.intersection(other)) is not None]
        if earlier:
            target = target.clone()
            for common in earlier:
                target[_inside(common, box)] = IGNORE
        cleared.append(target)
    return cleared


def merged(coarse: Tensor, patch: Tensor, trust: Tensor) -> Tensor:
    """Coarse logits (L, I, J, K) and patch logits of the same box, by how far each label trusts the patches, (L,).

    Source: NMSW, equation 6.
    """
    trust = trust[:, None, None, None]
    return trust * patch + (1 - trust) * coarse


def _inside(part: PatchBox, box: PatchBox) -> tuple[slice, slice, slice]:
    """Where a part of a box lies in it."""
    return part.shifted(tuple(-start for start in box.start)).slices()


def _fast(volume: Tensor) -> Tensor:
    return volume.contiguous(memory_format=torch.channels_last_3d)
