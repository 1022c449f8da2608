"""Small bundles of the transformers with random weights: enough to run every path, useless otherwise."""

from pathlib import Path

import torch
from tiny_bundle import BACKBONE

from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights

STP = {
    "patch_size": [32, 32, 32],
    "width": 12,
    "heads": 2,
    "depth": 4,
    "prune_after": [1, 2, 3],
    "feature_size": 4,
    "prune_ratio": 0.5,
}
DENSE = {**STP, "selection": "none"}
SMT = {"feature_size": 12, "experts": 2, "depths": [1, 1, 1, 1], "window": 4}
PATCHES = {"stp_unetr": [32, 32, 32], "swin_smt": [64, 32, 32]}


def options_in_nmsw(local: str, options: dict, patch_size: list[int] | None = None) -> dict:
    """NMSW's options with a transformer as local network."""
    return {
        "global_options": BACKBONE,
        "local_backbone": local,
        "local_options": options,
        "patch_size": patch_size or PATCHES[local],
        "downsampling": [2, 2, 2],
    }


def write_transformer_bundle(
    folder: Path, network: str, options: dict, strategy: Component | None = None, seed: int = 0
) -> Bundle:
    """Write a bundle of two labels; read with a sliding window if nothing else is said."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = networks.build(network, options, in_channels=1, num_outputs=3)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "weights.pt")
    own = {} if hasattr(model, "patch_size") else {"patch_size": PATCHES.get(network)}
    bundle = Bundle(
        schema=bundles.SCHEMA,
        name=folder.name,
        version="1",
        title="Random weights, for tests",
        modality="CT",
        channels=("CT",),
        labels=(Label(1, "Ball", (221, 130, 101)), Label(2, "Cube", (157, 108, 162))),
        preprocess=Preprocess("RAS", (2.0, 2.0, 2.0), Intensity("window", -1000, 1000)),
        network=Component(network, options),
        strategy=strategy or Component("sliding_window", own),
        weights=Weights("weights.pt", bundles.checksum(folder / "weights.pt")),
        licence=Licence("CC0-1.0", "none", "tests"),
        folder=str(folder),
    )
    bundles.save(bundle, folder)
    return bundle


def write_nmsw_bundle(folder: Path, local: str, options: dict, seed: int = 0) -> Bundle:
    """Write an NMSW bundle whose local network is a transformer."""
    strategy = Component("nmsw", {"top_k": 3, "skip_background": False})
    return write_transformer_bundle(folder, "nmsw", options_in_nmsw(local, options), strategy, seed)
