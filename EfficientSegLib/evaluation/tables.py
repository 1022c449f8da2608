"""From the rows of an evaluation to one line per method, in the layout of the NMSW paper's Table 2.

Within a case, a measure is averaged over the labels that count (metrics.py has the rule). A method that was run with
one seed is given as mean ± standard deviation over its cases; one with several seeds as mean ± standard deviation over
the seeds, each being a mean over the cases. Standard deviations are those of a sample (n - 1).
"""

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from EfficientSegLib.evaluation.results import Row
from EfficientSegLib.files import replacing

NOTHING = "–"
RULE = (
    "A label that is in neither map is not counted; one that is in one map only has Dice 0, NSD 0 and the diagonal of "
    "the volume as HD95, and is counted under *one-sided*. GMACs are 10⁹ multiply-adds: really done, and as the NMSW "
    "paper counts them. Memory is that of the whole process."
)


@dataclass(frozen=True)
class Spread:
    """A mean, and the standard deviation of what it is the mean of; None for a single value."""

    mean: float
    deviation: float | None
    count: int

    @staticmethod
    def of(values: Iterable[float | None]) -> "Spread | None":
        """None where there is no value; values that are None are left out."""
        there = [value for value in values if value is not None]
        if not there:
            return None
        deviation = statistics.stdev(there) if len(there) > 1 else None
        return Spread(statistics.fmean(there), deviation, len(there))


@dataclass(frozen=True)
class Summary:
    """One method with one number of patches."""

    method: str
    top_k: int | str | None  # None: it has no such option
    cases: int
    seeds: int
    failed: int  # runs
    one_sided: int  # labels of cases that were missed altogether, or found where there is nothing
    dice: Spread | None
    nsd: Spread | None
    hd95_mm: Spread | None
    patches_read: Spread | None
    gmacs: Spread | None
    paper_gmacs: Spread | None
    seconds: Spread | None
    peak_memory_mb: Spread | None


MEASURES = tuple(field.name for field in fields(Summary) if "Spread" in str(field.type))


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """One summary per method and number of patches: methods in order of appearance, fewer patches first."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.top_k), []).append(row)
    order = list(dict.fromkeys(row.method for row in rows))
    keys = sorted(groups, key=lambda key: (order.index(key[0]), _patches_order(key[1])))
    return [_summary(*key, groups[key]) for key in keys]


def spread(rows: Sequence[Row], measure: str) -> Spread | None:
    """A measure of one method over cases, or over seeds where there are several."""
    runs: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        value = getattr(row, measure)
        if value is not None and not row.error:
            runs.setdefault(row.seed, {}).setdefault(row.case, []).append(value)
    by_seed = [[statistics.fmean(labels) for labels in cases.values()] for cases in runs.values()]
    if len(by_seed) == 1:
        return Spread.of(by_seed[0])
    return Spread.of(statistics.fmean(cases) for cases in by_seed)


def _summary(method: str, top_k: int | str | None, rows: list[Row]) -> Summary:
    scored = [row for row in rows if not row.error]
    return Summary(
        method=method,
        top_k=top_k,
        cases=len({row.case for row in scored}),
        seeds=len({row.seed for row in rows}),
        failed=sum(1 for row in rows if row.error),
        one_sided=sum(1 for row in scored if (row.prediction_ml > 0) != (row.reference_ml > 0)),
        **{measure: spread(scored, measure) for measure in MEASURES},
    )


def markdown(rows: Sequence[Row]) -> str:
    """The summary and Dice by label as Markdown, which is readable as it is."""
    summaries = summarise(rows)
    cases, seeds = len({row.case for row in rows}), max((summary.seeds for summary in summaries), default=0)
    tolerances = ", ".join(f"{value:g}" for value in sorted({row.tolerance_mm for row in rows}))
    over = f"seeds ({seeds})" if seeds > 1 else "cases"
    parts = [
        "# Evaluation",
        f"{cases} cases. Mean ± standard deviation over {over}. NSD at a tolerance of {tolerances} mm. {RULE}",
        _table(_head(summaries), [_cells(summary, _head(summaries)) for summary in summaries]),
    ]
    by_label = _label_table(rows, summaries)
    if by_label:
        parts += ["## Dice by label", by_label]
    failures = list(dict.fromkeys(f"- {row.run}: {row.error}" for row in rows if row.error))
    if failures:
        parts += ["## Failed", "\n".join(failures)]
    return "\n\n".join(parts) + "\n"


def text_table(rows: Sequence[Row]) -> str:
    """The summary alone, for a terminal."""
    summaries = summarise(rows)
    return _table(_head(summaries), [_cells(summary, _head(summaries)) for summary in summaries])


def write(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write `summary.md` and `summary.csv`; older ones are replaced in one step.

    Raises:
        VolumeError: they cannot be written.
    """
    paths = [folder / "summary.md", folder / "summary.csv"]
    for path, text in zip(paths, (markdown(rows), _csv(summarise(rows)))):
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8", newline="")
    return paths


