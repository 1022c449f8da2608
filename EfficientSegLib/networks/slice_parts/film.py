"""Where in the scan a slice lies, told to a network by feature-wise linear modulation (FiLM, arXiv 1709.07871)."""

from torch import Tensor, nn

_HIDDEN = 128
_DROPOUT = 0.1


class SlicePosition(nn.Module):
    """Scale and shift every channel by what the position says: y = gamma x + beta.

    At first gamma is 1 and beta 0 up to a noise of .01, so that the network begins as one without positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Dropout(_DROPOUT),
            nn.Linear(1, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(_DROPOUT),
        )
        self.gamma, self.beta = nn.Linear(_HIDDEN, channels), nn.Linear(_HIDDEN, channels)
        for layer, start in ((self.gamma, 1.0), (self.beta, 0.0)):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, start)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """x (B, C, h, w); position (B,), 0 at the scan's first slice and 1 at its last."""
        told = self.trunk(position.to(self.gamma.bias)[:, None])  # (B, 128)
        return self.gamma(told)[:, :, None, None] * x + self.beta(told)[:, :, None, None]
