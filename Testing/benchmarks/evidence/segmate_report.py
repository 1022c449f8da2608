"""What SegMate is worth, from the results of `python -m EfficientSegLib evaluate` on the unseen cases.

    python Testing/benchmarks/evidence/segmate_report.py --results EVALUATION/results.csv --output FOLDER

Writes `table.md` (one line per method), `claims.md` (paired differences of Dice, HD95 and NSD) and `rows.csv`.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "benchmarks")]

from EfficientSegLib.evaluation import tables  # noqa: E402
from EfficientSegLib.evaluation.results import Row, read_rows  # noqa: E402
from evidence.claims import Choice, difference, markdown  # noqa: E402
from evidence.segmate_configs import ENCODERS, LADDER, LADDER_ENCODER  # noqa: E402

MEASURES = {"dice": "Dice", "nsd": "NSD (2 mm)", "hd95_mm": "HD95 (mm; below 0 is better)"}
FULL, PLAIN = "SegMate, {}", "vanilla, {}"
STEPS = {
    "asymmetric": "asymmetric decoder instead of the plain U-Net's",
    "cbam": "and CBAM",
    "nested": "and the second way up with SE",
    "stack": "and the neighbouring slices (2.5D)",
}
BESIDE = (("3D U-Net, whole volume", None), ("sliding window", None), ("NMSW", 30))


def pairs() -> list[tuple[str, Choice, Choice]]:
    """What is compared with what, in words."""
    result = [
        (f"SegMate against vanilla, {encoder}", (FULL.format(encoder), None), (PLAIN.format(encoder), None))
        for encoder in ENCODERS
    ]
    ladder = [PLAIN, *(f"{name}, {{}}" for name, _ in LADDER), FULL]
    words = [*(STEPS[name] for name, _ in LADDER), "and the slice's position"]
    result += [
        (f"{said} ({LADDER_ENCODER})", (after.format(LADDER_ENCODER), None), (before.format(LADDER_ENCODER), None))
        for said, before, after in zip(words, ladder, ladder[1:])
    ]
    return result + [
        (f"SegMate ({LADDER_ENCODER}) against {name}", (FULL.format(LADDER_ENCODER), None), (name, k))
        for name, k in BESIDE
    ]


def claims(rows: Sequence[Row]) -> str:
    """Paired differences by seed and case, one table per measure."""
    parts = []
    for measure, words in MEASURES.items():
        found = [difference(rows, *pair, measure=measure) for pair in pairs()]
        larger_is = "Larger" if measure == "hd95_mm" else "Better"
        table = markdown([claim for claim in found if claim], words, larger_is)
        parts.append(f"## {words}\n\n{table}")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", required=True, type=Path, nargs="+", help="results.csv of one or more evaluations")
    parser.add_argument("--output", required=True, type=Path)
    given = parser.parse_args()
    rows = [row for path in given.results for row in read_rows(path)]
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "table.md").write_text(tables.markdown(rows), encoding="utf-8")
    (given.output / "claims.md").write_text(f"# Differences\n\n{claims(rows)}", encoding="utf-8")
    if len(given.results) == 1:
        shutil.copyfile(given.results[0], given.output / "rows.csv")


if __name__ == "__main__":
    main()
