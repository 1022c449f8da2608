"""The rows that `evaluate.py` wrote, as the library's tables and curves want them."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from EfficientSegLib.evaluation.metrics import TOLERANCE_MM
from EfficientSegLib.evaluation.results import Row


def read_rows(folder: Path, data: str, names: Sequence[str]) -> list[Row]:
    """All rows of one data set's trainings, in the order of their names.

    Args:
        names: of the labels, value 1 first.
    """
    rows = []
    for path in sorted(folder.glob(f"{data}-*.csv")):
        if path.name.count(".") == 1:
            with open(path, encoding="utf-8", newline="") as file:
                rows += [_row(entry, names) for entry in csv.DictReader(file)]
    return rows


def _row(entry: dict[str, str], names: Sequence[str]) -> Row:
    by_count = not entry["way"].startswith(("SW", "zoom"))
    options = {"top_k": None if entry["k"] == "all" else int(entry["k"])} if by_count else {}
    number = {name: float(entry[name]) if entry[name] else None for name in ("dice", "nsd", "hd95_mm")}
    return Row(
        method=entry["way"],
        seed=entry["training"].rsplit("-", 1)[1],
        bundle=entry["training"],
        bundle_sha="",
        strategy="",
        options=json.dumps(options),
        case=entry["case"],
        split="test",
        source="",
        device="cpu",
        threads=1,
        tolerance_mm=TOLERANCE_MM,
        value=int(entry["label"]),
        label=names[int(entry["label"]) - 1],
        prediction_ml=float(entry["prediction_ml"]),
        reference_ml=float(entry["reference_ml"]),
        patches_read=int(entry["read"]),
        candidates=int(entry["candidates"]),
        seconds=float(entry["cpu_seconds"]),
        gmacs=float(entry["gmacs"]),
        paper_gmacs=float(entry["paper_gmacs"]),
        **number,
    )


def pick(rows: Iterable[Row], method: str, top_k: int | str | None = None) -> list[Row]:
    """Those of one method with one number of patches."""
    return [row for row in rows if row.method == method and row.top_k == top_k]


def by_seed_and_case(rows: Iterable[Row], measure: str = "dice") -> dict[str, dict[str, float]]:
    """Seed -> case -> mean of a measure over the labels that count."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        value = getattr(row, measure)
        if value is not None:
            values.setdefault(row.seed, {}).setdefault(row.case, []).append(value)
    return {seed: {case: fmean(found) for case, found in cases.items()} for seed, cases in values.items()}
