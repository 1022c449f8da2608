"""STP + MTA + UNETR: a vision transformer that drops most tokens on the way, all put together again for a UNETR.

Sparse encoding, token completion, dense decoding. With `selection` "none" it is the dense UNETR with small tokens and
the same decoder that the paper compares with.

Source: "Token Sparsification for Faster Medical Image Segmentation" (IPMI 2023, arXiv 2303.06522). Where paper and
published code differ, the code is followed: what the score head joins (see `tokens.scores`), and a fourth learned depth
token (see `tokens.assembly`).
"""

from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple

from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index
from EfficientSegLib.networks.tokens.assembly import Completion, MaskTokens, MultiLayerAssembly
from EfficientSegLib.networks.tokens.decoder import PLANS, Decoder, Kind
from EfficientSegLib.networks.tokens.dynamic import DynamicEncoder, KeepOrDrop
from EfficientSegLib.networks.tokens.embedding import as_volume
from EfficientSegLib.networks.tokens.encoder import (
    AttendedPruning,
    Encoder,
    LearnedPruning,
    Shape,
    SparseEncoder,
)
from EfficientSegLib.networks.tokens.encoding import Encoding
from EfficientSegLib.networks.tokens.sampling import keep_counts
from EfficientSegLib.networks.tokens.transformer import initialise


class Preset(NamedTuple):
    """A published configuration; its label sets and channels belong to the bundle."""

    patch_size: Index
    prune_ratio: float
    decoder: Kind


PRESETS = {"btcv": Preset((96, 96, 96), 0.9, "v2"), "brats": Preset((128, 128, 128), 0.75, "v1")}


