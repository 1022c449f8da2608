"""The plain network that SegMate is compared with: a symmetric 2D U-Net on the same encoder, one slice at a time.

Source: the "vanilla" rows of SegMate (arXiv 2602.23903), which the paper does not describe. The form is that of the
U-Net baseline in its published code, whose parameters and operations are the published ones (the files named vanilla
there are another network): each level is enlarged bilinearly, joined with the encoder's map and convolved twice in that
map's channels; the finest level is enlarged to the input's full size and convolved there once more, which is most of
the decoder's cost.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib.networks import encoders
from EfficientSegLib.networks.heads import Heads
from EfficientSegLib.networks.slice_parts.blocks import ConvNormReLU
from EfficientSegLib.networks.slice_parts.sizes import SIZE_MULTIPLE, check_channels, check_stack


@dataclass(frozen=True)
class Options:
    """Which encoder; the rest follows from its channels."""

    encoder: str = "efficientnetv2"  # a key of `networks.encoders.ENCODERS`

    def __post_init__(self) -> None:
        encoders.check(self.encoder)


class VanillaUNet(nn.Module):
    """Meets the contract `SliceModel`; it sees no neighbours, no position, and has one head."""

    size_multiple = SIZE_MULTIPLE
    slices = 1

    def __init__(self, options: Options, num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        self.encoder = encoders.build(options.encoder)
        channels = self.encoder.channels
        self.levels = nn.ModuleList(
            nn.Sequential(ConvNormReLU(coarse + own, own, 3), ConvNormReLU(own, own, 3))
            for coarse, own in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.last = ConvNormReLU(channels[0], channels[0], 3)
        self.mask_head = nn.Conv2d(channels[0], num_outputs, 1)

    def forward(self, stack: Tensor, position: Tensor | None = None) -> Tensor:
        """(B, 1, H, W) -> mask logits (B, K, H, W).

        Raises:
            VolumeError: the stack has several slices, or a size that is no multiple of 32.
        """
        check_stack(stack, self.slices)
        *skips, x = self.encoder(stack)
        for level, skip in zip(self.levels, reversed(skips), strict=True):
            x = level(torch.cat((_enlarged(x, skip), skip), dim=1))
        return self.mask_head(self.last(_enlarged(x, stack)))

    def with_presence(self, stack: Tensor, position: Tensor | None = None) -> tuple[Tensor, None]:
        """Mask logits (B, K, H, W), and None: there is no such head."""
        return self(stack), None

    def heads(self, stack: Tensor, position: Tensor | None = None) -> Heads:
        """Mask logits alone."""
        return Heads(self(stack))


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def build(options: Options, in_channels: int, num_outputs: int) -> VanillaUNet:
    """A new network for `num_outputs` labels without background.

    Raises:
        OptionError: the volume has several channels.
        DeviceError: the encoder needs timm, which is missing or does not work here.
    """
    check_channels(in_channels)
    return VanillaUNet(options, num_outputs)
