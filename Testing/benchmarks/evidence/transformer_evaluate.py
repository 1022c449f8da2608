"""Score the trainings of `transformer_configs.py` on the unseen cases, as they finish; one table per comparison.

    python Testing/benchmarks/evidence/transformer_evaluate.py --runs RUNS --data DATA \\
        --splits Testing/benchmarks/results/splits.json --output ROWS

`RUNS` holds a folder for each training, called by its name. Writes `ROWS/tokens.csv`, `experts.csv` and `registry.csv`,
tables of `EfficientSegLib.evaluation.results`; what they hold already is not run again. `ROWS/trainings.csv` tells what
each training was. Memory is that of this process:
take it from a run with one training (`--only NAME`) and without settings for the memory's allocator.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "benchmarks")]

import torch  # noqa: E402

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib import networks  # noqa: E402
from EfficientSegLib.evaluation.cases import EvaluationCase  # noqa: E402
from EfficientSegLib.evaluation.compare import Method, compare  # noqa: E402
from EfficientSegLib.evaluation.results import Results  # noqa: E402
from evidence.configs import DataSet  # noqa: E402
from evidence.transformer_configs import (  # noqa: E402
    EXPERTS,
    REGISTRY_DATA,
    TOKEN_DATA,
    USUAL_RATIO,
    WINDOW_DATA,
    Net,
    ablations,
    registry,
    stp,
    sweep,
    swin_smt,
    test_cases,
    token_nets,
    trainings,
)

COUNTS = (0, 5, 30)  # patches that NMSW reads; 0 is its global network alone
OTHER_RATIOS = (0.25, 0.5)  # at which the network that was trained at the usual one is run, too
AFRESH, WITHIN = "sliding window, trained for it", "sliding window, NMSW's local network"
IDLE_SECONDS = 10.0
TABLES: dict[str, tuple[str, DataSet, list[Net]]] = {  # by the prefix of the trainings
    "tokens": ("tokens", TOKEN_DATA, token_nets()),
    "parts": ("tokens", TOKEN_DATA, ablations()),
    "experts": ("experts", WINDOW_DATA, [swin_smt(number) for number in EXPERTS]),
    "nmsw": ("registry", REGISTRY_DATA, registry()),
    "alone": ("registry", REGISTRY_DATA, [*registry(), *sweep()]),
}


def methods(training: str, bundle: bundles.Bundle) -> list[Method]:
    """The ways in which the bundle of one training is run."""
    prefix, name, seed = training.split("-")
    net = next(net for net in TABLES[prefix][2] if net.name == name)
    if prefix == "nmsw":
        chosen = [{"top_k": count, "clip_top_k": True} for count in COUNTS]
        air = {"pad_value": bundle.strategy.options["pad_value"]}
        by_count = [Method(f"{net.title}: NMSW", bundle, None, options, seed) for options in chosen]
        return [*by_count, Method(f"{net.title}: {WITHIN}", bundle, "sliding_window", air, seed)]
    if prefix == "alone":
        return [Method(f"{net.title}: {AFRESH}", bundle, seed=seed)]
    found = [Method(net.title, bundle, seed=seed)]
    if net.name == stp(TOKEN_DATA.patch_size, USUAL_RATIO).name:
        found += [Method(at_ratio(r), bundle, options={"prune_ratio": r}, seed=seed) for r in OTHER_RATIOS]
    return found


def at_ratio(ratio: float) -> str:
    """Title of the usual network, run at another prune ratio than it was trained at."""
    return f"STP + MTA, trained at r = {USUAL_RATIO:g}, run at {ratio:g}"


def unseen(data: DataSet, splits: dict, folder: Path) -> list[EvaluationCase]:
    """The test cases of a data set."""
    return [
        EvaluationCase(
            case["name"],
            folder / case["image"],
            folder / case["label"],
            {int(value): int(ours) for value, ours in case["map"].items()},
            split="test",
        )
        for case in test_cases(splits, data)
    ]


def note(training: str, bundle: bundles.Bundle, path: Path) -> None:
    """Add a line on a training to a table, once."""
    known = path.exists() and any(row["training"] == training for row in csv.DictReader(path.open(encoding="utf-8")))
    if known:
        return
    model = networks.build(bundle.network.name, bundle.network.options, len(bundle.channels), bundle.num_outputs)
    line = {
        "training": training,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "iterations": bundle.provenance["iterations"],
        "minutes": bundle.provenance["minutes_planned"],
    }
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(line), lineterminator="\n")
        if not file.tell():
            writer.writeheader()
        writer.writerow(line)


def finished(runs: Path, names: list[str]) -> Iterator[str]:
    """Trainings that have a bundle."""
    return (name for name in names if (runs / name / "bundle" / "bundle.json").exists())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--splits", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path, help="folder of the tables")
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of the trainings' names")
    parser.add_argument("--strategy", nargs="*", default=("nmsw", "sliding_window"), help="only runs of these")
    parser.add_argument("--cases", type=int, help="only so many")
    parser.add_argument("--wait", action="store_true", help="for all of them to finish")
    given = parser.parse_args()
    torch.set_num_threads(1)
    splits = json.loads(given.splits.read_text(encoding="utf-8"))
    given.output.mkdir(parents=True, exist_ok=True)
    left = [name for name in trainings(splits) if name.startswith(tuple(given.only))]
    while left:
        name = next(finished(given.runs, left), None)
        if name is None and not given.wait:
            return
        if name is None:
            time.sleep(IDLE_SECONDS)
            continue
        left.remove(name)
        table, data, _ = TABLES[name.split("-")[0]]
        cases = unseen(data, splits, given.data)[: given.cases]
        bundle = bundles.load(given.runs / name / "bundle")
        note(name, bundle, given.output / "trainings.csv")
        chosen = [method for method in methods(name, bundle) if method.strategy_name in given.strategy]
        rows = compare(chosen, cases, Results(given.output / f"{table}.csv"))
        for method in chosen:
            count = method.options.get("top_k")
            own = [row.dice for row in rows if (row.method, row.top_k) == (method.name, count) and row.dice is not None]
            print(f"{name}, {method.name}, K = {count}: {sum(own) / max(len(own), 1):.3f}", flush=True)
        for error in {row.error for row in rows if row.error}:
            print(f"{name}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
