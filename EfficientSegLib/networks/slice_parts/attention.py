"""Attention over channels and places: gates between 0 and 1 that keep the shape (B, C, H, W)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """One gate per channel, from the channels' means. Source: arXiv 1709.01507."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // _REDUCTION, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)[:, :, None, None]


class CBAM(nn.Module):
    """One gate per channel from its mean and maximum, then one per pixel from those over channels.

    Source: arXiv 1807.06521.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // _REDUCTION, 1)
        self.channel_gate = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )
        self.pixel_gate = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean, largest = functional.adaptive_avg_pool2d(x, 1), x.amax((2, 3), keepdim=True)
        x = x * (self.channel_gate(mean) + self.channel_gate(largest)).sigmoid()
        over_channels = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), dim=1)  # (B, 2, H, W)
        return x * self.pixel_gate(over_channels).sigmoid()
