"""A small encoder of our own for processors: inverted residuals in plain torch, no other package needed.

As in EfficientNetV2 (arXiv 2104.00298), the fine levels use whole 3 x 3 convolutions, which processors do at full
speed, and the coarse ones depthwise convolutions, which save parameters where channels are many.
"""

from torch import Tensor, nn

CHANNELS = (24, 40, 80, 160)  # at strides 4, 8, 16, 32
_DEPTHS = (2, 2, 3, 3)  # blocks per level
_STEM = 16
_EXPANSION = 4


class LightEncoder(nn.Module):
    """(B, 1, H, W) -> four maps (B, C, H/s, W/s) at strides s = 4, 8, 16, 32."""

    channels = CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(1, _STEM, 3, stride=2), nn.ReLU())
        levels = []
        current = _STEM
        for number, (width, depth) in enumerate(zip(CHANNELS, _DEPTHS, strict=True)):
            fused = number < 2
            blocks = [InvertedResidual(current, width, 2, fused)]
            blocks += [InvertedResidual(width, width, 1, fused) for _ in range(depth - 1)]
            levels.append(nn.Sequential(*blocks))
            current = width
        self.levels = nn.ModuleList(levels)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)  # (B, 16, H/2, W/2)
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps


class InvertedResidual(nn.Module):
    """Widen, look around, narrow; beside a shortcut where the shape stays. Fused: widen and look around at once."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, fused: bool) -> None:
        super().__init__()
        wide = in_channels * _EXPANSION
        if fused:
            looking = [*_convolution(in_channels, wide, 3, stride), nn.ReLU()]
        else:
            looking = [*_convolution(in_channels, wide, 1), nn.ReLU()]
            looking += [*_convolution(wide, wide, 3, stride, groups=wide), nn.ReLU()]
        self.block = nn.Sequential(*looking, *_convolution(wide, out_channels, 1))
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.has_shortcut else self.block(x)


def _convolution(in_channels: int, out_channels: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]


def build() -> LightEncoder:
    return LightEncoder()
