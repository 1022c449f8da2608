"""Training configurations of the evidence, one JSON file for each training, and the list in which they are trained.

    python Testing/benchmarks/evidence/configs.py --splits Testing/benchmarks/results/splits.json --output FOLDER

All methods of one data set share patches, grid, networks, samples, schedule and minutes; only the recipe differs. A
sliding window trains one network, the others two: the minutes are equal, not the minutes of each network.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Testing" / "benchmarks"))

from torso.tissues import NAMES  # noqa: E402

from evidence.places import files  # noqa: E402

SEEDS = (0, 1, 2)
PICTURE_MINUTES = 0.5  # between two records of where patches are drawn from
MINUTES = {"mr": 5.5, "torso": 24.0, "field": 5.0, "hippo": 2.5}
TORSO_LABELS = tuple(NAMES[1:])
LICENCE = {"weights": "none", "data": "see the data set", "use": "Measurements only, never patients."}
UNET = {"channels": [32, 48, 64, 80, 96], "strides": [2, 2, 2, 2, 1]}  # as in the demo bundle; 2.3 million parameters


@dataclass(frozen=True)
class DataSet:
    """What the trainings of one data set share."""

    folder: str
    modality: str
    labels: tuple[str, ...]
    spacing_mm: tuple[float, float, float]
    intensity: dict[str, Any]
    patch_size: tuple[int, int, int]
    downsampling: tuple[int, int, int]
    air: float  # network value beyond the image
    smallest: tuple[int, int, int]  # voxels of a sample; the deepest level keeps 3 x 3, see TrainConfig.precision
    largest: tuple[int, int, int]
    samples: dict[str, Any] = field(default_factory=dict)
    unet: dict[str, Any] = field(default_factory=lambda: UNET)


STS_MR = DataSet(
    folder="sts_mr",
    modality="MR",
    labels=("sarcoma",),
    spacing_mm=(0.9766, 0.9766, 3.27),
    intensity={"kind": "zscore", "low": 0.5, "high": 99.5},
    patch_size=(48, 48, 16),
    downsampling=(3, 3, 2),
    air=-1.2,
    smallest=(144, 144, 64),
    largest=(192, 192, 96),
)

HIPPOCAMPUS = DataSet(
    folder="msd_hippocampus",
    modality="MR",
    labels=("anterior", "posterior"),
    spacing_mm=(1.0, 1.0, 1.0),
    intensity={"kind": "zscore", "low": 0.5, "high": 99.5},
    patch_size=(48, 64, 48),
    downsampling=(1, 1, 1),
    air=-1.5,
    smallest=(48, 64, 48),
    largest=(48, 64, 64),
)
# Small patches on the same volumes: real data whose labels are smaller than a patch's reach, unlike the sarcomas.
HIPPOCAMPUS_PATCHES = replace(
    HIPPOCAMPUS,
    patch_size=(16, 16, 16),
    downsampling=(3, 3, 3),
    smallest=(36, 48, 36),
    largest=(48, 72, 60),
    unet={"channels": [32, 48, 64], "strides": [2, 2, 1]},
)
TORSO = DataSet(
    folder="torso",
    modality="CT",
    labels=TORSO_LABELS,
    spacing_mm=(2.0, 2.0, 2.0),  # 192 voxels, 343 candidates: as many as 480 voxels and patches of 128 have
    intensity={"kind": "window", "low": -250, "high": 500},
    patch_size=(48, 48, 48),
    downsampling=(3, 3, 3),
    air=-0.1,
    smallest=(192, 192, 192),
    largest=(192, 192, 192),
    # Drawn people differ enough; on a processor the usual changes of a whole torso cost more than the networks.
    samples={"affine": 0.15, "distortion": 0.0, "smooth": 0.0, "coarse": 0.0, "gamma": 0.1, "inverted_gamma": 0.0},
)


@dataclass(frozen=True)
class Method:
    """A column of the comparison."""

    name: str
    network: str
    recipe: str
    strategy: str
    options: dict[str, Any]  # of the recipe


METHODS = {
    method.name: method
    for method in (
        Method("sw", "unet", "patch", "sliding_window", {"patches": 6, "foreground": 0.25}),
        Method("whole", "unet", "patch", "sliding_window", {"patches": 1}),
        Method("wide", "unet", "patch", "sliding_window", {"patches": 2, "foreground": 0.25}),
        Method("random", "nmsw", "nmsw", "random_foreground", {"draw": "uniform"}),
        Method("zoom", "nmsw", "zoom_out", "zoom_out", {}),
        Method("nmsw", "nmsw", "nmsw", "nmsw", {}),
        Method("taught", "nmsw", "nmsw", "nmsw", {"teaching": 0.1}),
        Method("nmsw-one", "nmsw", "nmsw", "nmsw", {"class_weights": "one"}),
    )
}


def training(
    data: DataSet, method: Method, cases: list[str], seed: int, minutes: float, **changes: Any
) -> dict[str, Any]:
    """A `TrainConfig` as JSON; `changes` replace its entries."""
    network = {"name": "unet", "options": data.unet}
    options = {"patch_size": data.patch_size, **method.options} if method.recipe == "patch" else method.options
    strategy = {"patch_size": data.patch_size} if method.strategy == "sliding_window" else {}
    if method.network == "nmsw":
        backbones = {"global_options": data.unet, "local_options": data.unet}
        grid = {"patch_size": data.patch_size, "overlap": 0.5, "downsampling": data.downsampling}
        network = {"name": "nmsw", "options": {**backbones, **grid}}
    bundle = {
        "name": f"{data.folder}-{method.name}-{seed}".replace("_", "-"),
        "version": "1.0.0",
        "title": f"{data.folder}, {method.name}, seed {seed} (for measurements)",
        "modality": data.modality,
        "channels": [data.modality],
        "labels": [{"value": value, "name": name, "color": _color(value)} for value, name in enumerate(data.labels, 1)],
        "preprocess": {"orientation": "RAS", "spacing_mm": data.spacing_mm, "intensity": data.intensity},
        "network": network,
        "strategy": {"name": method.strategy, "options": {**strategy, "pad_value": data.air}},
        "licence": LICENCE,
    }
    content = {
        "bundle": bundle,
        "recipe": {"name": method.recipe, "options": options},
        "samples": {"name": "volume", "options": data.samples},
        "cases": [case_of(data, name) for name in cases],
        "minutes": minutes,
        "smallest": data.smallest,
        "largest": data.largest,
        "seed": seed,
        "precision": "bf16",
        "checkpoint_minutes": 2.0,
    }
    return {**content, **changes}


def case_of(data: DataSet, name: str) -> dict[str, Any]:
    """A `training.cases.Case` as JSON."""
    image, label = files(data.folder, name)
    return {"image": image, "label": label, "map": {str(value): value for value in range(1, len(data.labels) + 1)}}


def _color(value: int) -> list[int]:
    return [(60 + 97 * value) % 256, (130 + 57 * value) % 256, (200 + 151 * value) % 256]


def trainings(splits: dict[str, Any], minutes: dict[str, float]) -> dict[str, dict[str, Any]]:
    """All trainings by name, in the order in which they are worth having."""
    result = {}

    def add(prefix: str, data: DataSet, name: str, seed: int, time: str) -> None:
        cases = splits[data.folder]["train"]
        result[f"{prefix}-{name}-{seed}"] = content = training(data, METHODS[name], cases, seed, minutes[time])
        if data is TORSO:
            test = splits[data.folder]["test"][0]
            content |= {"validation": [case_of(data, test)], "bundle_from": "last", "picture_every": PICTURE_MINUTES}

    for seed in SEEDS:
        for name in ("nmsw", "sw", "random", "zoom"):
            add("mr", STS_MR, name, seed, "mr")
        if seed == 0:
            add("torso", TORSO, "nmsw", 0, "torso")
            add("field", HIPPOCAMPUS, "whole", 0, "field")
        for name in ("nmsw", "sw", "random", "zoom"):
            add("hippo", HIPPOCAMPUS_PATCHES, name, seed, "hippo")
    add("mr", replace(STS_MR, patch_size=(96, 96, 32)), "wide", 0, "mr")
    for prefix, data in (("mr", STS_MR), ("hippo", HIPPOCAMPUS_PATCHES)):
        add(prefix, data, "taught", 0, prefix)
    add("torso", TORSO, "random", 0, "torso")
    add("torso", TORSO, "taught", 0, "torso")
    for seed in SEEDS:
        add("mr", STS_MR, "nmsw-one", seed, "mr")
        add("hippo", HIPPOCAMPUS_PATCHES, "nmsw-one", seed, "hippo")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path, help="folder of the configurations")
    for name, usual in MINUTES.items():
        parser.add_argument(f"--minutes-{name}", type=float, default=usual)
    given = parser.parse_args()
    minutes = {name: getattr(given, f"minutes_{name}") for name in MINUTES}
    given.output.mkdir(parents=True, exist_ok=True)
    for name, content in trainings(json.loads(given.splits.read_text(encoding="utf-8")), minutes).items():
        (given.output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
