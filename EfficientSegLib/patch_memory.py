"""How much a network holds while it reads one patch, besides its weights; the standard library only.

Attention is fused: no table of all pairs of tokens is made for a whole patch. What is left are activations, of
convolutions at full resolution above all; and in Swin's windows the table of relative positions and of what a shifted
window must not see, for each window at once.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

from EfficientSegLib.bundle import Component
from EfficientSegLib.geometry import Index

# Measured as the peak of one pass in float32, of one sample, and rounded up. Bytes per voxel, found and estimated:
# stp_unetr, feature size and width 8, 192: 419, 426; 16, 384: 651, 851; 32, 384: 1468, 1587; 16, 768: 846, 966.
# Swin, feature size 24: 1265 of 96^3 and 1532 of 64^3, estimated 1697 and 1998; 48: 1588 of 96^3, 2081.
FEATURE_BYTES = 4.0  # per channel of the first level: convolutional networks
TOKEN_FEATURE_BYTES, TOKEN_WIDTH_BYTES = 46.0, 0.3  # stp_unetr: per feature of the decoder, and per channel of a token
SWIN_FEATURE_BYTES, SWIN_TABLES = 16.0, 2.4  # swin_unetr, swin_smt: per feature; copies of the windows' tables
LOGITS_COPIES = 4.3  # of one patch: output, weighted, blended, and the layer before
SWIN = {"swin_unetr": 24, "swin_smt": 48}  # and their default feature sizes
STP_PATCHES = {"btcv": (96, 96, 96), "brats": (128, 128, 128)}  # by preset
USUAL = (128, 128, 128)


def reader(network: Component) -> Component:
    """The network that reads patches: of nmsw the local one."""
    options = network.options
    if network.name != "nmsw":
        return network
    return Component(options.get("local_backbone", "unet"), options.get("local_options", {}))


def patch_size(network: Component, options: Mapping[str, Any]) -> Index | None:
    """Voxels of the patches of a bundle's network, and of a strategy's options; None where nothing tells."""
    said = network.options.get("patch_size") or options.get("patch_size")
    local = reader(network)
    if said is None and local.name == "stp_unetr":
        said = STP_PATCHES.get(local.options.get("preset", "btcv"))
    return None if said is None else tuple(said)


def pass_bytes(network: Component, patch: Index) -> float:
    """Activations of one patch, in bytes per voxel of it."""
    local = reader(network)
    options = local.options
    if local.name == "stp_unetr":
        width, features = options.get("width", 768), options.get("feature_size", 16)
        return features * TOKEN_FEATURE_BYTES + width * TOKEN_WIDTH_BYTES
    if local.name in SWIN:
        features = options.get("feature_size", SWIN[local.name])
        return features * SWIN_FEATURE_BYTES + SWIN_TABLES * _table_bytes(options, patch)
    return widest(network.options) * FEATURE_BYTES


def patch_bytes(network: Component, patch: Index, labels: int) -> float:
    """What reading a patch and blending its logits hold at most, in bytes per voxel of it.

    A convolutional network's widest layer is its last one, and is still there beside the logits. A transformer holds
    most in its first stage, and has let go of that when the logits come: 14 or 118 labels make no difference to a pass
    of Swin SMT over 128^3 (2653 and 2660 MB).
    """
    logits, activations = LOGITS_COPIES * labels * 4, pass_bytes(network, patch)
    is_transformer = reader(network).name in ("stp_unetr", *SWIN)
    return max(logits, activations) if is_transformer else logits + activations


def widest(options: Mapping[str, Any]) -> int:
    """Channels of the first level of the networks in a bundle's options; the paper's 32 where none are given."""
    parts = (options, options.get("global_options", {}), options.get("local_options", {}))
    return max((part["channels"][0] for part in parts if part.get("channels")), default=32)


def _table_bytes(options: Mapping[str, Any], patch: Index) -> float:
    """One number for each head and pair of tokens of a window, all windows of the first stage, per voxel."""
    window, heads = options.get("window", 7), options.get("heads", (3, 6, 12, 24))[0]
    tokens, voxels = 1, 1
    for length in patch:
        side = ceil(length / 2)
        tokens *= ceil(side / window) * window if side > window else side
        voxels *= length
    return 4 * heads * tokens * min(window**3, tokens) / voxels
