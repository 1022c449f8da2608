"""Trainings that show what SegMate is worth: against its vanilla baseline, step by step, and beside the 3D methods.

    python Testing/benchmarks/evidence/segmate_configs.py --splits Testing/benchmarks/results/splits.json \\
        --output FOLDER

All read the hippocampus slice by slice with the same samples and schedule, and with equal minutes where they have the
same encoder; only the network differs. Beside them stand three trainings of `configs.py`: NMSW and its sliding window
with small patches, and one 3D U-Net that reads a whole volume at once.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Testing" / "benchmarks"))

from evidence.configs import HIPPOCAMPUS, HIPPOCAMPUS_PATCHES, METHODS, SEEDS, case_of, training  # noqa: E402

MINUTES = {"light": 3.0, "fastvit": 4.0, "mambaout": 5.0, "efficientnetv2": 8.0}  # larger encoders take longer steps
MINUTES_3D = 3.0
BATCH = {"volumes": 16, "slices_per_volume": 2}  # 32 slices, as the paper's
# Front and back are not exchanged: here they are what tells the two labels apart.
SAMPLES = {**BATCH, "flip": 0.0}
LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class Net:
    """A column of the comparison."""

    name: str
    network: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def minutes(self) -> float:
        return MINUTES[self.options["encoder"]]


NOTHING = {"slices": 1, "position": False, "cbam": False, "nested": False, "squeeze": False}
LADDER = (
    ("asymmetric", {}),
    ("cbam", {"cbam": True}),
    ("nested", {"cbam": True, "nested": True, "squeeze": True}),
    ("stack", {"cbam": True, "nested": True, "squeeze": True, "slices": 3}),
)  # `vanilla` comes before these, `segmate` after them
LADDER_ENCODER = "light"
ENCODERS = ("light", "fastvit", "mambaout", "efficientnetv2")
WIDTH = {"light": 0.5}  # of the decoder; the paper's elsewhere


def nets() -> list[Net]:
    """All networks, in the order in which they are worth having."""
    result = []
    for encoder in ENCODERS:
        wide = {"width": WIDTH[encoder]} if encoder in WIDTH else {}
        result.append(Net(f"segmate-{encoder}", "segmate", {"encoder": encoder, "deep_supervision": True, **wide}))
        result.append(Net(f"vanilla-{encoder}", "segmate_vanilla", {"encoder": encoder}))
        if encoder == LADDER_ENCODER:
            shared = {"encoder": encoder, "deep_supervision": True, **wide, **NOTHING}
            result += [Net(f"{name}-{encoder}", "segmate", {**shared, **changes}) for name, changes in LADDER]
    return result


def slice_training(net: Net, cases: list[str], seed: int) -> dict[str, Any]:
    """A `TrainConfig` as JSON."""
    content = training(HIPPOCAMPUS, METHODS["whole"], cases, seed, net.minutes)
    bundle = content["bundle"]
    bundle |= {
        "name": f"slices-{net.name}-{seed}",
        "title": f"Hippocampus, {net.name}, seed {seed} (for measurements)",
        "outputs": "independent",
        "network": {"name": net.network, "options": net.options},
        "strategy": {"name": "slices", "options": {"pad_value": HIPPOCAMPUS.air}},
    }
    bundle["preprocess"]["native_slices"] = True
    changes = {
        "recipe": {"name": "segmate", "options": {}},
        "samples": {"name": "slices", "options": SAMPLES},
        "smallest": (1, 1, 1),
        "largest": (64, 64, 64),
        "learning_rate": LEARNING_RATE,
        "weight_decay": 1e-4,
    }
    return {**content, **changes}


def trainings(splits: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All trainings by name."""
    cases = splits[HIPPOCAMPUS.folder]["train"]
    result = {}
    for net in nets():
        result |= {f"slices-{net.name}-{seed}": slice_training(net, cases, seed) for seed in SEEDS}
    for seed in SEEDS:
        for name in ("nmsw", "sw"):
            result[f"hippo-{name}-{seed}"] = training(HIPPOCAMPUS_PATCHES, METHODS[name], cases, seed, MINUTES_3D)
        result[f"field-whole-{seed}"] = training(HIPPOCAMPUS, METHODS["whole"], cases, seed, MINUTES_3D)
    return result


def test_cases(splits: dict[str, Any]) -> list[dict[str, Any]]:
    """The unseen cases, for `python -m EfficientSegLib evaluate --cases`."""
    return [case_of(HIPPOCAMPUS, name) for name in splits[HIPPOCAMPUS.folder]["test"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path, help="folder of the configurations")
    given = parser.parse_args()
    splits = json.loads(given.splits.read_text(encoding="utf-8"))
    given.output.mkdir(parents=True, exist_ok=True)
    contents = {**trainings(splits), "cases": test_cases(splits)}
    for name, content in contents.items():
        (given.output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
