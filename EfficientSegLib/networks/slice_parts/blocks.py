"""Convolutional blocks of SegMate. Shapes: B batch, S slices of a stack, C channels, H W pixels."""

import torch
from torch import Tensor, nn

_DILATIONS = (6, 12, 18)
_FUSION_CHANNELS = 16


class ConvNormReLU(nn.Sequential):
    """Convolution without bias that keeps the size, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, size: int, dilation: int = 1) -> None:
        padding = dilation * (size // 2)
        super().__init__(
            nn.Conv2d(in_channels, out_channels, size, padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class SliceFusion(nn.Sequential):
    """Neighbouring slices (B, S, H, W) -> one image (B, 1, H, W) for a 2D encoder."""

    def __init__(self, slices: int) -> None:
        super().__init__(
            nn.Conv2d(slices, _FUSION_CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(_FUSION_CHANNELS),
            nn.SiLU(),
            nn.Conv2d(_FUSION_CHANNELS, 1, 1),
        )


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the same map seen at four reaches. (B, C, h, w) -> (B, out_channels, h, w).

    Source: DeepLab v3 (arXiv 1706.05587), without its image-level branch.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, out_channels, 1),
                *(ConvNormReLU(in_channels, out_channels, 3, dilation) for dilation in _DILATIONS),
            ]
        )
        self.join = ConvNormReLU(out_channels * len(self.branches), out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([branch(x) for branch in self.branches], dim=1))


class DecoderBlock(nn.Module):
    """Two convolutions and `attention` beside a shortcut: (B, in_channels, H, W) -> (B, out_channels, H, W)."""

    fresh = ("activation",)  # for networks.inference: it reads a sum that nobody else reads

    def __init__(self, in_channels: int, out_channels: int, attention: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNormReLU(in_channels, out_channels, 3),
            nn.Dropout2d(0.1),
            ConvNormReLU(out_channels, out_channels, 3),
            attention,
        )
        if in_channels == out_channels:
            self.shortcut = nn.Identity()
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))
