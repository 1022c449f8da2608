"""Score one trained bundle on test cases: agreement, cost and chosen patches, one CSV row per case, label and K.

    python Testing/benchmarks/evidence/evaluate.py --bundle FOLDER --data DATA --group sts_mr \
        --splits Testing/benchmarks/results/splits.json --output ROWS.csv

Every K is taken from one prediction: the labels are restored after the K-th patch, and no patch is read twice. Seconds
are those of the processor on one thread, of preparing, predicting and restoring, so that neighbours on the machine
count little; reading and writing files is left out. Cases that the output holds already are not done again.
"""

import argparse
import csv
import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "benchmarks")]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib import networks, strategies  # noqa: E402
from EfficientSegLib.bundle import Bundle  # noqa: E402
from EfficientSegLib.evaluation.cost import Cost, count, count_nmsw, count_sliding_window  # noqa: E402
from EfficientSegLib.evaluation.metrics import LabelScore, score  # noqa: E402
from EfficientSegLib.geometry import PatchBox  # noqa: E402
from EfficientSegLib.options import read_options  # noqa: E402
from EfficientSegLib.preprocess import Prepared, prepare, to_source  # noqa: E402
from EfficientSegLib.restore import restore_labels  # noqa: E402
from EfficientSegLib.segment import load_model  # noqa: E402
from EfficientSegLib.strategies import PatchLogits, Prediction, Watcher  # noqa: E402
from EfficientSegLib.volume import Volume, read  # noqa: E402
from evidence.cover import best_first, covered  # noqa: E402
from evidence.places import files  # noqa: E402

COUNTS = (0, 1, 3, 5, 10, 20, 30, 60)  # patches read; and all of them

FEW = (0, 5, 30)


@dataclass(frozen=True)
class Way:
    """One way to use a trained network."""

    name: str
    strategy: str
    options: dict[str, Any] = field(default_factory=dict)
    class_weights: str = "learned"
    few: bool = False  # only some K: scoring costs more than reading

    @property
    def by_count(self) -> bool:
        """Whether answers at several K are asked for."""
        return self.strategy in ("nmsw", "random_foreground")


TOP_K = {"top_k": None, "clip_top_k": True, "skip_background": False}
WAYS = {
    "sw": (Way("SW", "sliding_window"),),
    "whole": (Way("SW", "sliding_window"),),
    "zoom": (Way("zoom-out", "zoom_out"),),
    "random": (
        Way("random", "random_foreground", TOP_K, "ten"),
        Way("random, learned class weights", "random_foreground", TOP_K, few=True),
    ),
    "nmsw": (
        Way("NMSW", "nmsw", TOP_K),
        Way("NMSW, weights one", "nmsw", TOP_K, "one", few=True),
        Way("random, NMSW's weights", "random_foreground", TOP_K),
        Way("SW, NMSW's local network", "sliding_window"),
    ),
    "taught": (
        Way("NMSW, taught scores", "nmsw", TOP_K),
        Way("random, taught scores' weights", "random_foreground", TOP_K),
    ),
    "wide": (Way("SW, wide patches", "sliding_window"),),
    "nmsw-one": (Way("NMSW trained with one", "nmsw", TOP_K, "one"),),
}
FIELDS = (
    *("training", "way", "case", "seed", "k", "read", "candidates", "label", "dice", "nsd", "hd95_mm"),
    *("prediction_ml", "reference_ml", "cpu_seconds", "gmacs", "paper_gmacs"),
)


@dataclass(frozen=True)
class State:
    """An answer after some patches."""

    k: int | None  # asked for; None: all
    read: int
    labels: np.ndarray  # on the grid of the input
    cpu_seconds: float


class Snapshots(Watcher):
    """Keeps the labels after certain numbers of patches; its own time is not counted."""

    def __init__(self, prepared: Prepared, bundle: Bundle, counts: Sequence[int], started: float) -> None:
        self._prepared, self._bundle, self._counts = prepared, bundle, counts
        self._clock = started
        self.states: list[State] = []
        self.boxes: tuple = ()

    def chosen(self, patches: tuple, candidates: int, class_weights: tuple[float, ...] | None) -> None:
        self.boxes = patches

    def refined(self, logits: PatchLogits | None, box: PatchBox | None, read: int, total: int) -> None:
        if logits is not None and read in self._counts and read < total:
            self.keep(logits, read, read)

    def keep(self, logits: PatchLogits, k: int | None, read: int) -> None:
        before = time.process_time()
        labels = restore_labels(logits, self._prepared, self._bundle.channel_values)
        self.states.append(State(k, read, np.ascontiguousarray(labels), time.process_time() - self._clock))
        self._clock += time.process_time() - before


