"""Vision transformers as encoders: a dense one, and one that computes fewer and fewer tokens.

Shapes: B batch, n tokens of the patch (the class token is not among them), W width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib.geometry import Index
from EfficientSegLib.networks.tokens.embedding import Embedding
from EfficientSegLib.networks.tokens.encoding import Encoding, Parted, Tokens, take
from EfficientSegLib.networks.tokens.sampling import soft_mask, split, straight_through
from EfficientSegLib.networks.tokens.scores import ScoreHead
from EfficientSegLib.networks.tokens.transformer import Block, blocks, layer_norm


class Shape(NamedTuple):
    """What every encoder is made of."""

    in_channels: int
    width: int
    depth: int
    heads: int
    drop_path: float
    token_size: Index  # voxels
    grid: Index  # tokens along each axis


class Encoder(nn.Module):
    """All tokens in all blocks."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedding = Embedding(shape.in_channels, shape.width, shape.token_size, shape.grid)
        self.blocks = blocks(shape.width, shape.depth, shape.heads, shape.drop_path)
        self.norm = layer_norm(shape.width)

    def forward(self, patch: Tensor, read: Sequence[int] = ()) -> list[Tensor]:
        """Tokens (B, n, W) after each of the blocks `read`, counted from 0, and at last the normalised ones."""
        x, found = self.embedding(patch), []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in read:
                found.append(x[:, 1:])
        return [*found, self.norm(x)[:, 1:]]


class Pruned(NamedTuple):
    """What one pruning makes of the tokens behind a block."""

    front: Tensor  # tokens that are never dropped, (B, 1 or more, W): the class token first
    kept: Tokens
    dropped: Tokens


class LearnedPruning(nn.Module):
    """STP: the tokens of the best scores stay; in training of noisy scores, and the scores get gradients.

    In training a kept token is multiplied by its mask M and a dropped one by 1 - M: both are 1, and carry the gradient
    of the relaxed draw. In inference nothing is drawn and nothing multiplied.

    Source: STP + MTA + UNETR (arXiv 2303.06522), soft top-K token pruning.
    """

    def __init__(self, width: int, noise: bool) -> None:
        super().__init__()
        self.head = ScoreHead(width)
        self.noise = noise

    def forward(self, block: Block, x: Tensor, front: int, count: int) -> Pruned:
        """`x` (B, front + n, W) enters the block; `count` tokens stay. Places are those in `x` behind the front."""
        x = block(x)
        log_scores = functional.logsigmoid(self.head(x[:, front:])[..., 0])
        if not self.training:
            return pruned_by(log_scores, x, front, count)
        soft = soft_mask(log_scores, self.noise)
        _, (kept, stay), (dropped, leave) = pruned = pruned_by(soft.detach(), x, front, count)
        kept = kept * straight_through(soft.gather(1, stay), 1.0)[..., None].to(kept.dtype)
        dropped = dropped * straight_through(1 - soft.gather(1, leave), 1.0)[..., None].to(dropped.dtype)
        return Pruned(pruned.front, Tokens(kept, stay), Tokens(dropped, leave))


class AttendedPruning(nn.Module):
    """EViT: the tokens that the class token attends to most stay; the others are fused into one that goes on.

    The fused token is their mean weighted by that attention. It stays beside the class token and is never dropped; for
    completion the dropped tokens themselves serve, as those of STP, and at the end the fused ones are forgotten. EViT
    chooses inside the block, between attention and MLP; here it is behind the block, where STP chooses, so that the two
    differ in one thing.

    Source: EViT (arXiv 2202.07800), attentive tokens and fusion of the others.
    """

    def forward(self, block: Block, x: Tensor, front: int, count: int) -> Pruned:
        """As `LearnedPruning`."""
        x, attention = block.with_first(x)
        weights = attention[:, front:]
        pruned = pruned_by(weights.detach(), x, front, count)
        shares = weights.gather(1, pruned.dropped.places)
        shares = shares / shares.sum(1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
        fused = shares.to(x.dtype)[:, None] @ pruned.dropped.values
        return pruned._replace(front=torch.cat((pruned.front, fused), dim=1))


def pruned_by(scores: Tensor, x: Tensor, front: int, count: int) -> Pruned:
    """Of the tokens (B, front + n, W) those behind the front with the `count` highest scores (B, n) are kept."""
    kept, dropped = split(scores, count)
    tokens = x[:, front:]
    return Pruned(x[:, :front], Tokens(take(tokens, kept), kept), Tokens(take(tokens, dropped), dropped))


class SparseEncoder(Encoder):
    """Drops tokens behind some blocks; only those that are left are computed, in training as well."""

    def __init__(self, shape: Shape, prune_after: Sequence[int], prunings: Sequence[nn.Module], reads: bool) -> None:
        """
        Args:
            prune_after: blocks, counted from 1.
            prunings: one for each.
            reads: are the dropped tokens read by anybody? Then they get a norm of their own.
        """
        super().__init__(shape)
        self.prune_after = tuple(prune_after)
        self.prunings = nn.ModuleList(prunings)
        count = shape.grid[0] * shape.grid[1] * shape.grid[2]
        self.register_buffer("places", torch.arange(count), persistent=False)
        self.dropped_norms = nn.ModuleList(layer_norm(shape.width) if reads else nn.Identity() for _ in prune_after)

    def forward(self, patch: Tensor, counts: Sequence[int]) -> Encoding:
        """`counts`: tokens that stay at each pruning."""
        x, front, sets = self.embedding(patch), 1, []
        places = self.places.expand(len(x), -1)
        for number, block in enumerate(self.blocks, start=1):
            if number not in self.prune_after:
                x = block(x)
                continue
            stage = len(sets)
            pruned = self.prunings[stage](block, x, front, counts[stage])
            values = self.dropped_norms[stage](pruned.dropped.values)
            sets.append(Tokens(values, places.gather(1, pruned.dropped.places)))
            places, front = places.gather(1, pruned.kept.places), pruned.front.shape[1]
            x = torch.cat((pruned.front, pruned.kept.values), dim=1)
        x = self.norm(x)
        return Parted(x[:, :1], [*sets, Tokens(x[:, front:], places)])

    def taken_loss(self) -> Tensor | None:
        """What the choice adds to the loss of the last pass in training mode; the second time, None."""
        return None
