"""Differentiable choice of the k best of N.

Source: NMSW (arXiv 2501.10814), equations 2-4: Gumbel top-K without replacement (Xie and Ermon, 2019) with a
straight-through estimate whose hot entry is scaled by its soft value.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from EfficientSegLib.errors import OptionError

TINY = 1.18e-38  # smallest normal float32; its logarithm, -87.3, hides an entry and keeps gradients finite


@dataclass(frozen=True)
class Selection:
    """The k chosen entries, in the order of the draw."""

    indices: Tensor  # (k,), integers
    soft: Tensor  # (k, N), each row a distribution: the relaxed draw

    @property
    def scale(self) -> Tensor:
        """Factor for each chosen patch, (k,): forward its soft value s, backward (1 + s - sg(s)) s.

        It keeps, of the exact gradient over all N patches, the term of the chosen one; the others would need all N
        patches in memory (2.9 GB for 343 of 128^3).
        """
        hot = self.soft.gather(1, self.indices[:, None])[:, 0]
        return (1 + hot - hot.detach()) * hot


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
    uniform = torch.rand(scores.shape, generator=generator, device=scores.device, dtype=scores.dtype)
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
