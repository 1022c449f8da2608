"""Swin UNETR: a Swin transformer as encoder, convolutions as decoder. MONAI's network, first version.

Source: Hatamizadeh et al. (arXiv 2201.01266), as used for local networks by NMSW (arXiv 2501.10814), section 4: feature
size 24, 15.7 M parameters (15.5 M without the tables of relative positions, which the paper leaves out).
"""

from dataclasses import dataclass

import einops  # noqa: F401  MONAI asks for it in the first pass only; better missed here, by its own name
from monai.networks import nets
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index

SIZE_MULTIPLE = (32, 32, 32)  # a token is 2 voxels wide and is merged four times
TORCH_ONLY = "Its windows follow the size of each patch; a converted form keeps those of the patch it was made with."
UNDECAYED = ("relative_position_bias_table",)  # for training.parameters


@dataclass(frozen=True)
class Options:
    """Width and depth; the defaults are NMSW's."""

    size_multiple = SIZE_MULTIPLE  # no option; for patch_size.refuse_size

    feature_size: int = 24  # channels at full resolution, a multiple of 12; cost grows with the square
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)  # transformer blocks of each stage, every second one shifted
    heads: tuple[int, int, int, int] = (3, 6, 12, 24)  # of attention in each stage; each divides its stage's channels
    window: int = 7  # tokens along each axis that attend to each other; a token is 2 voxels wide in the first stage
    checkpointing: bool = False  # in training, compute the transformer blocks twice instead of keeping their insides

    def __post_init__(self) -> None:
        if self.feature_size < 12 or self.feature_size % 12:
            raise OptionError(
                f"feature_size is {self.feature_size}.", why="It must be a multiple of 12.", mend="Use 24 or 48."
            )
        if min(self.depths) < 1 or self.window < 2:
            raise OptionError(
                f"depths is {self.depths} and window is {self.window}.",
                why="Every stage has one block or more, and a window of one token attends to nothing.",
                mend="Use depths (2, 2, 2, 2) and window 7.",
            )
        for stage, heads in enumerate(self.heads):
            width = self.feature_size * 2**stage
            if heads < 1 or width % heads:
                raise OptionError(
                    f"heads is {self.heads}.",
                    why=f"Stage {stage + 1} has {width} channels, which {heads} heads cannot share.",
                    mend="Use (3, 6, 12, 24).",
                )

    @staticmethod
    def refuse_shape(shape: Index) -> None:
        """For `patch_size.refuse_size`; see `check_size`."""
        check_size(shape)


class SwinUNETR(nn.Module):
    """Meets `PatchModel`. MONAI's network is a part, not a parent: its `patch_size` means tokens, ours patches."""

    size_multiple = SIZE_MULTIPLE
    torch_only = TORCH_ONLY
    undecayed = UNDECAYED
    refuse_shape = staticmethod(Options.refuse_shape)

    def __init__(self, options: Options, in_channels: int, num_labels: int) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.network = compose(options, in_channels, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Patches (B, C, I, J, K), axes multiples of 32 and one of them 64 or more -> logits (B, L, I, J, K).

        Raises:
            OptionError: the patches have another size.
        """
        check_size(tuple(x.shape[2:]))
        return self.network(x)


def compose(options: Options, in_channels: int, num_labels: int, **more) -> nets.SwinUNETR:
    """MONAI's network; `more` goes to it as it is."""
    return nets.SwinUNETR(
        in_channels=in_channels,
        out_channels=num_labels,
        feature_size=options.feature_size,
        depths=options.depths,
        num_heads=options.heads,
        window_size=options.window,
        norm_name="instance",
        use_checkpoint=options.checkpointing,
        **more,
    )


def check_size(shape: Index) -> None:
    """Refuse patches that cannot be merged four times, or are then a single token, whose norms have nothing to compare.

    Raises:
        OptionError: an axis is no multiple of 32, or all are 32.
    """
    wanted = [max(-(-length // multiple), 1) * multiple for length, multiple in zip(shape, SIZE_MULTIPLE)]
    if wanted == list(SIZE_MULTIPLE):
        wanted[0] *= 2
    if list(shape) != wanted:
        raise OptionError(
            f"A patch is {' × '.join(map(str, shape))} voxels.",
            why="Swin UNETR and Swin SMT need multiples of 32, and 64 or more along one axis.",
            mend=f"Use {' × '.join(map(str, wanted))}.",
        )


def build(options: Options, in_channels: int, num_labels: int) -> SwinUNETR:
    return SwinUNETR(options, in_channels, num_labels)
