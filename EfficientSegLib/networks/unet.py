"""The 3D U-Net of NMSW ("FasterUNet"): its first convolution already halves the resolution.

Source: NMSW (arXiv 2501.10814), section 4. The paper speaks of trilinear up-sampling and of plain levels; its parameter
and operation counts are only reproduced by transposed convolutions and residual encoder levels, which are used here.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index


@dataclass(frozen=True)
class Options:
    """Width and depth; the defaults are the paper's 26.5 M parameters."""

    channels: tuple[int, ...] = (32, 64, 128, 256, 320, 320)  # of each encoder level; cost grows with the square
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 1)  # of each level's first convolution; the last must be 1

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.strides) or len(self.channels) < 3:
            raise OptionError(
                f"The U-Net has {len(self.channels)} channels and {len(self.strides)} strides.",
                why="Each of its three or more levels has one of both.",
                mend="Give two lists of the same length.",
            )
        if min(self.channels) < 1 or min(self.strides) < 1 or self.strides[-1] != 1:
            raise OptionError(
                f"The U-Net has channels {self.channels} and strides {self.strides}.",
                why="Both are positive, and the last level keeps the resolution of the one before.",
                mend="Let strides end with 1.",
            )

    @property
    def size_multiple(self) -> Index:
        """Every axis of a volume is a multiple of this."""
        return (prod(self.strides),) * 3


class ConvBlock(nn.Sequential):
    """Convolution, instance normalisation, PReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out_channels, 3, stride, 1),
            nn.InstanceNorm3d(out_channels),
            nn.PReLU(),
        )


class Level(nn.Module):
    """Two convolution blocks beside a shortcut, which is itself a convolution where the resolution changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(ConvBlock(in_channels, out_channels, stride), ConvBlock(out_channels, out_channels))
        keeps_shape = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if keeps_shape else nn.Conv3d(in_channels, out_channels, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x) + self.shortcut(x)


class UpBlock(nn.Sequential):
    """Transposed convolution by `stride`, instance normalisation, PReLU, then `last`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, last: nn.Module) -> None:
        super().__init__(
            nn.ConvTranspose3d(in_channels, out_channels, 3, stride, 1, output_padding=stride - 1),
            nn.InstanceNorm3d(out_channels),
            nn.PReLU(),
            last,
        )


class UNet(nn.Module):
    """Logits at the resolution of the input; see `features_and_logits` for what NMSW's score head reads."""

    def __init__(self, options: Options, in_channels: int, num_labels: int) -> None:
        super().__init__()
        channels, strides = options.channels, options.strides
        sources = (in_channels, *channels[:-1])
        self.encoder = nn.ModuleList(
            Level(source, width, stride) for source, width, stride in zip(sources, channels, strides, strict=True)
        )
        decoder = []
        current = channels[-1]
        for level in range(len(channels) - 2, -1, -1):
            width = channels[level - 1] if level else num_labels
            last = ConvBlock(width, width) if level else nn.Conv3d(width, width, 3, padding=1)
            decoder.append(UpBlock(current + channels[level], width, strides[level], last))
            current = width
        self.decoder = nn.ModuleList(decoder)
        self.num_labels = num_labels
        self.size_multiple = options.size_multiple
        self.feature_channels = channels[0]  # of features_and_logits
        self.feature_stride = strides[0]

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features before the last decoder stage (B, channels[0], I/s, J/s, K/s) and logits (B, L, I, J, K)."""
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        x = skips.pop()
        for stage in self.decoder[:-1]:
            x = stage(torch.cat((x, skips.pop()), dim=1))
        return x, self.decoder[-1](torch.cat((x, skips.pop()), dim=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.features_and_logits(x)[1]


def build(options: Options, in_channels: int, num_labels: int) -> UNet:
    return UNet(options, in_channels, num_labels)
