"""Tables and plots from the rows of all evaluations.

    python Testing/benchmarks/evidence/report.py --rows ROWS --output Testing/benchmarks/results

Per data set: `NAME-table.md` and `.csv` (the paper's Table 2), `NAME-claims.md` (paired differences),
`NAME-dice-by-k.png`, `NAME-choice.png`, `NAME-errors-covered.png`, `NAME-gain-by-label.png`, and
`NAME-class-weights.png` where there are many labels.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "benchmarks")]

from EfficientSegLib.evaluation import tables  # noqa: E402
from EfficientSegLib.evaluation.results import Row  # noqa: E402
from evidence import plots  # noqa: E402
from evidence.claims import claims  # noqa: E402
from evidence.claims import markdown as claims_markdown  # noqa: E402
from evidence.configs import HIPPOCAMPUS, STS_MR, TORSO, DataSet  # noqa: E402
from evidence.evaluate import FEW, WAYS  # noqa: E402
from evidence.rows import read_rows  # noqa: E402

DATA: dict[str, DataSet] = {"mr": STS_MR, "hippo": HIPPOCAMPUS, "field": HIPPOCAMPUS, "torso": TORSO}
IN_TABLE = (None, 0, 5, 30, "all")  # patches
IN_CURVES = {
    *("SW", "random", "zoom-out"),
    *("NMSW", "NMSW, weights one", "NMSW, taught scores", "random, NMSW's weights", "SW, wide patches"),
}
IN_CHOICE = {"NMSW", "random, NMSW's weights", "NMSW, taught scores"}  # what differs is which patches are read
SPARSE = {way.name for ways in WAYS.values() for way in ways if way.few}
IN_GAINS = {"NMSW": plots.MORE, "random, NMSW's weights": plots.LESS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for name, data in DATA.items():
        rows = complete(read_rows(given.rows, name, data.labels))
        if rows:
            report(name, rows, given.rows, given.output)


def complete(rows: Sequence[Row]) -> list[Row]:
    """What was scored on all cases: rows of other K are left out, and so are measures that only some cases have."""
    everything = {row.case for row in rows}
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row.method not in SPARSE or row.top_k in (*FEW, "all"):
            groups.setdefault((row.method, row.top_k), []).append(row)
    kept = []
    for group in groups.values():
        partly = {row.case for row in group if row.nsd is not None} != everything
        if {row.case for row in group} == everything:
            kept += [replace(row, nsd=None, hd95_mm=None) for row in group] if partly else group
    return kept


def report(name: str, rows: Sequence[Row], source: Path, output: Path) -> None:
    """All files of one data set."""
    shown = [row for row in rows if row.top_k in IN_TABLE]
    (output / f"{name}-table.md").write_text(tables.markdown(shown).replace("# Evaluation", f"# {name}", 1), "utf-8")
    _csv(tables.summarise(rows), output / f"{name}-table.csv")
    compared = claims(rows)
    if compared:
        (output / f"{name}-claims.md").write_text(claims_markdown(compared), encoding="utf-8")
        for names, part in ((IN_CURVES, "dice-by-k"), (IN_CHOICE, "choice")):
            plots.dice_by_count([row for row in rows if row.method in names], output / f"{name}-{part}.png")
        there = {method: color for method, color in IN_GAINS.items() if any(row.method == method for row in rows)}
        plots.gain_by_label(rows, 5, output / f"{name}-gain-by-label.png", there)
        plots.errors_covered(_cover(source, name), output / f"{name}-errors-covered.png")
    weights = _weights(source, name)
    if len(weights) > 4:
        sizes: dict[str, list[float]] = {}
        for row in rows:
            if row.reference_ml:
                sizes.setdefault(row.label, []).append(row.reference_ml)
        means = {label: fmean(found) for label, found in sizes.items()}
        kept = {label: weight for label, weight in weights.items() if label in means}
        plots.weights_by_size(kept, means, output / f"{name}-class-weights.png")


def _cover(source: Path, name: str) -> dict[str, dict[int, list[float]]]:
    """Way -> K -> mean over the cases, one number per seed."""
    found: dict[str, dict[int, list[float]]] = {}
    paths = [path for kind in ("nmsw", "taught") for path in sorted(source.glob(f"{name}-{kind}-[0-9].cover.csv"))]
    for path in paths:
        own: dict[tuple[str, int], list[float]] = {}
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["way"] == "NMSW, taught scores" or "-nmsw-" in path.name:
                    own.setdefault((row["way"], int(row["k"])), []).append(float(row["covered"]))
        for (way, k), values in own.items():
            found.setdefault(way, {}).setdefault(k, []).append(fmean(values))
    return found


def _weights(source: Path, name: str) -> dict[str, float]:
    """Mean over the seeds of NMSW's learned class weights."""
    found: dict[str, list[float]] = {}
    for path in sorted(source.glob(f"{name}-nmsw-[0-9].weights.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["label"], []).append(float(row["weight"]))
    return {label: fmean(values) for label, values in found.items()}


def _csv(summaries: Sequence[tables.Summary], path: Path) -> None:
    plain = ("method", "top_k", "cases", "seeds", "one_sided")
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*plain, *(f"{m}{part}" for m in tables.MEASURES for part in ("", "_deviation"))])
        for summary in summaries:
            values = [getattr(summary, measure) for measure in tables.MEASURES]
            numbers = [n for value in values for n in ((value.mean, value.deviation) if value else (None, None))]
            cells = [*(getattr(summary, p) for p in plain), *(n if n is None else round(n, 5) for n in numbers)]
            writer.writerow(["" if cell is None else cell for cell in cells])


if __name__ == "__main__":
    main()
