"""How many tokens stay, and which: top-K, in training of noisy scores through which gradients pass.

Source: STP + MTA + UNETR (arXiv 2303.06522): soft top-K token pruning.
"""

import torch
from torch import Tensor
from torch.nn import functional

from EfficientSegLib.errors import OptionError


def keep_counts(tokens: int, prune_ratio: float, stages: int) -> tuple[int, ...]:
    """Tokens left after each of `stages` prunings: K = int(n (1 - r)), calculated in binary floating point.

    So n (1 - r) that is a whole number on paper can be one less: 1000 tokens and r = 0.9 leave 99.

    Raises:
        OptionError: the ratio does not lie between 0 and 1, or leaves no token.
    """
    if not 0 < prune_ratio < 1:
        raise OptionError(
            f"prune_ratio is {prune_ratio}.",
            why="It is the share of the tokens that each pruning drops: above 0 and below 1.",
            mend="Use 0.25 to 0.9, or selection 'none' to drop none.",
        )
    counts = _counts(tokens, prune_ratio, stages)
    if counts and counts[-1] < 1:
        fitting = [number / 100 for number in range(1, 100) if _counts(tokens, number / 100, stages)[-1] > 0]
        raise OptionError(
            f"prune_ratio is {prune_ratio}: of {tokens} tokens none would be left after {stages} prunings.",
            why=f"That ratio needs {smallest_count(prune_ratio, stages)} tokens or more.",
            mend=(f"Use {fitting[-1]} or less, or" if fitting else "Use") + " a larger patch_size: it has more tokens.",
        )
    return counts


def _counts(tokens: int, prune_ratio: float, stages: int) -> tuple[int, ...]:
    counts = []
    for _ in range(stages):
        tokens = int(tokens * (1 - prune_ratio))
        counts.append(tokens)
    return tuple(counts)


def smallest_count(prune_ratio: float, stages: int) -> int:
    """The fewest tokens of which one is left after `stages` prunings."""
    count = 1
    for _ in range(stages):
        before = max(int(count / (1 - prune_ratio)) - 1, 1)
        while int(before * (1 - prune_ratio)) < count:
            before += 1
        count = before
    return count


def split(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Places of the `count` highest of (B, n) scores and of the others, (B, count) and (B, n - count), ascending.

    Of equal scores the first ones stay, on every machine.
    """
    order = scores.sort(dim=1, descending=True, stable=True).indices
    return order[:, :count].sort(1).values, order[:, count:].sort(1).values


def gumbel(like: Tensor) -> Tensor:
    """Gumbel noise from torch's generator of that device, which the training loop seeds at each step; infinity is 0."""
    noise = -torch.empty_like(like).exponential_().log()
    return noise.masked_fill(noise.isinf(), 0)


def soft_mask(log_scores: Tensor, noise: bool, temperature: float = 1.0) -> Tensor:
    """The relaxed draw y (B, n), rows that sum to 1."""
    perturbed = log_scores + gumbel(log_scores) if noise else log_scores
    return functional.softmax(perturbed / temperature, dim=1)


def straight_through(soft: Tensor, hard: Tensor | float) -> Tensor:
    """The value of `hard`, exactly, with the gradient of `soft`."""
    return hard + (soft - soft.detach())
