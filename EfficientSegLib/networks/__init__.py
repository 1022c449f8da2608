"""Registry of networks and the contracts they meet.

Every network file has a frozen dataclass `Options` and `build(options, in_channels, num_outputs) -> nn.Module`. Options
of networks over volumes tell which sizes they read, as the networks do: see `patch_size.refuse_size`.
Shapes: B batch, C channels, L labels (background included), I J K voxel axes; of slice networks also S slices of a
stack, K sigmoid channels (one per label, no background), H W pixel axes.

What `num_outputs` counts: of networks over volumes the labels, background included, of which a voxel has exactly one
(softmax); of `SliceModel`s, and of `PatchModel`s whose bundle says that outputs are independent, the labels without
background, each its own sigmoid channel, so that labels may overlap. Such a `PatchModel` is read through `independent`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index
from EfficientSegLib.networks.patch_size import refuse_size
from EfficientSegLib.options import read_options

if TYPE_CHECKING:
    from torch import Tensor, nn

    from EfficientSegLib.networks.heads import Heads
    from EfficientSegLib.networks.nmsw import Proposal

NETWORKS = {
    "mednext": "EfficientSegLib.networks.mednext",
    "nmsw": "EfficientSegLib.networks.nmsw",
    "segmate": "EfficientSegLib.networks.segmate",
    "segmate_vanilla": "EfficientSegLib.networks.vanilla",
    "stp_unetr": "EfficientSegLib.networks.stp_unetr",
    "swin_smt": "EfficientSegLib.networks.swin_smt",
    "swin_unetr": "EfficientSegLib.networks.swin_unetr",
    "unet": "EfficientSegLib.networks.unet",
}


@runtime_checkable
class PatchModel(Protocol):
    """Labels every voxel of what it is given: (B, C, I, J, K) -> logits (B, L, I, J, K)."""

    size_multiple: Index  # every axis of the input must be a multiple of this
    num_labels: int

    def __call__(self, patch: "Tensor") -> "Tensor": ...


@runtime_checkable
class TokenModel(PatchModel, Protocol):
    """A `PatchModel` of one fixed patch size that stops computing tokens on the way."""

    patch_size: Index  # the only one it reads
    token_size: Index  # voxels
    prune_ratio: float  # share of the tokens that each stage drops; may be set between passes: OptionError if unfit
    stages: int  # depths 0 to stages - 1: dropped at that stage; stages: kept to the end

    def with_depths(self, patch: "Tensor") -> "tuple[Tensor, Tensor]":
        """Logits as of a plain call, and depths (B, *patch_size / token_size), uint8."""
        ...


@runtime_checkable
class GlobalLocalModel(Protocol):
    """Looks at a small picture of the whole volume first, and says which patches are worth reading."""

    patch_size: Index
    overlap: float
    downsampling: Index
    num_labels: int

    def propose(self, low: "Tensor", shape: Index) -> "Proposal": ...

    def local(self, patch: "Tensor") -> "Tensor": ...

    @property
    def class_weights(self) -> "Tensor": ...


@runtime_checkable
class SliceModel(Protocol):
    """Labels the middle slice of a stack of neighbouring ones: (B, S, H, W) -> mask logits (B, K, H, W).

    `position` (B,) is where in the scan each slice lies, 0 at its first and 1 at its last; None is unknown.
    Networks without slice position take it and do not look at it.
    """

    size_multiple: tuple[int, int]  # other heights and widths are refused; whoever calls pads
    num_outputs: int  # K
    slices: int  # S, odd; 1 is a network that sees no neighbours

    def __call__(self, stack: "Tensor", position: "Tensor | None" = None) -> "Tensor": ...

    def with_presence(self, stack: "Tensor", position: "Tensor | None" = None) -> "tuple[Tensor, Tensor | None]":
        """Mask logits, and logits (B, K) that a label is in the slice at all; None without such a head."""
        ...

    def heads(self, stack: "Tensor", position: "Tensor | None" = None) -> "Heads":
        """All that the network says: for training."""
        ...


def check(name: str, options: dict[str, Any]) -> None:
    """Refuse an unknown network, or options that it does not know or that do not go together, without building it.

    Raises:
        OptionError: the network is unknown, or its options do not fit.
    """
    read(name, options)


def check_patch(name: str, options: dict[str, Any], size: Index) -> None:
    """Refuse patches that a network with these options cannot read, without building it; of "nmsw", its local one.

    Raises:
        OptionError: the network is unknown, its options do not fit, or it cannot read patches of this size.
    """
    if name == "nmsw":
        whole = read(name, options)
        name, options = whole.local_backbone, whole.local_options
    refuse_size(size, read_for_patches(name, options), name)


def read_for_patches(name: str, options: dict[str, Any]) -> Any:
    """The `Options` of a network over volumes.

    Raises:
        OptionError: the network reads slices, is unknown, or its options do not fit.
    """
    chosen = read(name, options)
    if not hasattr(chosen, "size_multiple"):
        raise OptionError(
            f"The network {name!r} was asked for patches.",
            why="It reads slices.",
            mend="Use 'unet' or another network of patches.",
        )
    return chosen


def read(name: str, options: dict[str, Any]) -> Any:
    """The `Options` of a network from a JSON object.

    Raises:
        OptionError: the network is unknown, or its options do not fit.
    """
    return read_options(_module(name).Options, options)


def build(name: str, options: dict[str, Any], in_channels: int, num_outputs: int) -> "nn.Module":
    """A new network with random weights.

    Args:
        name: a key of `NETWORKS`.
        options: its options as a JSON object; {} is the configuration of its paper.
        in_channels: channels of the input.
        num_outputs: labels, background included; of a `SliceModel` its sigmoid channels, no background.

    Raises:
        OptionError: the network is unknown, or its options do not fit.
    """
    return _module(name).build(read(name, options), in_channels, num_outputs)


def _module(name: str):
    if name not in NETWORKS:
        raise OptionError(
            f"Unknown network {name!r}.",
            why=f"Known: {', '.join(sorted(NETWORKS))}.",
            mend="Check network.name in bundle.json.",
        )
    return import_module(NETWORKS[name])
