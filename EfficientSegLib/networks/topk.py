"""Differentiable choice of the k best of N.

Source: NMSW (arXiv 2501.10814), equations 2-4: Gumbel top-K without replacement (Xie and Ermon, 2019) with a
straight-through estimate whose hot entry is scaled by its soft value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox

AT_ONCE = 2**18  # voxels of candidates copied at one time by the exact gradient: they stay in the cache; or one patch
TINY = 1.18e-38  # smallest normal float32; its logarithm, -87.3, hides an entry and keeps gradients finite


@dataclass(frozen=True)
class Selection:
    """The k chosen entries, in the order of the draw."""

    indices: Tensor  # (k,), integers
    soft: Tensor  # (k, N), each row a distribution: the relaxed draw

    @property
    def hot(self) -> Tensor:
        """The soft value s of each chosen entry, (k,), in (0, 1]."""
        return self.soft.gather(1, self.indices[:, None])[:, 0]

    @property
    def scale(self) -> Tensor:
        """Factor for each chosen patch, (k,): forward s, backward (1 + s - sg(s)) s, see `chosen_patches`."""
        return (1 + self.hot - self.hot.detach()) * self.hot

    def kept(self, rows: Sequence[int]) -> "Selection":
        """Only some of the draws, by their place in the order."""
        return Selection(self.indices[list(rows)], self.soft[list(rows)])


def chosen_patches(
    volume: Tensor, grid: Sequence[PatchBox], selection: Selection, gradient: Literal["exact", "chosen"] = "exact"
) -> Tensor:
    """The chosen patches, each times its soft value: what the local network reads in training.

    The paper's patch is the sum of z_n s_n X_n over all candidates n, with s the relaxed draw and
    z = onehot - sg(s) + s. Forward z is the one-hot vector, so only the chosen patch is left, times its s. Backward the
    product rule over both factors gives, with G the gradient of the patch,

        dL/ds_n = (z_n + s_n dz_n/ds_n) <G, X_n> = (onehot_n + s_n) <G, X_n>     for every n, chosen or not,
        dL/dX_n = z_n s_n G, which is 0 but for the chosen patch.

    Args:
        volume: (C, I, J, K).
        grid: the N candidates, all of one size.
        selection: k draws from them.
        gradient: "exact" is the above; it reads all N patches for their inner products, a few at a time, where
            the sum as it is written would hold all of them (2.9 GB for 343 of 128^3). "chosen" keeps of it only the
            term of the chosen patch, which costs nothing, but never tells an unread patch that it would have been
            better or worse.

    Returns:
        Patches (k, C, *patch).

    Source: NMSW, equations 2-4; own derivation of the gradient.
    """
    if gradient == "exact":
        return _ScaledPatches.apply(volume, selection.soft, selection.indices, tuple(grid))
    patches = torch.stack([_cut(volume, grid[index]) for index in selection.indices.tolist()])
    return patches * selection.scale[:, None, None, None, None]


class _ScaledPatches(torch.autograd.Function):
    """Patches (k, C, *patch) from a volume and k relaxed draws over the grid; see `chosen_patches`."""

    @staticmethod
    def forward(ctx: Any, volume: Tensor, soft: Tensor, indices: Tensor, grid: tuple[PatchBox, ...]) -> Tensor:
        ctx.save_for_backward(volume, soft, indices)
        ctx.grid = grid
        hot = soft.gather(1, indices[:, None])
        patches = torch.stack([_cut(volume, grid[index]) for index in indices.tolist()])
        return patches * hot[:, :, None, None, None].to(volume.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        volume, soft, indices = ctx.saved_tensors
        of_volume = of_soft = None
        if ctx.needs_input_grad[0]:
            of_volume = torch.zeros_like(volume)
            for number, index in enumerate(indices.tolist()):
                _cut(of_volume, ctx.grid[index]).add_(gradient[number] * soft[number, index].to(volume.dtype))
        if ctx.needs_input_grad[1]:
            factor = soft.scatter_add(1, indices[:, None], torch.ones_like(soft[:, :1]))
            of_soft = factor * _inner_products(gradient, volume, ctx.grid).to(soft.dtype)
        return of_volume, of_soft, None, None


def _inner_products(patches: Tensor, volume: Tensor, grid: Sequence[PatchBox]) -> Tensor:
    """Each of (k, C, *patch) with each of N candidates of a volume (C, I, J, K): (k, N)."""
    flat = patches.reshape(len(patches), -1)
    at_once = max(AT_ONCE // flat.shape[1], 1)
    columns = []
    for first in range(0, len(grid), at_once):
        candidates = torch.stack([_cut(volume, box) for box in grid[first : first + at_once]])
        columns.append(flat @ candidates.reshape(len(candidates), -1).to(flat.dtype).T)
    return torch.cat(columns, dim=1)


def _cut(volume: Tensor, box: PatchBox) -> Tensor:
    return volume[(slice(None), *box.slices())]


def mask_background(scores: Tensor, foreground: Tensor) -> Tensor:
    """Scores (N,) of patches without foreground, moved behind all others, in the same order among themselves.

    Source: NMSW, section 3.2 (log-mask of the background).
    """
    return scores + torch.log(torch.clamp(foreground.to(scores.dtype), min=TINY))


def check_count(k: int, available: int) -> None:
    """Raises OptionError unless 0 <= k <= available."""
    if not 0 <= k <= available:
        raise OptionError(
            f"top_k is {k}.",
            why=f"This volume has {available} candidate patches.",
            mend=f"Choose a number from 0 (coarse only) to {available} (all).",
        )


def top_k(scores: Tensor, k: int) -> Tensor:
    """Indices of the k largest of (N,) scores, best first; ties by index, so the first k of k + 1 are those of k."""
    check_count(k, scores.numel())
    return torch.sort(scores, descending=True, stable=True).indices[:k]


def sample_without_replacement(
    scores: Tensor, k: int, temperature: float, generator: torch.Generator | None = None
) -> Selection:
    """Draw k of N patches for training.

    Args:
        scores: log-weights of the patches, (N,); background is masked already.
        k: number of draws, at most N.
        temperature: of the relaxation; lower is harder. Positive.
        generator: source of the Gumbel noise.

    Raises:
        OptionError: k is out of range or the temperature is not positive.

    Source: NMSW, equations 2-4.
    """
    check_count(k, scores.numel())
    if temperature <= 0:
        raise OptionError(f"temperature is {temperature}.", why="It divides the scores.", mend="Use 2 down to 0.33.")
    device = scores.device if generator is None else generator.device  # one source of draws for every device
    uniform = torch.rand(scores.shape, generator=generator, device=device, dtype=scores.dtype).to(scores.device)
    perturbed = scores - torch.log(-torch.log(uniform.clamp(min=TINY, max=1 - 1e-7)))
    indices, soft = [], []
    for _ in range(k):
        relaxed = torch.softmax(perturbed / temperature, dim=0)
        chosen = _best_of_the_rest(perturbed, indices)
        indices.append(chosen)
        soft.append(relaxed)
        hidden = torch.zeros_like(perturbed)
        hidden[chosen] = torch.log(torch.tensor(TINY, dtype=scores.dtype))
        perturbed = perturbed + hidden
    if not k:
        return Selection(torch.empty(0, dtype=torch.long, device=scores.device), scores.new_empty(0, scores.numel()))
    return Selection(torch.stack(indices), torch.stack(soft))


def _best_of_the_rest(perturbed: Tensor, taken: list[Tensor]) -> Tensor:
    """Hidden entries are only 87 lower, so a strongly masked background could be drawn twice: exclude exactly."""
    rest = perturbed.detach().clone()
    for index in taken:
        rest[index] = -torch.inf
    return rest.argmax()
