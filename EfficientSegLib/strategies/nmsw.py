"""NMSW inference: a coarse pass over everything, then the patches worth reading, best first.

Source: NMSW (arXiv 2501.10814), sections 3.2-3.3. Selection is deterministic (no Gumbel noise); the Gaussian sum is
normalised; logits, not probabilities, are mixed; outside the patches the up-sampled global logits stand.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, PatchBox, ScoredBox, patch_grid, whole
from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.networks.topk import check_count, mask_background, top_k
from EfficientSegLib.patches import Blend, cut, gaussian_window, pad_to, pad_to_multiple
from EfficientSegLib.resampling import enlarge
from EfficientSegLib.strategies import Prediction, Watcher, wrong_model


@dataclass(frozen=True)
class Options:
    """How NMSW looks at a volume."""

    top_k: int | None = 5  # patches read at full resolution; time grows with it; 0: coarse only; null: all
    clip_top_k: bool = False  # read all patches of a volume that has fewer; otherwise that is an error
    skip_background: bool = True  # end early once only patches without any coarse structure are left; not if all
    class_weights: Literal["learned", "one"] = "learned"  # one: inside patches the coarse logits do not count
    pad_value: float = 0.0  # network value of air, for volumes smaller than a patch
    memory_mb: float = 2000.0  # patch logits kept in memory; the rest lies in a mapped file

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 0:
            raise OptionError(
                f"top_k is {self.top_k}.", why="It counts patches.", mend="Use 0 (coarse only), more, or null (all)."
            )


class CoarseAndPatches:
    """Coarse logits everywhere, mixed with the patches' inside their boxes. A `LogitField`.

    Source: NMSW, equation 6: y = c L + (1 - c) G inside, G outside; L patches, G global, c class weights.
    """

    def __init__(self, coarse: Tensor, full: Index, shape: Index, offset: Index, weights: Tensor, blend: Blend) -> None:
        self.shape = shape
        self.num_labels = coarse.shape[0]
        self.patches_read = 0
        self._coarse = coarse  # (L, i, j, k) on a grid that covers `full` voxels
        self._full = full
        self._offset = offset  # of the field's first voxel
        self._trust = weights[:, None, None, None]
        self._blend = blend

    def region(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape) of a box of the field."""
        box = box.shifted(self._offset)
        coarse = enlarge(self._coarse, self._full, box)
        patches, covered = self._blend.region(box)
        return torch.where(covered, self._trust * patches + (1 - self._trust) * coarse, coarse)


def predict(volume: Tensor, model: GlobalLocalModel, options: Options, watcher: Watcher | None = None) -> Prediction:
    """Segment a prepared volume (C, I, J, K), float32, on the CPU; the model may be on any device.

    Raises:
        OptionError: the model is no `GlobalLocalModel`, or top_k exceeds the number of candidate patches.
    """
    if not isinstance(model, GlobalLocalModel):
        raise wrong_model("nmsw", "sliding_window")
    watcher = watcher or Watcher()
    device = next(model.parameters()).device
    padded, offset = pad_to(volume, model.patch_size, options.pad_value)
    shape = tuple(padded.shape[1:])
    low = model.shrink(pad_to_multiple(padded, model.size_multiple, options.pad_value)[None])
    full = tuple(cells * factor for cells, factor in zip(low.shape[2:], model.downsampling))
    proposal = model.propose(low.to(device), shape)
    grid = patch_grid(shape, model.patch_size, model.overlap)
    chosen = _choose(grid, proposal.scores.float().cpu(), proposal.foreground.cpu(), options)
    weights = model.class_weights.detach().float().cpu()
    trust = weights if options.class_weights == "learned" else torch.ones_like(weights)
    blend = Blend(len(weights), [patch.box for patch in chosen], options.memory_mb)
    coarse = proposal.logits[0].float().cpu()
    logits = CoarseAndPatches(coarse, full, tuple(volume.shape[1:]), offset, trust, blend)
    inside = tuple(_in_volume(patch, offset, volume) for patch in chosen)
    watcher.chosen(inside, len(grid), tuple(trust.tolist()))
    watcher.refined(logits, None, 0, len(chosen))
    logits.patches_read = _read(padded, model, chosen, inside, blend, logits, watcher)
    return Prediction(logits, inside, len(grid), tuple(trust.tolist()))


def _choose(grid: list[PatchBox], scores: Tensor, foreground: Tensor, options: Options) -> list[ScoredBox]:
    """The k best patches; each list begins with the list of any smaller k."""
    k = len(grid) if options.top_k is None else options.top_k
    if options.clip_top_k:
        k = min(k, len(grid))
    check_count(k, len(grid))
    if options.skip_background and k < len(grid):
        k = min(k, int(foreground.sum()))
    order = top_k(mask_background(scores, foreground), k).tolist()
    return [ScoredBox(grid[index], float(scores[index]), rank) for rank, index in enumerate(order, start=1)]


def _in_volume(patch: ScoredBox, offset: Index, volume: Tensor) -> ScoredBox:
    """The patch without what lies in the padding."""
    box = patch.box.shifted(tuple(-front for front in offset)).intersection(whole(tuple(volume.shape[1:])))
    return ScoredBox(box, patch.score, patch.rank)


def _read(
    padded: Tensor,
    model: GlobalLocalModel,
    chosen: list[ScoredBox],
    inside: tuple[ScoredBox, ...],
    blend: Blend,
    logits: CoarseAndPatches,
    watcher: Watcher,
) -> int:
    """Read the patches in order; how many were read."""
    device = next(model.parameters()).device
    window = gaussian_window(model.patch_size)
    for count, (patch, seen) in enumerate(zip(chosen, inside), start=1):
        if watcher.should_stop():
            return count - 1
        blend.add(model.local(cut(padded, patch.box)[None].to(device))[0].float().cpu(), patch.box, window)
        watcher.refined(logits, seen.box, count, len(chosen))
    return len(chosen)