@dataclass(frozen=True)
class Options:
    """What the network is made of; None is the preset's value."""

    preset: Literal["btcv", "brats"] = "btcv"
    patch_size: tuple[int, int, int] | None = None  # voxels; the network reads nothing else: its positions are learned
    token_size: int | None = None  # voxels along each axis of a token; the decoder's: 8, of "original" 16
    prune_ratio: float | None = None  # share of the tokens dropped at each pruning; more is faster
    decoder: Literal["v1", "v2", "original"] | None = None  # v2 has a level more than v1; original: tokens of 16
    selection: Literal["stp", "evit", "dynamic_vit", "none"] = "stp"  # how tokens are chosen; none keeps all
    completion: Literal["mta", "mim"] = "mta"  # what stands for dropped tokens: what they were, or a mask token
    noise: bool = True  # in training, draw the tokens; without it those of the best scores stay
    width: int = 768  # channels of a token; cost grows with the square
    depth: int = 12  # transformer blocks
    heads: int = 12  # of attention
    prune_after: tuple[int, ...] = (3, 6, 9)  # blocks, counted from 1, behind which tokens are dropped
    feature_size: int = 16  # channels of the decoder at full resolution
    drop_path: float = 0.0  # probability in training of leaving out a branch of the last block; linear over depth

    def __post_init__(self) -> None:
        self._check_transformer()
        self._check_decoder()
        if self.selection != "none":
            keep_counts(prod(self.grid), self.chosen_ratio, len(self.prune_after))

    @property
    def chosen_decoder(self) -> Kind:
        if self.decoder is None and self.token_size == PLANS["original"].token_size:
            return "original"
        return self.decoder or PRESETS[self.preset].decoder

    @property
    def chosen_patch(self) -> Index:
        return self.patch_size or PRESETS[self.preset].patch_size

    @property
    def chosen_ratio(self) -> float:
        return PRESETS[self.preset].prune_ratio if self.prune_ratio is None else self.prune_ratio

    @property
    def tokens_are(self) -> Index:
        """Voxels of a token along each axis."""
        return (PLANS[self.chosen_decoder].token_size,) * 3

    @property
    def size_multiple(self) -> Index:
        return (PLANS[self.chosen_decoder].size_multiple,) * 3

    @property
    def grid(self) -> Index:
        """Tokens along each axis of the patch."""
        return tuple(length // token for length, token in zip(self.chosen_patch, self.tokens_are))

    def _check_transformer(self) -> None:
        if self.heads < 1 or self.width < 6 or self.width % 6 or self.width % self.heads:
            raise OptionError(
                f"width is {self.width} and heads is {self.heads}.",
                why="The width is shared by sine and cosine of three axes (a multiple of 6) and by the heads.",
                mend="Use 768 and 12, or 192 and 6.",
            )
        if self.depth < 1 or self.feature_size < 1 or not 0 <= self.drop_path < 1:
            raise OptionError(
                f"depth is {self.depth}, feature_size is {self.feature_size} and drop_path is {self.drop_path}.",
                why="Depth and feature_size count something, and drop_path is a probability below 1.",
                mend="Use 12, 16 and 0.",
            )
        after = self.prune_after
        if not after or list(after) != sorted(set(after)) or after[0] < 1 or after[-1] >= self.depth:
            raise OptionError(
                f"prune_after is {after}.",
                why=f"It names blocks, ascending, from 1 to {self.depth - 1}: behind the last block nothing is saved.",
                mend="Use (3, 6, 9) for 12 blocks, or selection 'none'.",
            )

    def _check_decoder(self) -> None:
        kind, plan = self.chosen_decoder, PLANS[self.chosen_decoder]
        if self.token_size not in (None, plan.token_size):
            raise OptionError(
                f"token_size is {self.token_size} and decoder is {kind!r}.",
                why=f"That decoder enlarges tokens of {plan.token_size} voxels to single ones.",
                mend="Use token_size 8 with 'v1' or 'v2', and 16 with 'original'.",
            )
        multiple, smallest = plan.size_multiple, plan.smallest
        if any(length % multiple or length < smallest for length in self.chosen_patch):
            fitting = tuple(max(round(length / multiple) * multiple, smallest) for length in self.chosen_patch)
            raise OptionError(
                f"patch_size is {self.chosen_patch}.",
                why=f"With decoder {kind!r} every axis is a multiple of {multiple} voxels, {smallest} or more.",
                mend=f"Use {fitting}.",
            )


class TokenUNETR(nn.Module):
    """What the sparse and the dense network share. Meets `PatchModel`, for patches of one size."""

    paper_counter = "torchprofile"  # for evaluation.cost: the convention of the published multiply-adds
    torch_only = (
        "It takes one size of patch, tells when tokens were dropped, and may drop fewer: a converted form cannot."
    )
    undecayed = ("first", "positions", "depth_tokens", "mask")  # for training.parameters: learned tokens and positions

    def __init__(self, options: Options, in_channels: int, num_labels: int) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.patch_size = options.chosen_patch
        self.token_size = options.tokens_are
        self.size_multiple = options.size_multiple
        self._grid = options.grid
        self.decoder = Decoder(options.chosen_decoder, in_channels, num_labels, options.width, options.feature_size)

    def layer_of(self, name: str) -> int:
        """Of a parameter: 0 in the embedding, 1 in the first block; the last is all behind and beside the blocks.

        Source: BEiT and MAE (arXiv 2111.06377), whose layer-wise learning rates the paper takes over.
        """
        parts = name.split(".")
        if parts[:2] == ["encoder", "embedding"]:
            return 0
        return int(parts[2]) + 1 if parts[:2] == ["encoder", "blocks"] else len(self.encoder.blocks) + 1

    def check_size(self, patch: Tensor) -> None:
        """Raises OptionError unless (B, C, I, J, K) is a patch of the one size."""
        if tuple(patch.shape[2:]) != self.patch_size:
            raise OptionError(
                f"The network was given a patch of {tuple(patch.shape[2:])} voxels.",
                why=f"Its positions are fixed: it takes {self.patch_size} and nothing else.",
                mend=f"Use patch_size {self.patch_size}.",
            )


class DenseUNETR(TokenUNETR):
    """The paper's baseline: all tokens in all blocks, and the decoder reads several of them."""

    def __init__(self, options: Options, in_channels: int, num_labels: int) -> None:
        super().__init__(options, in_channels, num_labels)
        self.encoder = Encoder(_shape(options, in_channels))
        self._read = PLANS[options.chosen_decoder].blocks_read(options.depth)
        initialise(self.encoder)

    def forward(self, patch: Tensor) -> Tensor:
        """Patches (B, C, *patch_size) -> logits (B, L, *patch_size)."""
        self.check_size(patch)
        maps = [as_volume(tokens, self._grid) for tokens in self.encoder(patch, self._read)]
        return self.decoder(patch, maps)


class SparseUNETR(TokenUNETR):
    """Meets `TokenModel`."""

    def __init__(self, options: Options, in_channels: int, num_labels: int) -> None:
        super().__init__(options, in_channels, num_labels)
        self.stages = len(options.prune_after)
        self.prune_ratio = options.chosen_ratio
        self.encoder = _encoder(options, in_channels)
        self.completion = _completion(options)
        initialise(self.encoder)
        initialise(self.completion)

    @property
    def prune_ratio(self) -> float:
        """Share of the tokens dropped at each pruning; it may be changed between passes.

        Setting it raises OptionError outside (0, 1) or where no token would be left.
        """
        return self._prune_ratio

    @prune_ratio.setter
    def prune_ratio(self, ratio: float) -> None:
        self._counts = keep_counts(prod(self._grid), ratio, self.stages)
        self._prune_ratio = ratio

    def forward(self, patch: Tensor) -> Tensor:
        """Patches (B, C, *patch_size) -> logits (B, L, *patch_size)."""
        return self._decoded(patch, self._encoded(patch))

    def with_depths(self, patch: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and of every token at which pruning it was dropped, (B, *grid) uint8.

        0 is the first pruning; `stages` are the tokens that were kept to the end.
        """
        encoding = self._encoded(patch)
        return self._decoded(patch, encoding), encoding.depths().unflatten(1, self._grid)

    def auxiliary_loss(self) -> Tensor | None:
        """What the choice of tokens adds to the loss of the last pass in training mode, a scalar, weighted already.

        None where it adds nothing: only "dynamic_vit" does. To be asked for once after each pass; it is then forgotten.
        """
        return self.encoder.taken_loss()

    def _encoded(self, patch: Tensor) -> Encoding:
        self.check_size(patch)
        return self.encoder(patch, self._counts)

    def _decoded(self, patch: Tensor, encoding: Encoding) -> Tensor:
        tokens = as_volume(self.completion(encoding), self._grid)
        return self.decoder(patch, [tokens] * self.decoder.maps)


def _shape(options: Options, in_channels: int) -> Shape:
    return Shape(
        in_channels,
        options.width,
        options.depth,
        options.heads,
        options.drop_path,
        options.tokens_are,
        options.grid,
    )


def _encoder(options: Options, in_channels: int) -> SparseEncoder:
    shape, reads_dropped = _shape(options, in_channels), options.completion == "mta"
    kind = DynamicEncoder if options.selection == "dynamic_vit" else SparseEncoder
    return kind(shape, options.prune_after, [_pruning(options) for _ in options.prune_after], reads_dropped)


def _pruning(options: Options) -> nn.Module:
    if options.selection == "evit":
        return AttendedPruning()
    return (KeepOrDrop if options.selection == "dynamic_vit" else LearnedPruning)(options.width, options.noise)


def _completion(options: Options) -> Completion:
    if options.completion == "mim":
        return MaskTokens(options.width, options.heads, options.grid)
    return MultiLayerAssembly(options.width, options.heads, options.grid, len(options.prune_after))


def build(options: Options, in_channels: int, num_labels: int) -> TokenUNETR:
    return (DenseUNETR if options.selection == "none" else SparseUNETR)(options, in_channels, num_labels)