_COLUMNS: dict[str, Callable[[Summary], str]] = {
    "Method": lambda s: s.method,
    "K": lambda s: NOTHING if s.top_k is None else str(s.top_k),
    "Dice": lambda s: shown(s.dice, ".3f"),
    "NSD": lambda s: shown(s.nsd, ".3f"),
    "HD95 (mm)": lambda s: shown(s.hd95_mm, ".1f"),
    "Patches": lambda s: shown(s.patches_read, ".1f", alone=True),
    "GMACs": lambda s: shown(s.gmacs, ",.2f", alone=True),
    "GMACs (paper)": lambda s: shown(s.paper_gmacs, ",.2f", alone=True),
    "Seconds": lambda s: shown(s.seconds, ".2f"),
    "Memory (MB)": lambda s: shown(s.peak_memory_mb, ".0f", alone=True),
    "Cases": lambda s: str(s.cases),
    "One-sided": lambda s: str(s.one_sided),
    "Failed": lambda s: str(s.failed),
}
_ALWAYS = ("Method", "Dice", "NSD", "HD95 (mm)", "Cases")


def _head(summaries: Sequence[Summary]) -> list[str]:
    """The columns in which anything stands."""
    return [
        name
        for name, cell in _COLUMNS.items()
        if name in _ALWAYS or any(cell(summary) not in (NOTHING, "0") for summary in summaries)
    ]


def _cells(summary: Summary, head: Sequence[str]) -> list[str]:
    return [_COLUMNS[name](summary) for name in head]


def shown(value: Spread | None, form: str, alone: bool = False) -> str:
    """A cell of a table.

    Args:
        form: of both numbers, such as ".3f".
        alone: the mean without its deviation.
    """
    if value is None:
        return NOTHING
    if alone or value.deviation is None:
        return format(value.mean, form)
    return f"{value.mean:{form}} ± {value.deviation:{form}}"


def _label_table(rows: Sequence[Row], summaries: Sequence[Summary]) -> str:
    """Labels down and methods across, or the other way round where methods are more."""
    labels = list(dict.fromkeys((row.value, row.label) for row in rows if row.value is not None))
    if len(labels) < 2:
        return ""
    own: dict[tuple, list[Row]] = {}
    for row in rows:
        own.setdefault((row.value, row.label, row.method, row.top_k), []).append(row)
    names = [s.method if s.top_k is None else f"{s.method} (K = {s.top_k})" for s in summaries]
    cells = [
        [shown(spread(own.get((*label, s.method, s.top_k), []), "dice"), ".3f") for s in summaries] for label in labels
    ]
    if len(names) <= len(labels):
        return _table(["Label", *names], [[name, *line] for (_, name), line in zip(labels, cells)])
    head = ["Method", *(name for _, name in labels)]
    return _table(head, [[name, *line] for name, line in zip(names, zip(*cells))])


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (head, *lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    rows = [
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))] for line in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (rows[0], rule, *rows[1:]))


def _csv(summaries: Sequence[Summary]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    plain = ("method", "top_k", "cases", "seeds", "failed", "one_sided")
    writer.writerow([*plain, *(f"{measure}{part}" for measure in MEASURES for part in ("", "_deviation"))])
    for summary in summaries:
        values = [getattr(summary, measure) for measure in MEASURES]
        numbers = [number for value in values for number in ((value.mean, value.deviation) if value else (None, None))]
        line = [*(getattr(summary, name) for name in plain), *(n if n is None else round(n, 6) for n in numbers)]
        writer.writerow("" if cell is None else cell for cell in line)
    return text.getvalue()


def _patches_order(top_k: int | str | None) -> float:
    return -1.0 if top_k is None else float("inf") if top_k == "all" else float(top_k)