def states(volume: Volume, bundle: Bundle, model: torch.nn.Module, way: Way, seed: int, counts: Sequence[int]):
    """Answers at every K, the chosen boxes, and how the volume was prepared."""
    module = strategies.module(way.strategy)
    given = {**bundle.strategy.options, **way.options, "class_weights": way.class_weights, "seed": seed}
    known = {option.name for option in dataclasses.fields(module.Options)}
    options = read_options(module.Options, {name: value for name, value in given.items() if name in known})
    started = time.process_time()
    prepared = prepare(volume, bundle.preprocess)
    kept = Snapshots(prepared, bundle, counts if way.by_count else (), started)
    with torch.inference_mode():
        prediction: Prediction = module.predict(torch.from_numpy(prepared.array), model, options, kept)
        kept.keep(prediction.logits, None, -1)
    done = dataclasses.replace(kept.states[-1], read=prediction.logits.patches_read)
    kept.states[-1] = done
    late = [k for k in counts if k >= done.read] if way.by_count else []
    kept.states[-1:] = [*(dataclasses.replace(done, k=k) for k in late), done]
    return kept.states, kept.boxes, prepared, prediction.candidates


def cost(bundle: Bundle, way: Way, shape: tuple[int, ...], read: int) -> Cost:
    """Multiply-adds of one case; the networks of zoom-out are those of NMSW."""
    plain = networks.build(bundle.network.name, bundle.network.options, len(bundle.channels), bundle.num_labels)
    if way.strategy != "sliding_window":
        return count_nmsw(plain, shape, read)
    local = getattr(plain, "local_network", plain)
    patch = getattr(plain, "patch_size", None) or tuple(bundle.strategy.options["patch_size"])
    at_least = tuple(max(n, p) for n, p in zip(shape, patch))
    if way.by_count:
        return count(local, patch).times(read)
    return count_sliding_window(local, at_least, patch, 0.5)


def rows_of_case(
    name: str,
    image: Path,
    label: Path,
    bundle: Bundle,
    model: torch.nn.Module,
    training: str,
    seed: int,
    counts: Sequence[int],
    only_dice: Sequence[int] = (),
) -> Iterator[tuple[list[dict], list[dict], list[dict]]]:
    """Per way: rows of scores, of patches and of covered errors of one case."""
    volume = read(image)
    reference = read(label).array[0]
    method = training.split("-", 1)[1].rsplit("-", 1)[0]
    for way in WAYS[method]:
        if only_dice and (way.name.startswith("random") or method == "taught"):
            way = dataclasses.replace(way, options={**way.options, "top_k": max(counts)})
        if only_dice and way.name == "SW, NMSW's local network":
            continue  # the same as all patches with class weights of one
        own = [k for k in counts if k in FEW or not way.few]
        found, boxes, prepared, candidates = states(volume, bundle, model, way, seed, own)
        rows, scores = [], {}
        if way.options.get("top_k") is not None:
            found = [state for state in found if state.k is not None]  # the last is not all patches
        for state in found:
            if state.read not in scores:
                values = [label.value for label in bundle.labels]
                measure = dice_alone if state.k in only_dice else score
                scores[state.read] = (
                    measure(state.labels, reference, volume.spacing_mm, values),
                    cost(bundle, way, prepared.array.shape[1:], max(state.read, 0)),
                )
            by_label, macs = scores[state.read]
            common = {
                "training": training,
                "way": way.name,
                "case": name,
                "seed": seed,
                "k": "all" if state.k is None else state.k,
                "read": state.read,
                "candidates": candidates,
                "cpu_seconds": round(state.cpu_seconds, 3),
                "gmacs": round(macs.macs / 1e9, 3),
                "paper_gmacs": round(macs.paper_macs / 1e9, 3),
            }
            rows += [{**common, "label": value, **_numbers(measured)} for value, measured in by_label.items()]
        yield (
            rows,
            [*_patch_rows(training, way, name, boxes, prepared, reference)],
            [*_cover_rows(training, way, name, found, boxes, prepared, reference, counts)],
        )


