"""Whether the order of review finds errors sooner than chance: area under "share of the wrong volume found by place n".

    python Testing/benchmarks/review_order.py --bundle demo-ct --data DATA \
        --cases Resources/Bundles/demo-ct/training.json --most 1 --patches 5,20
    python Testing/benchmarks/review_order.py --bundle FOLDER --data DATA --group msd_hippocampus --part test \
        --splits Testing/benchmarks/results/splits.json --patches 5,30

For each case the bundle segments the image, `review` names its places, and the reference says how much volume in each
is wrong. Compared are orders of the same places: the one given, chance (its expectation, exactly), most surface first,
most of one kind of evidence first, and the best there is. With `--fit` the weights of the kinds are fitted to the cases
besides (least squares, none negative): on training cases, never on those a figure is told of. One thread; no figure
says anything about patients.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "benchmarks")]

from evidence.configs import HIPPOCAMPUS, STS_MR, case_of  # noqa: E402

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib.bundle import Bundle  # noqa: E402
from EfficientSegLib.commands.segment import find_bundle  # noqa: E402
from EfficientSegLib.preprocess import prepare  # noqa: E402
from EfficientSegLib.review.evidence import MOST_PLACES, WEIGHTS, Evidence, gather, listed  # noqa: E402
from EfficientSegLib.segment import load_model, segment  # noqa: E402
from EfficientSegLib.volume import read  # noqa: E402

GROUPS = {"msd_hippocampus": HIPPOCAMPUS, "sts_mr": STS_MR}


@dataclass(frozen=True)
class Judged:
    """One segmented case."""

    name: str
    evidence: Evidence
    wrong: np.ndarray  # (places,) voxels that differ from the reference
    listed: np.ndarray  # (n,) places in the order of review, as the panel gets them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--cases", type=Path, help="a training's configuration: its first cases with labels")
    parser.add_argument("--group", choices=GROUPS)
    parser.add_argument("--splits", type=Path)
    parser.add_argument("--part", choices=("train", "test"), default="test")
    parser.add_argument("--patches", default="", help="numbers, with commas; default: the bundle's own")
    parser.add_argument("--most", type=int, default=999, help="cases")
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bundle = bundles.load(find_bundle(given.bundle))
    budgets = [{"top_k": int(text)} for text in given.patches.split(",") if text] or [{}]
    for budget in budgets:
        options = {**budget, "clip_top_k": True} if budget else {}
        judged = list(_judged(bundle, _cases(given), given.data, options))
        print(f"\n{bundle.name}, {len(judged)} cases, options {budget or 'of the bundle'}\n")
        print(_table(judged))
        if given.fit:
            print(_fitted(judged))


def _cases(given: argparse.Namespace) -> list[dict]:
    if given.cases:
        return [case for case in json.loads(given.cases.read_text(encoding="utf-8"))["cases"] if case.get("label")][
            : given.most
        ]
    names = json.loads(given.splits.read_text(encoding="utf-8"))[given.group][given.part]
    return [case_of(GROUPS[given.group], name) for name in names[: given.most]]


def _judged(bundle: Bundle, cases: list[dict], data: Path, options: dict) -> Iterator[Judged]:
    model = load_model(bundle, "cpu")
    for case in cases:
        volume, drawn = read(data / case["image"]), read(data / case["label"]).array[0]
        done = segment(volume, bundle, model, options=options)
        prepared = prepare(volume, bundle.preprocess)
        with torch.inference_mode():
            evidence = gather(done.labels, None, done.reading, done.patches, prepared, bundle)
        reference = np.zeros(drawn.shape, done.labels.dtype)
        shown = {label.value for label in bundle.shown_labels}
        for source, value in case["map"].items():
            if value in shown:
                reference[drawn == int(source)] = value
        places = evidence.cells.of(np.nonzero(reference != done.labels))
        wrong = np.bincount(places, minlength=evidence.cells.count)
        yield Judged(case["image"], evidence, wrong, listed(evidence, None))


def area(wrong: np.ndarray, order: np.ndarray) -> float:
    """Mean share of the wrong volume of these places that is found after the first, the second … of them."""
    found = np.cumsum(wrong[order]) / max(wrong[order].sum(), 1)
    return float(found.mean())


def _orders(case: Judged) -> dict[str, np.ndarray]:
    """The places of a case in several orders."""
    chosen, evidence = case.listed, case.evidence

    def by(value: np.ndarray) -> np.ndarray:
        return chosen[np.argsort(-value[chosen], kind="stable")]

    kinds = {f"{kind} alone": by(getattr(evidence, kind)) for kind in WEIGHTS}
    return {"ours": chosen, "most surface first": by(evidence.surface), **kinds, "the best there is": by(case.wrong)}


def _table(judged: list[Judged]) -> str:
    judged = [case for case in judged if case.wrong[case.listed].sum()]
    number = np.array([len(case.listed) for case in judged])
    chance = (number + 1) / (2 * number)
    few = [10, MOST_PLACES]
    lines = [
        "| Order of the same places | Area | Less chance | Cases above chance | "
        + " | ".join(f"Found by the first {count}" for count in few)
        + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(few),
        f"| chance | {chance.mean():.3f} | – | – |"
        + "".join(f" {np.minimum(count / number, 1).mean():.0%} |" for count in few),
    ]
    for name in _orders(judged[0]):
        orders = [_orders(case)[name] for case in judged]
        gain = np.array([area(case.wrong, order) for case, order in zip(judged, orders)]) - chance
        found = [
            np.mean([case.wrong[order[:count]].sum() / case.wrong[order].sum() for case, order in zip(judged, orders)])
            for count in few
        ]
        lines.append(
            f"| {name} | {(gain + chance).mean():.3f} | {gain.mean():+.3f} ± {gain.std():.3f} | "
            f"{(gain > 0).sum()} of {len(gain)} |" + "".join(f" {share:.0%} |" for share in found)
        )
    covered = np.mean([case.wrong[case.listed].sum() / max(case.wrong.sum(), 1) for case in judged])
    every = np.mean([(case.wrong > 0).sum() for case in judged])
    lines.append(
        f"\n{number.mean():.0f} places a case in which anything is seen or doubted, {every:.0f} with an error; "
        f"they hold {covered:.0%} of the wrong volume. The panel lists the first {MOST_PLACES}."
    )
    return "\n".join(lines)


def _fitted(judged: list[Judged]) -> str:
    """Weights of surface and signs that explain the shares of the wrong volume best, none negative."""
    judged = [case for case in judged if case.wrong.sum()]
    names = (*WEIGHTS, "surface")
    features = np.concatenate([_shares(case) for case in judged])
    wrong = np.concatenate([case.wrong / case.wrong.sum() for case in judged])
    best = (np.inf, {})
    for size in range(1, len(names) + 1):
        for kinds in combinations(range(len(names)), size):
            part, *_ = np.linalg.lstsq(features[:, kinds], wrong, rcond=None)
            error = float(((features[:, kinds] @ part - wrong) ** 2).sum())
            if (part >= 0).all() and error < best[0]:
                best = (error, {names[k]: round(float(w), 3) for k, w in zip(kinds, part)})
    explained = 1 - best[0] / float(((wrong - wrong.mean()) ** 2).sum())
    return f"\nFitted weights {best[1]}; they explain {explained:.0%} of the variance between places."


def _shares(case: Judged) -> np.ndarray:
    """Signs and surface as shares, (places, 4)."""
    return np.stack([*case.evidence.signs(), case.evidence.surface / max(case.evidence.surface.sum(), 1e-12)], 1)


if __name__ == "__main__":
    main()
