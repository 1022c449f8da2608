"""Three decoders of UNETR, built from MONAI's blocks: from maps of tokens and the image to logits.

Source: UNETR (arXiv 2103.10504) for tokens of 16 voxels ("original"); STP + MTA + UNETR (arXiv 2303.06522) and its code
for tokens of 8: "v1" leaves the deepest level out, "v2" makes it by pooling. f is `feature_size`.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import einops  # noqa: F401  MONAI's networks ask for it late; better missed here, by its own name
from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from torch import Tensor, nn

Kind = Literal["v1", "v2", "original"]


class Plan(NamedTuple):
    """How a decoder is made."""

    token_size: int  # voxels along each axis
    enlarged: tuple[int | None, ...]  # of each map, finest first: doublings after the first one; None: a plain block
    pooled: bool  # the last map is halved first
    shares: int  # the encoder's depth in as many parts gives the blocks whose answers a dense encoder hands over

    @property
    def size_multiple(self) -> int:
        """Voxels: axes of the patch are multiples of this."""
        return self.token_size * (2 if self.pooled else 1)

    @property
    def smallest(self) -> int:
        """Voxels: axes of the patch are not shorter. The pooling reads three tokens along each."""
        return self.token_size * (4 if self.pooled else 1)

    def blocks_read(self, depth: int) -> list[int]:
        """Blocks of a dense encoder, from 0, whose answers are the maps; the last map is the encoder's own."""
        return [depth * part // self.shares for part in range(1, self.shares)]


PLANS = {
    "v1": Plan(8, (1, 0), False, 3),
    "v2": Plan(8, (1, 0, None), True, 4),
    "original": Plan(16, (2, 1, 0), False, 4),
}


class Decoder(nn.Module):
    """Image and maps of tokens -> logits (B, L, I, J, K)."""

    def __init__(self, kind: Kind, in_channels: int, num_labels: int, width: int, feature_size: int) -> None:
        super().__init__()
        plan = PLANS[kind]
        channels = [feature_size * 2**level for level in range(len(plan.enlarged) + 1)]
        self.image = _basic(in_channels, channels[0])
        self.laterals = nn.ModuleList(
            _basic(width, own) if doublings is None else _enlarge(width, own, doublings)
            for own, doublings in zip(channels[1:], plan.enlarged)
        )
        self.deepest = nn.AvgPool3d(3, 2, 1) if plan.pooled else nn.Identity()
        self.ups = nn.ModuleList(
            UnetrUpBlock(3, below, own, 3, 2, "instance", res_block=True)
            for below, own in zip([width, *channels[:0:-1]], channels[::-1])
        )
        self.out = UnetOutBlock(3, channels[0], num_labels)

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, W, *grid): one for each level below the image, finest first, and the deepest of all."""
        skips = [self.image(image), *(lateral(each) for lateral, each in zip(self.laterals, maps))]
        x = self.deepest(maps[-1])
        for up in self.ups:
            x = up(x, skips.pop())
        return self.out(x)

    @property
    def maps(self) -> int:
        return len(self.laterals) + 1


def _basic(in_channels: int, out_channels: int) -> UnetrBasicBlock:
    return UnetrBasicBlock(3, in_channels, out_channels, 3, 1, "instance", res_block=True)


def _enlarge(in_channels: int, out_channels: int, doublings: int) -> UnetrPrUpBlock:
    return UnetrPrUpBlock(3, in_channels, out_channels, doublings, 3, 1, 2, "instance", conv_block=True, res_block=True)
