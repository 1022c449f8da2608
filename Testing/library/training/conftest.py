"""A training that takes a second: two small phantoms, a small NMSW."""

import copy

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