def dice_alone(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], labels: Sequence[int]):
    """What `score` gives, without the measures of surfaces, which take seconds where labels are many and large."""
    size = max(labels) + 1
    pairs = np.bincount(prediction.ravel().astype(np.int64) * size + reference.ravel(), minlength=size**2)
    table, ml = pairs.reshape(size, size), float(np.prod(spacing_mm)) / 1000
    result = {}
    for value in labels:
        found, there = int(table[value].sum()), int(table[:, value].sum())
        agreement = 2 * int(table[value, value]) / (found + there) if found + there else None
        result[value] = LabelScore(agreement, None, None, found * ml, there * ml)
    return result


def _numbers(measured: LabelScore) -> dict[str, float | str]:
    values = dataclasses.asdict(measured)
    return {name: "" if value is None else round(value, 5) for name, value in values.items()}


def _patch_rows(training: str, way: Way, case: str, boxes: Sequence, prepared: Prepared, reference: np.ndarray):
    """Where the chosen patches lie, in voxels of the input, and how much of the reference is in each."""
    for patch in boxes if way.by_count else ():
        box = to_source(patch.box, prepared)
        inside = reference[box.slices()]
        yield {
            "training": training,
            "way": way.name,
            "case": case,
            "rank": patch.rank,
            "score": round(patch.score, 4),
            "start": " ".join(map(str, box.start)),
            "stop": " ".join(map(str, box.stop)),
            "labelled_share": round(float((inside > 0).mean()), 5),
            "labels": " ".join(map(str, np.unique(inside[inside > 0]).tolist())),
        }


def _cover_rows(training: str, way: Way, case: str, found, boxes: Sequence, prepared: Prepared, reference, counts):
    """How much of the coarse pass's errors the patches cover, and how much as many could cover at best."""
    if way.by_count and way.class_weights == "learned":
        errors = found[0].labels != reference
        places = [to_source(patch.box, prepared) for patch in boxes]
        orders = {way.name: places}
        if way.strategy == "nmsw":
            orders["best possible"] = best_first(errors, places, max(counts))
        for order, chosen in orders.items():
            for k, share in covered(errors, chosen, counts):
                yield {"training": training, "way": order, "case": case, "k": k, "covered": round(share, 5)}


def _append(path: Path, rows: list[dict]) -> None:
    if not rows:
        return
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, type=Path, help="its training's folder is called DATA-METHOD-SEED")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--group", required=True, help="entry of the split file, and folder of the data")
    parser.add_argument("--folder", help="folder of the data, where its name is not that of the entry")
    parser.add_argument("--splits", required=True, type=Path)
    parser.add_argument("--part", default="test")
    parser.add_argument("--counts", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--only-dice", nargs="*", type=int, default=(), help="K without measures of surfaces")
    parser.add_argument("--output", required=True, type=Path, help="rows; the patches go beside it as *.patches.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bundle = bundles.load(given.bundle)
    model = load_model(bundle, "cpu")
    training = given.bundle.parent.name if given.bundle.name == "bundle" else given.bundle.name
    seed = int(training.rsplit("-", 1)[1])
    done = set()
    if given.output.exists():
        done = {row["case"] for row in csv.DictReader(given.output.open(encoding="utf-8"))}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    weights = given.output.with_suffix(".weights.csv")
    if hasattr(model, "class_weights") and not weights.exists():
        learned = model.class_weights.tolist()[1:]
        named = zip(bundle.labels, learned, strict=True)
        _append(weights, [{"training": training, "label": label.name, "weight": round(c, 5)} for label, c in named])
    for name in json.loads(given.splits.read_text(encoding="utf-8"))[given.group][given.part]:
        if name in done:
            continue
        rows, patches, cover = [], [], []
        image, label = (given.data / path for path in files(given.folder or given.group, name))
        for scored, chosen, shares in rows_of_case(
            name, image, label, bundle, model, training, seed, given.counts, given.only_dice
        ):
            rows += scored
            patches += chosen
            cover += shares
        _append(given.output.with_suffix(".patches.csv"), patches)
        _append(given.output.with_suffix(".cover.csv"), cover)
        _append(given.output, [{key: row[key] for key in FIELDS} for row in rows])
        last = {row["way"]: row["k"] for row in rows}
        summary = {
            way: np.mean([row["dice"] for row in rows if row["way"] == way and row["k"] == k and row["dice"] != ""])
            for way, k in last.items()
        }
        print(name, {way: round(float(value), 3) for way, value in summary.items()}, flush=True)


if __name__ == "__main__":
    main()
