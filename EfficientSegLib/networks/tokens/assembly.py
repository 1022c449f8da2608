"""From tokens of several depths back to one for every place: completion.

Source: STP + MTA + UNETR (arXiv 2303.06522), multi-layer token assembly (MTA). Its paper has a learned
token for each pruned layer; its code, which is followed, has one for the survivors too.
"""

import torch
from torch import Tensor, nn

from EfficientSegLib.geometry import Index
from EfficientSegLib.networks.tokens.embedding import fixed_positions
from EfficientSegLib.networks.tokens.encoding import Encoding
from EfficientSegLib.networks.tokens.transformer import Block, layer_norm


class Completion(nn.Module):
    """Encoding -> a token for every place, (B, n, W): all in their places, one transformer block, one linear layer.

    The fixed positions are calculated, not learned: they are no parameters and in no state dictionary.
    """

    def __init__(self, width: int, heads: int, grid: Index) -> None:
        super().__init__()
        self.register_buffer("positions", fixed_positions(grid, width), persistent=False)
        self.block = Block(width, heads)
        self.norm = layer_norm(width)
        self.out = nn.Linear(width, width)

    def assemble(self, encoding: Encoding) -> Tensor:
        """The class token and all others in raster order, (B, 1 + n, W)."""
        raise NotImplementedError

    def forward(self, encoding: Encoding) -> Tensor:
        x = self.block(self.assemble(encoding) + self.positions)
        return self.out(self.norm(x))[:, 1:]


class MultiLayerAssembly(Completion):
    """MTA: every token as it was when it was dropped, through a linear layer of its depth, marked with its depth."""

    def __init__(self, width: int, heads: int, grid: Index, stages: int) -> None:
        super().__init__(width, heads, grid)
        self.inputs = nn.ModuleList(nn.Linear(width, width) for _ in range(stages + 1))
        self.depth_tokens = nn.Parameter(torch.empty(stages + 1, width))
        nn.init.normal_(self.depth_tokens, std=0.02)

    def assemble(self, encoding: Encoding) -> Tensor:
        made = [read(values) + token for read, token, values in zip(self.inputs, self.depth_tokens, encoding.values)]
        first = self.inputs[-1](encoding.first) + self.depth_tokens[-1]
        return torch.cat((first, encoding.joined(made)), dim=1)


class MaskTokens(Completion):
    """As masked image modelling completes: survivors in their places, one learned token in all others.

    One block as in MTA, where MAE has a decoder of eight, so that the two differ in one thing: what stands in the
    places of the dropped.

    Source: MAE (arXiv 2111.06377), its decoder, as STP + MTA + UNETR compares with it.
    """

    def __init__(self, width: int, heads: int, grid: Index) -> None:
        super().__init__(width, heads, grid)
        self.input = nn.Linear(width, width)
        self.mask = nn.Parameter(torch.empty(width))
        nn.init.normal_(self.mask, std=0.02)

    def assemble(self, encoding: Encoding) -> Tensor:
        kept = self.input(encoding.values[-1])
        return torch.cat((self.input(encoding.first), encoding.filled(kept, self.mask)), dim=1)
