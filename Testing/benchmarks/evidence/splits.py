"""Which cases are trained on, and which are only tested: drawn once from a seed, written to a committed file.

python Testing/benchmarks/evidence/splits.py --data DATA --output Testing/benchmarks/results/splits.json
"""

import argparse
import json
from pathlib import Path

import numpy as np

TEST_CASES = {"sts_mr": 9, "msd_hippocampus": 41}
PILOT_CASES = 4  # of the training cases of sts_mr: what options were chosen on
TORSO_TRAIN, TORSO_TEST = 14, 4  # drawn by torso_phantom.py with these numbers of cases
SEED = 2026


def split(names: list[str], test_cases: int, seed: int) -> dict[str, list[str]]:
    """Names divided at random into `train` and `test`, both sorted."""
    order = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    return {"train": sorted(order[test_cases:]), "test": sorted(order[:test_cases])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with sts_mr and msd_hippocampus")
    parser.add_argument("--output", required=True, type=Path)
    given = parser.parse_args()
    splits = {"seed": SEED}
    for group, count in TEST_CASES.items():
        splits[group] = split([folder.name for folder in (given.data / group).iterdir()], count, SEED)
    splits["torso"] = {
        "train": [f"torso_{number:03d}" for number in range(TORSO_TRAIN)],
        "test": [f"torso_test_{number:03d}" for number in range(TORSO_TEST)],
    }
    pilot = split(splits["sts_mr"]["train"], PILOT_CASES, SEED)
    splits["sts_mr_pilot"] = pilot
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(splits, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
