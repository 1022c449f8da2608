"""From voxels to tokens, and where in the patch a token lies."""

import torch
from torch import Tensor, nn

from EfficientSegLib.geometry import Index

SLOWEST = 10_000  # the longest wave of the fixed positions is this many times the shortest


class Embedding(nn.Module):
    """Patches (B, C, I, J, K) -> tokens (B, 1 + n, W): the class token, then n in raster order, last axis fastest.

    Each token gets its learned position, which fixes the size of the patch.
    """

    def __init__(self, in_channels: int, width: int, token_size: Index, grid: Index) -> None:
        super().__init__()
        count = grid[0] * grid[1] * grid[2]
        self.projection = nn.Conv3d(in_channels, width, token_size, token_size)
        self.first = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + count, width))
        nn.init.trunc_normal_(self.first, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, patch: Tensor) -> Tensor:
        tokens = self.projection(patch).flatten(2).transpose(1, 2)  # (B, n, W)
        return torch.cat((self.first.to(tokens.dtype).expand(len(tokens), -1, -1), tokens), dim=1) + self.positions


def fixed_positions(grid: Index, width: int) -> Tensor:
    """Sines and cosines of the place of each token, (1 + n, W), float32; zeros for the class token.

    With W = 6 m channels: [sin x, cos x, sin y, cos y, sin z, cos z], m each, of frequencies 10000^(-k/m); x is the
    first, slowest axis; coordinates are token numbers.

    Source: STP + MTA + UNETR, its published code, after "Attention is all you need" (arXiv 1706.03762).
    """
    per_axis = width // 6
    frequencies = SLOWEST ** (-torch.arange(per_axis, dtype=torch.float64) / per_axis)
    places = torch.meshgrid(*(torch.arange(length, dtype=torch.float64) for length in grid), indexing="ij")
    angles = [place.reshape(-1, 1) * frequencies for place in places]
    waves = torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
    return torch.cat((torch.zeros(1, width, dtype=torch.float64), waves)).float()


def as_volume(tokens: Tensor, grid: Index) -> Tensor:
    """Tokens (B, n, W) in raster order -> (B, W, *grid), channels last without a copy."""
    return tokens.unflatten(1, tuple(grid)).permute(0, 4, 1, 2, 3)
