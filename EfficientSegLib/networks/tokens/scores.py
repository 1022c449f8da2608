"""What a token is worth, said by a small network that sees the token and the mean of all.

Source: STP + MTA + UNETR (arXiv 2303.06522), equation 1; its code, which is followed, splits the first layer's channels
into the token's own and those that are averaged, where the paper joins the token itself with the average. The same head
is DynamicViT's prediction module (arXiv 2106.02034).

Scores are float32, and calculated in it, whatever the precision around them: half precision gives hundreds of tokens
the same score.
"""

import torch
from torch import Tensor, nn

from EfficientSegLib.networks.tokens.transformer import layer_norm


class ScoreHead(nn.Module):
    """Tokens (B, n, W), without the class token -> numbers (B, n, outputs), float32, before any sigmoid."""

    in_float32 = True  # for networks.inference

    def __init__(self, width: int, outputs: int = 1) -> None:
        super().__init__()
        self.read = nn.Sequential(layer_norm(width), nn.Linear(width, width), nn.GELU())
        self.judge = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.GELU(),
            nn.Linear(width // 2, width // 4),
            nn.GELU(),
            nn.Linear(width // 4, outputs),
        )

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        """`present`: weight of each token in the mean, (B, n); None is one each."""
        kind = tokens.device.type if tokens.device.type in ("cpu", "cuda") else "cpu"  # others may know no autocast
        with torch.autocast(kind, enabled=False):
            own, shared = self.read(tokens.float()).chunk(2, dim=2)
            if present is None:
                mean = shared.mean(1, keepdim=True)
            else:
                weights = present[..., None].float()
                mean = (shared * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1)
            return self.judge(torch.cat((own, mean.expand_as(own)), dim=2))
