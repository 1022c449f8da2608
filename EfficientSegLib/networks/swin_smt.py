"""Swin SMT: MONAI's Swin UNETR, the feed-forward layers of its deeper stages replaced by soft mixtures of experts.

Source: Swin SMT (Plotka et al., MICCAI 2024, arXiv 2407.07514). The paper's network is the default, {} or
{"experts": 32}: 170.78 M parameters with 118 labels. Its table 2 has E = 8, 16 and 32 in this version, and E = 4 with
{"version": "v2"}. Without experts ({"experts": 0}) this is Swin UNETR: 62.19 M, the ablation's baseline, and with
{"version": "v2"} and feature size 24, 48 or 96 the paper's SwinUNETR-S, -B and -L (18.35, 72.77 and 290.40 M).

Where the paper's text and its published code differ: slots are made from the tokens (see `soft_moe`), and patches are
merged in MONAI's first way, as in the code.
"""

from dataclasses import dataclass
from typing import Literal

from monai.networks import nets
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import swin_unetr
from EfficientSegLib.networks.soft_moe import SoftMoE

STAGES = 4


@dataclass(frozen=True)
class Options(swin_unetr.Options):
    """As Swin UNETR's, and the experts'; the defaults are the paper's."""

    feature_size: int = 48
    experts: int = 32  # of each replaced layer; 0 keeps the ordinary ones. 3.5 M parameters each at feature size 48
    version: Literal["v1", "v2"] = "v1"  # v2 has a block of convolutions before each stage
    merging: Literal["merging", "mergingv2"] = "merging"  # the first takes two of eight neighbours twice, as published
    moe_stages: int = 3  # how many of the four stages have experts, counted from the deepest
    slot_divisor: int = 1  # not in the paper: so many times fewer slots, and less to multiply; see `soft_moe.SoftMoE`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.experts < 0:
            raise OptionError(
                f"experts is {self.experts}.",
                why="It is how many experts each replaced layer has.",
                mend="Use 4, 8, 16 or 32; 0 is Swin UNETR without experts.",
            )
        if not 1 <= self.moe_stages <= STAGES:
            raise OptionError(
                f"moe_stages is {self.moe_stages}.",
                why=f"The network has {STAGES} stages, of which the deepest ones have experts.",
                mend="Use 3; for a network without experts set experts to 0.",
            )
        if self.slot_divisor < 1:
            raise OptionError(
                f"slot_divisor is {self.slot_divisor}.",
                why="There are that many times fewer slots than tokens.",
                mend="Use 1, which is the paper's, or more.",
            )


class SwinSMT(nn.Module):
    """Meets `PatchModel`."""

    size_multiple = swin_unetr.SIZE_MULTIPLE
    torch_only = swin_unetr.TORCH_ONLY
    undecayed = swin_unetr.UNDECAYED
    refuse_shape = staticmethod(Options.refuse_shape)

    def __init__(self, options: Options, in_channels: int, num_labels: int) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.network = swin_unetr.compose(
            options, in_channels, num_labels, use_v2=options.version == "v2", downsample=options.merging
        )
        if options.experts:
            add_experts(self.network, options.experts, options.moe_stages, options.slot_divisor)

    def forward(self, x: Tensor) -> Tensor:
        """Patches (B, C, I, J, K), axes multiples of 32 and one of them 64 or more -> logits (B, L, I, J, K).

        Raises:
            OptionError: the patches have another size.
        """
        swin_unetr.check_size(tuple(x.shape[2:]))
        return self.network(x)


def stages(network: nets.SwinUNETR) -> list[nn.Module]:
    """The four stages of MONAI's network, the one with the most tokens first; each has its `blocks`."""
    return [getattr(network.swinViT, f"layers{number}")[0] for number in range(1, STAGES + 1)]


def add_experts(network: nets.SwinUNETR, experts: int, moe_stages: int, slot_divisor: int = 1) -> None:
    """Replace the feed-forward layer of every block of the deepest stages, in place."""
    for stage in stages(network)[STAGES - moe_stages :]:
        for block in stage.blocks:
            block.mlp = SoftMoE(block.dim, experts, slot_divisor)


def build(options: Options, in_channels: int, num_labels: int) -> SwinSMT:
    return SwinSMT(options, in_channels, num_labels)
