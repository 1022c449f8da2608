"""A pre-norm vision transformer: attention, block, drop path. Shapes: B batch, N tokens, W width, h heads.

Source: ViT (arXiv 2010.11929) as STP + MTA + UNETR (arXiv 2303.06522) uses it: biases in queries, keys and values,
GELU, layer norms with 1e-6. Attention is torch's fused one: the table of all pairs (12 x 4097² numbers in a dense block
over 128³) is never written down.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-6


def layer_norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, NORM_EPS)


class Attention(nn.Module):
    """Every token attends to every token: (B, N, W) -> (B, N, W)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self._joined(functional.scaled_dot_product_attention(*self._parts(x)))

    def with_first(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The answer, and how much the first token attends to each: (B, N), mean over the heads, in float32."""
        queries, keys, values = self._parts(x)
        pairs = queries[:, :, :1].float() @ keys.float().transpose(2, 3) * queries.shape[-1] ** -0.5
        attended = functional.scaled_dot_product_attention(queries, keys, values)
        return self._joined(attended), pairs.softmax(3).mean(1)[:, 0]

    def masked(self, x: Tensor, visible: Tensor) -> Tensor:
        """Attention to what is `visible` only, 0 or 1 (B, N), through which gradients pass; each token sees itself.

        Not fused: the gradient with respect to a token that is not seen is no part of the fused kernels.

        Source: DynamicViT (arXiv 2106.02034), attention masking.
        """
        queries, keys, values = self._parts(x)
        pairs = (queries.float() @ keys.float().transpose(2, 3)) * queries.shape[-1] ** -0.5
        itself = torch.eye(x.shape[1], device=x.device)
        seen = visible[:, None] + (1 - visible[:, None]) * itself  # (B, N, N)
        # Below the highest pair that is seen: below the highest of all, those that are seen could all vanish. What is
        # not seen is cut at that height, or it could overflow; it counts only for the gradient of `visible`.
        highest = pairs.detach().masked_fill(seen.detach()[:, None] == 0, -torch.inf).amax(3, keepdim=True)
        weights = (pairs - highest).clamp(max=0).exp() * seen[:, None]
        weights = weights / weights.sum(3, keepdim=True)
        return self._joined(weights.to(values.dtype) @ values)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, h, N, W/h)."""
        return self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def _joined(self, attended: Tensor) -> Tensor:
        return self.proj(attended.transpose(1, 2).flatten(2))


class DropPath(nn.Module):
    """In training, leave out a branch of a sample with a probability, and enlarge it otherwise."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.probability:
            return x
        kept = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) >= self.probability
        return x * (kept.to(x.dtype) / (1 - self.probability))

    def extra_repr(self) -> str:
        return f"{self.probability:g}"


class Block(nn.Module):
    """Attention, then two layers for each token on its own, both beside a shortcut: (B, N, W) -> (B, N, W)."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = layer_norm(width), layer_norm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return self._after(x, self.attention(self.norm1(x)))

    def with_first(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Attention.with_first`."""
        attended, weights = self.attention.with_first(self.norm1(x))
        return self._after(x, attended), weights

    def masked(self, x: Tensor, visible: Tensor) -> Tensor:
        """See `Attention.masked`."""
        return self._after(x, self.attention.masked(self.norm1(x), visible))

    def _after(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.drop_path(attended)
        return x + self.drop_path(self.mlp(self.norm2(x)))


def blocks(width: int, depth: int, heads: int, drop_path: float) -> nn.ModuleList:
    """`depth` blocks; drop path grows linearly from 0 to `drop_path` at the last."""
    return nn.ModuleList(Block(width, heads, drop_path * number / max(depth - 1, 1)) for number in range(depth))


def initialise(module: nn.Module) -> None:
    """Small random weights for the linear layers, as vision transformers start."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
