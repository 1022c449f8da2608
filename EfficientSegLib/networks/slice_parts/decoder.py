"""SegMate's asymmetric decoder: few channels, a quarter of the input's resolution, and a second, nested way up.

Source: SegMate (arXiv 2602.23903), section 3, and its published code for what the paper leaves open: the channels, and
that the nested way re-uses the up-sampling weights of the main one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib.networks.slice_parts.attention import CBAM, SqueezeExcitation
from EfficientSegLib.networks.slice_parts.blocks import ASPP, ConvNormReLU, DecoderBlock
from EfficientSegLib.networks.slice_parts.film import SlicePosition

_ALIGNED = (40, 64, 128, 176)  # of the encoder's maps at strides 4, 8, 16, 32
_CONTEXT = 256
_RAISED = (24, 48, 88, 160)  # after up1, up2, up3, up4
_DECODED = (32, 48, 88, 160)  # of the main way at strides 4, 8, 16, 32; the nested way has the first three


class Decoded(NamedTuple):
    """What the decoder hands to the heads."""

    fine: Tensor  # (B, C, H/4, W/4)
    coarse: tuple[Tensor, Tensor, Tensor]  # main way at strides 32, 16 and 8


class Decoder(nn.Module):
    """Four maps of an encoder -> features at stride 4.

    Args:
        channels: of the encoder's maps, finest first.
        width: of every layer, as a share of the paper's.
        position: whether slices may tell where they lie.
        cbam: attention in the blocks of the main way.
        nested: whether there is the nested way; without it the main way's result is the last.
        squeeze: attention in the blocks of the nested way.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int],
        width: float = 1.0,
        *,
        position: bool = True,
        cbam: bool = True,
        nested: bool = True,
        squeeze: bool = True,
    ) -> None:
        super().__init__()
        aligned, raised, decoded = (_scaled(plan, width) for plan in (_ALIGNED, _RAISED, _DECODED))
        (context,) = _scaled((_CONTEXT,), width)
        sources = (*decoded[1:], context)
        self.align = nn.ModuleList(ConvNormReLU(given, own, 1) for given, own in zip(channels, aligned, strict=True))
        self.context = ASPP(channels[-1], context)
        self.position = SlicePosition(context) if position else None
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(source, own, 2, 2) for source, own in zip(sources, raised, strict=True)
        )
        self.main = nn.ModuleList(
            DecoderBlock(up + skip, own, CBAM(own) if cbam else nn.Identity())
            for up, skip, own in zip(raised, aligned, decoded, strict=True)
        )
        self.nested = nn.ModuleList(
            DecoderBlock(up + own, own, SqueezeExcitation(own) if squeeze else nn.Identity())
            for up, own in zip(raised, decoded[:-1] if nested else ())
        )
        self.fine_channels = decoded[0]
        self.coarse_channels = decoded[:0:-1]  # in the order of `Decoded.coarse`

    def forward(self, maps: list[Tensor], position: Tensor | None = None) -> Decoded:
        x = self.context(maps[-1])  # (B, 256, H/32, W/32)
        if self.position is not None and position is not None:
            x = self.position(x, position)
        main = self._main_way(x, [align(features) for align, features in zip(self.align, maps, strict=True)])
        fine = self._nested_way(main) if self.nested else main[0]
        return Decoded(fine, (main[3], main[2], main[1]))

    def _main_way(self, x: Tensor, skips: list[Tensor]) -> list[Tensor]:
        """Its results, finest first."""
        x = self.up[-1](x)  # (B, 160, H/16, W/16)
        # The encoder's deepest map is no finer than the context: what was raised is brought down again.
        x = functional.interpolate(x, size=skips[-1].shape[2:], mode="bilinear", align_corners=True)
        results = [self.main[-1](torch.cat((x, skips[-1]), dim=1))]
        for up, block, skip in zip(reversed(self.up[:-1]), reversed(self.main[:-1]), reversed(skips[:-1])):
            results.insert(0, block(torch.cat((up(results[0]), skip), dim=1)))
        return results

    def _nested_way(self, main: list[Tensor]) -> Tensor:
        # Its first up-sampling is one of the main way again, as in the published counts: .05 to .15 % of all work.
        x = main[-1]
        for up, block, own in zip(reversed(self.up[:-1]), reversed(self.nested), reversed(main[:-1])):
            x = block(torch.cat((up(x), own), dim=1))
        return x


def _scaled(plan: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Channels in steps of eight, as processors like them."""
    return tuple(max(8, 8 * round(channels * width / 8)) for channels in plan)
