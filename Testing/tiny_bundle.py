"""A bundle of a few kilobytes with random weights, and a volume for it: enough to run every path, useless otherwise."""

from pathlib import Path

import numpy as np
import torch

from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights
from EfficientSegLib.volume import Volume, write

BACKBONE = {"channels": [4, 8, 8], "strides": [2, 2, 1]}


def write_tiny_bundle(folder: Path, overlap: float = 0.5, top_k: int | None = 4, seed: int = 0) -> Bundle:
    """Write an NMSW bundle of two labels; more overlap makes more patches, and runs slower."""
    options = {
        "global_options": BACKBONE,
        "local_options": BACKBONE,
        "patch_size": [16, 16, 16],
        "overlap": overlap,
        "downsampling": [2, 2, 2],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = networks.build("nmsw", options, in_channels=1, num_outputs=3)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "weights.pt")
    bundle = Bundle(
        schema=bundles.SCHEMA,
        name="tiny",
        version="1",
        title="Random weights, for tests",
        modality="CT",
        channels=("CT",),
        labels=(Label(1, "Ball", (221, 130, 101)), Label(2, "Cube", (157, 108, 162))),
        preprocess=Preprocess("RAS", (2.0, 2.0, 2.0), Intensity("window", -1000, 1000)),
        network=Component("nmsw", options),
        strategy=Component("nmsw", {"top_k": top_k, "skip_background": False}),
        weights=Weights("weights.pt", bundles.checksum(folder / "weights.pt")),
        licence=Licence("CC0-1.0", "none", "tests"),
        folder=str(folder),
    )
    bundles.save(bundle, folder)
    return bundle


def write_tiny_ct(path: Path, shape: tuple[int, int, int] = (40, 36, 44), spacing_mm: float = 2.0) -> Volume:
    """Write a ball of soft tissue in air, with noise."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    noise = np.random.default_rng(3).normal(0, 20, shape)
    values = np.where((grid**2).sum(0) < 0.8, 40, -1000) + noise
    volume = Volume(values.astype(np.int16)[None], (spacing_mm,) * 3, (-30.0, 12.5, 700.0))
    write(volume, path)
    return volume
