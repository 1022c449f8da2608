"""SegMate: a light 2.5D network that labels a slice from its neighbours and its place in the scan.

Source: SegMate (arXiv 2602.23903). Where paper and published code differ, the code is followed: its counts are the
published ones. Masks come out at a quarter of the resolution and are enlarged, which the paper calls the decoder's full
resolution; labels are independent sigmoid channels.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import encoders
from EfficientSegLib.networks.heads import Heads
from EfficientSegLib.networks.slice_parts.blocks import SliceFusion
from EfficientSegLib.networks.slice_parts.decoder import Decoded, Decoder
from EfficientSegLib.networks.slice_parts.sizes import SIZE_MULTIPLE, check_channels, check_stack


@dataclass(frozen=True)
class Options:
    """What SegMate is made of; the defaults are the paper's.

    The steps of the paper's ablation: `segmate_vanilla`; then this with slices 1 and everything else off (its
    asymmetric decoder); then cbam; squeeze; slices 3; position.
    """

    encoder: str = "efficientnetv2"  # a key of `networks.encoders.ENCODERS`
    slices: int = 3  # of a stack: the slice itself and its neighbours on both sides; 1 is plain 2D
    width: float = 1.0  # of the decoder, as a share of the paper's; its cost grows with the square
    position: bool = True  # tell the network where in the scan a slice lies (FiLM)
    cbam: bool = True  # attention in the decoder's main way
    nested: bool = True  # the decoder's second way up
    squeeze: bool = True  # attention in the second way; without effect where that is off
    deep_supervision: bool = False  # masks of coarser levels too, for training

    def __post_init__(self) -> None:
        encoders.check(self.encoder)
        if self.slices < 1 or self.slices % 2 == 0:
            raise OptionError(
                f"slices is {self.slices}.",
                why="A stack is a slice and as many neighbours below as above: an odd number.",
                mend="Use 3, or 1 for plain 2D.",
            )
        if not 0.1 <= self.width <= 4:
            raise OptionError(
                f"width is {self.width}.",
                why="It is a share of the paper's decoder, from 0.1 to 4.",
                mend="Use 1, or 0.5 beside a light encoder.",
            )


class SegMate(nn.Module):
    """Meets the contract `SliceModel`."""

    size_multiple = SIZE_MULTIPLE

    def __init__(self, options: Options, num_outputs: int) -> None:
        super().__init__()
        self.slices, self.num_outputs = options.slices, num_outputs
        self.fusion = SliceFusion(options.slices) if options.slices > 1 else nn.Identity()
        self.encoder = encoders.build(options.encoder)
        self.decoder = Decoder(
            self.encoder.channels,
            options.width,
            position=options.position,
            cbam=options.cbam,
            nested=options.nested,
            squeeze=options.squeeze,
        )
        fine = self.decoder.fine_channels
        self.mask_head, self.boundary_head = (nn.Conv2d(fine, num_outputs, 1) for _ in range(2))
        self.presence_head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(fine, num_outputs)
        )
        self.deep_heads = nn.ModuleList(
            nn.Conv2d(channels, num_outputs, 1)
            for channels in (self.decoder.coarse_channels if options.deep_supervision else ())
        )

    def forward(self, stack: Tensor, position: Tensor | None = None) -> Tensor:
        """(B, S, H, W) and where each slice lies (B,) -> mask logits (B, K, H, W).

        Raises:
            VolumeError: the stack has another number of slices, or a size that is no multiple of 32; or the positions
                are not one per slice.
        """
        return _enlarged(self.mask_head(self._decode(stack, position).fine), stack)

    def with_presence(self, stack: Tensor, position: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mask logits (B, K, H, W), and logits (B, K) that a label is in the slice; raises as `forward`."""
        fine = self._decode(stack, position).fine
        return _enlarged(self.mask_head(fine), stack), self.presence_head(fine)

    def heads(self, stack: Tensor, position: Tensor | None = None) -> Heads:
        """Logits of every head; raises as `forward`."""
        fine, coarse = self._decode(stack, position)
        return Heads(
            mask=_enlarged(self.mask_head(fine), stack),
            boundary=_enlarged(self.boundary_head(fine), stack),
            presence=self.presence_head(fine),
            deep=tuple(_enlarged(head(level), stack) for head, level in zip(self.deep_heads, coarse)),
        )

    def _decode(self, stack: Tensor, position: Tensor | None) -> Decoded:
        check_stack(stack, self.slices, position)
        return self.decoder(self.encoder(self.fusion(stack)), position)


def _enlarged(logits: Tensor, stack: Tensor) -> Tensor:
    return functional.interpolate(logits, size=stack.shape[2:], mode="bilinear", align_corners=True)


def build(options: Options, in_channels: int, num_outputs: int) -> SegMate:
    """A new network.

    Args:
        options: see `Options`.
        in_channels: of the volume; SegMate reads one.
        num_outputs: labels without background, K.

    Raises:
        OptionError: the volume has several channels.
        DeviceError: the encoder needs timm, which is missing or does not work here.
    """
    check_channels(in_channels)
    return SegMate(options, num_outputs)
