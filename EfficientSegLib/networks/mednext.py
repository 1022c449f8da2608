"""MedNeXt: a U-Net of ConvNeXt blocks (depthwise convolution, expansion, compression, each with a shortcut).

Source: Roy et al. (arXiv 2303.09975); the defaults are MedNeXt-M with kernel 3, a local network of NMSW (arXiv
2501.10814), section 4: 17.5 M parameters. The blocks are MONAI's. Its whole network is not used: there the blocks that
halve the resolution expand like the level above them, in the authors' code like the level below, and only the latter
gives the published parameters and operations (17.550 and not 17.534 M; 244.8 and not 243.6 GMACs for 128³).
"""

from dataclasses import dataclass

import torch
from monai.networks.blocks.mednext_block import MedNeXtBlock, MedNeXtDownBlock, MedNeXtOutBlock, MedNeXtUpBlock
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index


@dataclass(frozen=True)
class Options:
    """Width and depth; the defaults are MedNeXt-M's. Lists go down the encoder, over the deepest level, and up."""

    channels: int = 32  # at full resolution, doubled by every level; cost grows with the square
    expansion: tuple[int, ...] = (2, 3, 4, 4, 4, 4, 4, 3, 2)  # width inside the blocks of each level
    blocks: tuple[int, ...] = (3, 4, 4, 4, 4, 4, 4, 4, 3)  # of each level
    kernel: int = 3  # voxels of the depthwise convolutions, odd
    checkpointing: bool = False  # in training, compute each block twice instead of keeping what is inside

    def __post_init__(self) -> None:
        if len(self.expansion) != len(self.blocks) or len(self.blocks) < 3 or len(self.blocks) % 2 == 0:
            raise OptionError(
                f"MedNeXt has {len(self.expansion)} expansions and {len(self.blocks)} numbers of blocks.",
                why="Both name each level down, the deepest one and each level up: an odd number, three or more.",
                mend="Give two lists of the same odd length.",
            )
        if min(self.channels, *self.expansion, *self.blocks) < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise OptionError(
                f"MedNeXt has channels {self.channels}, expansion {self.expansion}, blocks {self.blocks} and kernel "
                f"{self.kernel}.",
                why="All are positive, and the kernel is odd, so that it has a centre.",
                mend="Use kernel 3 or 5, and 1 or more for the others.",
            )

    @property
    def depth(self) -> int:
        """How many levels lie above the deepest."""
        return len(self.blocks) // 2

    @property
    def size_multiple(self) -> Index:
        """Every axis of a patch is a multiple of this."""
        return (2**self.depth,) * 3


class MedNeXt(nn.Module):
    """Meets `PatchModel`."""

    def __init__(self, options: Options, in_channels: int, num_labels: int) -> None:
        super().__init__()
        depth = options.depth
        widths = [options.channels * 2**level for level in range(depth + 1)]
        settings = {"kernel_size": options.kernel, "use_residual_connection": True}

        def level(width: int, place: int) -> nn.Sequential:
            ratio = options.expansion[place]
            return nn.Sequential(*(MedNeXtBlock(width, width, ratio, **settings) for _ in range(options.blocks[place])))

        self.stem = nn.Conv3d(in_channels, widths[0], 1)
        self.encoder = nn.ModuleList(level(widths[place], place) for place in range(depth))
        self.down = nn.ModuleList(
            MedNeXtDownBlock(widths[place], widths[place + 1], options.expansion[place + 1], **settings)
            for place in range(depth)
        )
        self.deepest = level(widths[depth], depth)
        self.up = nn.ModuleList(
            MedNeXtUpBlock(
                widths[depth - step], widths[depth - step - 1], options.expansion[depth + 1 + step], **settings
            )
            for step in range(depth)
        )
        self.decoder = nn.ModuleList(level(widths[depth - step - 1], depth + 1 + step) for step in range(depth))
        self.head = MedNeXtOutBlock(widths[0], num_labels, "3d")
        for block in self.modules():
            if isinstance(block, MedNeXtBlock):
                block.fresh = ("act",)  # for networks.inference: it reads the expansion's output, and nobody else does
        self.checkpointing = options.checkpointing
        self.num_labels = num_labels
        self.size_multiple = options.size_multiple

    def forward(self, x: Tensor) -> Tensor:
        """Patches (B, C, I, J, K), axes multiples of `size_multiple` -> logits (B, L, I, J, K)."""
        skips = []
        x = self.stem(x)  # (B, channels, I, J, K)
        for level, down in zip(self.encoder, self.down):
            x = self._run(level, x)
            skips.append(x)
            x = self._run([down], x)  # (B, 2 channels, I/2, J/2, K/2), and so on
        x = self._run(self.deepest, x)
        for up, level in zip(self.up, self.decoder):
            x = self._run([up], x)
            x = self._run(level, x + skips.pop())
        return self.head(x)

    def _run(self, blocks, x: Tensor) -> Tensor:
        again = self.checkpointing and self.training and torch.is_grad_enabled()
        for block in blocks:
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return x


def build(options: Options, in_channels: int, num_labels: int) -> MedNeXt:
    return MedNeXt(options, in_channels, num_labels)
