"""A training that takes a second: two small phantoms, a small NMSW."""

import copy

import numpy as np
import pytest
import torch

import phantoms

UNET = {"channels": [4, 6, 6], "strides": [2, 2, 1]}
SPACING = (8.0, 8.0, 8.0)
BUNDLE = {
    "name": "tiny",
    "version": "1.0.0",
    "title": "Tiny",
    "modality": "CT",
    "channels": ["CT"],
    "labels": [
        {"value": 1, "name": "Liver", "color": [221, 130, 101]},
        {"value": 2, "name": "Spleen", "color": [157, 108, 162]},
        {"value": 7, "name": "Vertebrae", "color": [241, 214, 145]},
    ],
    "preprocess": {
        "orientation": "RAS",
        "spacing_mm": list(SPACING),
        "intensity": {"kind": "window", "low": -250, "high": 500},
    },
    "network": {
        "name": "nmsw",
        "options": {
            "global_options": UNET,
            "local_options": UNET,
            "patch_size": [16, 16, 16],
            "downsampling": [2, 2, 2],
        },
    },
    "strategy": {"name": "nmsw", "options": {"top_k": 2}},
    "licence": {"weights": "Apache-2.0", "data": "drawn", "use": "tests only"},
}
CONFIG = {
    "bundle": BUNDLE,
    "samples": {"name": "body"},
    "recipe": {"name": "nmsw"},
    "cases": [
        {
            "image": f"torso_{seed}/image.nii.gz",
            "label": f"torso_{seed}/label.nii.gz",
            "map": {"1": 1, "2": 2, "3": 7},
        }
        for seed in (0, 1)
    ],
    "iterations": 4,
    "largest": [40, 32, 32],
    "checkpoint_minutes": 1000,
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_json():
    """The training as a JSON object, free to be changed."""
    return copy.deepcopy(CONFIG)


@pytest.fixture
def slices_json(tiny_json):
    """A training of a small SegMate on the same cases, as a JSON object, free to be changed."""
    tiny_json["bundle"]["outputs"] = "independent"
    tiny_json["bundle"]["preprocess"]["native_slices"] = True
    tiny_json["bundle"]["preprocess"]["intensity"]["to"] = [-1, 1]
    tiny_json["bundle"]["strategy"] = {"name": "slices", "options": {"pad_value": -1.0}}
    options = {"encoder": "light", "width": 0.25, "deep_supervision": True}
    tiny_json["bundle"]["network"] = {"name": "segmate", "options": options}
    tiny_json["recipe"] = {"name": "segmate"}
    tiny_json["samples"] = {"name": "slices", "options": {"volumes": 2, "slices_per_volume": 2}}
    return tiny_json


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Two drawn torsos on the grid of the bundle."""
    folder = tmp_path_factory.mktemp("data")
    for seed in (0, 1):
        phantoms.write_case(folder / f"torso_{seed}", *phantoms.torso((40, 32, 28), seed, SPACING), SPACING)
    return folder


REGIONS = {"1": [2], "2": [1, 2], "3": [1, 2, 3]}  # oedema, non-enhancing and enhancing tumour: TC, WT and ET overlap


@pytest.fixture
def regions_json(regions_training):
    """The training on overlapping regions as a JSON object, free to be changed."""
    return copy.deepcopy(regions_training)


@pytest.fixture(scope="session")
def regions_training():
    """A training of a small STP + MTA + UNETR on three overlapping regions, as on BraTS but of one channel."""
    network = {"preset": "brats", "patch_size": [32, 32, 32], "prune_after": [1, 2, 3]}
    network |= {"width": 24, "heads": 2, "depth": 4, "feature_size": 8}
    cases = [
        {"image": f"{name}/image.nii.gz", "label": f"{name}/label.nii.gz", "map": REGIONS} for name in ("one", "other")
    ]
    return {
        "bundle": {
            **copy.deepcopy(BUNDLE),
            "modality": "MR",
            "channels": ["MR"],
            "outputs": "independent",
            "labels": [
                {"value": value, "name": name, "color": [221, 130, 101]}
                for value, name in enumerate(("TC", "WT", "ET"), 1)
            ],
            "preprocess": {
                "orientation": "RAS",
                "spacing_mm": [4.0, 4.0, 4.0],
                "intensity": {"kind": "zscore", "low": 0, "high": 100},
            },
            "network": {"name": "stp_unetr", "options": network},
            "strategy": {"name": "sliding_window", "options": {"patch_size": [32, 32, 32], "pad_value": -0.6}},
        },
        "recipe": {
            "name": "patch",
            "options": {"patch_size": [32, 32, 32], "patches": 1, "dice_weight": 1, "ce_weight": 0, "squared": True},
        },
        "samples": {"name": "volume"},
        "cases": cases,
        "iterations": 2,
        "largest": [48, 40, 40],
        "checkpoint_minutes": 1000,
    }


@pytest.fixture(scope="session")
def regions_folder(tmp_path_factory):
    """Two drawn brains, each with an enhancing tumour (3) in a core (2) in an oedema (1), none hidden by another."""
    folder, spacing, shape = tmp_path_factory.mktemp("regions"), (4.0, 4.0, 4.0), (48, 40, 40)
    for seed, name in enumerate(("one", "other")):
        draw = np.random.default_rng(seed)
        brain = phantoms.Ellipsoid((96.0, 80.0, 80.0), (86.0, 70.0, 72.0)).mask(shape, spacing)
        centre = tuple(np.array([96.0, 80.0, 80.0]) + draw.uniform(-16, 16, 3))
        labels = np.zeros(shape, dtype=np.uint8)
        for value, radius in ((1, 44.0), (2, 32.0), (3, 20.0)):
            labels[phantoms.Ellipsoid(centre, (radius,) * 3).mask(shape, spacing)] = value
        image = np.array([100.0, 180.0, 260.0, 340.0])[labels] + draw.normal(0, 12, shape)
        phantoms.write_case(folder / name, np.where(brain, image, 0).astype(np.int16), labels, spacing)
    return folder
