"""Soft mixture of experts with dynamic slots: a feed-forward layer whose experts each read mixtures of all tokens.

Every token sends a share of itself to every slot (dispatch), each expert works on its own slots, and every token takes
back a share of every slot's answer (combine). Nothing is chosen and nothing is dropped. The slots are made from the
tokens, so that the layer fits any number of them. Letters: B batch, m tokens, C channels, E experts, s slots of each.

The table of all shares has m x E s entries, 4.3 GB at 32 x 32 x 32 tokens, and is never made: both products are
attention with scale 1, for which torch has kernels that keep one strip of the table at a time, forward and backward.

Source: Swin SMT (arXiv 2407.07514), section 2, and Soft MoE (Puigcerver et al., arXiv 2308.00951), section 2. The first
paper's equations 2 to 4 have a learned table of slots, which would fix the size of the patch; the published
parameter counts (table 2) are those of slots made from the tokens, which is what this file does.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class SoftMoE(nn.Module):
    """(B, ..., C) -> (B, ..., C): all axes between are one row of tokens, in raster order; samples stay apart.

    Args:
        channels: C.
        experts: E, 1 or more; parameters grow with it, arithmetic does not.
        slot_divisor: t. 1 is the paper's, about as many slots as tokens; t > 1 makes t times fewer, and divides by t
            what the products between tokens and slots cost. Another network, not an approximation of the same.
        ratio: width of an expert's hidden layer, in C.
    """

    def __init__(self, channels: int, experts: int, slot_divisor: int = 1, ratio: int = 4) -> None:
        super().__init__()
        self.group = experts * slot_divisor  # consecutive tokens that make one slot of every expert
        self.norm = RMSNorm(channels)
        self.to_slots = nn.Linear(channels, experts * channels, bias=False)
        self.slot_norm = RMSNorm(channels)
        self.experts = nn.ModuleList(Expert(channels, ratio) for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        slots = self.slots(tokens)
        mixtures = attend(slots, tokens, tokens)  # dispatch: softmax over the tokens
        return attend(tokens, slots, self.answers(mixtures)).reshape(x.shape)  # combine: softmax over the slots

    def tokens(self, x: Tensor) -> Tensor:
        """Normalised tokens (B, m, C)."""
        return self.norm(x.flatten(1, -2))

    def slots(self, tokens: Tensor) -> Tensor:
        """What each slot looks for, (B, E s, C), one expert's s slots after the other's; s is m / (E t), rounded up.

        Since it is rounded up, every slot is made from one token or more whatever m is: none is ever empty.
        """
        means = group_means(tokens, self.group)  # (B, s, C)
        wanted = self.to_slots(means).unflatten(-1, (len(self.experts), -1))  # (B, s, E, C)
        return self.slot_norm(wanted.transpose(1, 2)).flatten(1, 2)

    def answers(self, mixtures: Tensor) -> Tensor:
        """Each expert's answer to its own slots, (B, E s, C) -> the same."""
        shares = mixtures.chunk(len(self.experts), dim=1)
        return torch.cat([expert(share) for expert, share in zip(self.experts, shares, strict=True)], dim=1)


class Expert(nn.Sequential):
    """An ordinary feed-forward layer."""

    fresh = ("1",)  # for networks.inference: its activation reads what the first layer made for it alone

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__(nn.Linear(channels, ratio * channels), nn.GELU(), nn.Linear(ratio * channels, channels))


class RMSNorm(nn.Module):
    """Each token divided by the root mean square of its channels, times one learned number per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        # In float32 or better: shares are exponentials of products of two such tokens.
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return functional.normalize(x, dim=-1) * (self.weight * math.sqrt(x.shape[-1]))


def group_means(tokens: Tensor, group: int) -> Tensor:
    """Means of every `group` consecutive tokens, (B, m, C) -> (B, m / group, C); of a last, smaller group its own."""
    whole = tokens.shape[1] // group * group
    means = tokens[:, :whole].unflatten(1, (whole // group, group)).mean(2)
    if whole == tokens.shape[1]:
        return means
    return torch.cat([means, tokens[:, whole:].mean(1, keepdim=True)], dim=1)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(queries keysᵀ) values without the table of all pairs: (B, n, C), (B, m, C), (B, m, C) -> (B, n, C)."""
    shares = _shares(queries)
    heads = (queries.unflatten(1, (shares, -1)), *(x.unsqueeze(1).expand(-1, shares, -1, -1) for x in (keys, values)))
    return functional.scaled_dot_product_attention(*heads, scale=1.0).flatten(1, 2)


def _shares(queries: Tensor) -> int:
    """Into how many heads the queries are dealt out. They do not see each other, so that nothing changes.

    On CPUs the way back is computed by one thread per head: with a single one all other threads would wait.
    """
    if queries.device.type != "cpu" or not torch.is_grad_enabled():
        return 1
    return max(n for n in range(1, torch.get_num_threads() + 1) if queries.shape[1] % n == 0)
