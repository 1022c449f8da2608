"""A bundle of SegMate with our light encoder and random weights: enough to run every path, useless otherwise."""

from pathlib import Path

import torch

from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights

NETWORK = {"encoder": "light", "width": 0.25}


def write_slice_bundle(folder: Path, seed: int = 0, **strategy) -> Bundle:
    """Write a bundle of two labels; `strategy` are options of the strategy slices."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = networks.build("segmate", NETWORK, in_channels=1, num_outputs=2)
        _balance(model)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "weights.pt")
    bundle = Bundle(
        schema=bundles.SCHEMA,
        name="tiny slices",
        version="1",
        title="Random weights, for tests",
        modality="CT",
        channels=("CT",),
        labels=(Label(1, "Ball", (221, 130, 101)), Label(2, "Cube", (157, 108, 162))),
        preprocess=Preprocess("RAS", (2.0, 2.0, 2.0), Intensity("window", -1000, 1000, (-1, 1)), native_slices=True),
        network=Component("segmate", NETWORK),
        strategy=Component("slices", {"pad_value": -1.0, **strategy}),
        weights=Weights("weights.pt", bundles.checksum(folder / "weights.pt")),
        licence=Licence("CC0-1.0", "none", "tests"),
        outputs="independent",
        folder=str(folder),
    )
    bundles.save(bundle, folder)
    return bundle


def _balance(model: torch.nn.Module) -> None:
    """Let each label be in some places and not in others, of a disc of soft tissue in air, in network values."""
    i, j = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    disc = torch.where(i**2 + j**2 < 0.8, 0.04, -1.0).expand(4, model.slices, 64, 64)
    model.eval()
    with torch.inference_mode():
        logits = model(disc, torch.linspace(0, 1, 4))
    middle = logits.transpose(0, 1).flatten(1).median(1).values
    model.mask_head.bias.data -= middle
