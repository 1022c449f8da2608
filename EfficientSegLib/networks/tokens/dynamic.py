"""DynamicViT: every token decides for itself whether it stays, and in training all of them are computed.

How many stay is only asked for, by a loss; so a batch cannot be cut to one length, and training hides dropped tokens
from attention where it would leave them out. It costs what the dense network costs, and more: that attention is not
fused. In inference the K tokens that most probably stay do, and only these are computed.

Source: DynamicViT (arXiv 2106.02034): keep or drop by Gumbel-softmax, attention masking, ratio
loss with weight 2. Decided here: no distillation from a dense teacher; dropped tokens are completed as STP's are,
with the values that they had when they were dropped; the ratios asked for are those of the K in inference.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib.networks.tokens.encoder import Pruned, SparseEncoder, pruned_by
from EfficientSegLib.networks.tokens.encoding import Encoding, Shared
from EfficientSegLib.networks.tokens.sampling import gumbel, straight_through
from EfficientSegLib.networks.tokens.scores import ScoreHead
from EfficientSegLib.networks.tokens.transformer import Block

RATIO_WEIGHT = 2.0  # of the ratio loss beside the others


class KeepOrDrop(nn.Module):
    """Probabilities that a token stays or goes; in inference the most probable ones stay."""

    def __init__(self, width: int, noise: bool) -> None:
        super().__init__()
        self.head = ScoreHead(width, outputs=2)
        self.noise = noise

    def forward(self, block: Block, x: Tensor, front: int, count: int) -> Pruned:
        """As `encoder.LearnedPruning` in inference."""
        x = block(x)
        return pruned_by(self.head(x[:, front:]).log_softmax(2)[..., 0], x, front, count)

    def drawn(self, tokens: Tensor, present: Tensor) -> Tensor:
        """1 for tokens (B, n, W) that stay and 0 for the others, (B, n), with the gradient of the relaxed draw.

        `present` (B, n) is 0 for those that have gone already: they do not count in the mean.
        """
        logits = self.head(tokens, present).log_softmax(2)
        soft = functional.softmax(logits + gumbel(logits) if self.noise else logits, dim=2)[..., 0]
        return straight_through(soft, (soft.detach() >= 0.5).to(soft.dtype))


class DynamicEncoder(SparseEncoder):
    """Its prunings are `KeepOrDrop`."""

    _ratio_loss: Tensor | None = None  # of the last pass in training

    def forward(self, patch: Tensor, counts: Sequence[int]) -> Encoding:
        """As `SparseEncoder`; in training `counts` are only asked for."""
        if not self.training:
            return super().forward(patch, counts)
        x, values, shares, kept = self.embedding(patch), [], [], []
        present = None  # all
        for number, block in enumerate(self.blocks, start=1):
            x = block(x) if present is None else block.masked(x, functional.pad(present, (1, 0), value=1.0))
            if number in self.prune_after:
                stage = len(values)
                before = torch.ones_like(x[:, 1:, 0], dtype=torch.float32) if present is None else present
                stays = self.prunings[stage].drawn(x[:, 1:], before)
                values.append(self.dropped_norms[stage](x[:, 1:]))
                shares.append(before * (1 - stays))
                present = before * stays
                kept.append(present.mean(1))
        x = self.norm(x)
        wanted = torch.tensor(counts, device=x.device) / (x.shape[1] - 1)
        self._ratio_loss = RATIO_WEIGHT * (torch.stack(kept, dim=1) - wanted).square().mean()
        return Shared(x[:, :1], [*values, x[:, 1:]], [*shares, present])

    def taken_loss(self) -> Tensor | None:
        taken, self._ratio_loss = self._ratio_loss, None  # it holds on to all that the pass has made
        return taken
