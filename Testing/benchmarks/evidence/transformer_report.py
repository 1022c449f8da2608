"""Tables, paired differences and pictures from the rows of `transformer_evaluate.py`.

    python Testing/benchmarks/evidence/transformer_report.py --rows ROWS --quiet QUIET --output FOLDER

Writes `tokens.md`, `experts.md`, `sweep.md` and `registry.md` (a line for each method, then differences by seed), a
picture of each, and the rows themselves without what was measured beside other work: `FOLDER/rows` and `FOLDER/quiet`
serve as `ROWS` and `QUIET`, too.
`QUIET` holds such rows of a few cases, each training in a process of its own while the machine did nothing else:
seconds and memory are theirs.
"""

import argparse
import csv
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "benchmarks")]

from EfficientSegLib.evaluation.results import Results, Row, read_rows  # noqa: E402
from EfficientSegLib.evaluation.tables import NOTHING, shown, spread  # noqa: E402
from evidence.claims import Choice, difference, markdown  # noqa: E402
from evidence.plots import dice_by_line  # noqa: E402
from evidence.transformer_configs import (  # noqa: E402
    EXPERTS,
    RATIOS,
    TOKEN_DATA,
    USUAL_EXPERTS,
    USUAL_RATIO,
    Net,
    ablations,
    registry,
    stp,
    swin_smt,
    token_nets,
)
from evidence.transformer_evaluate import AFRESH, COUNTS, OTHER_RATIOS, WITHIN, at_ratio  # noqa: E402

MEASURES = {"dice": "Dice", "nsd": "NSD (2 mm)", "hd95_mm": "HD95 (mm; below 0 is better)"}
HEAD = (
    "Method",
    "Seeds",
    "Parameters",
    "Iterations",
    "Dice",
    "NSD",
    "HD95 (mm)",
    "GMACs a case",
    "Seconds",
    "Memory (MB)",
)
Pair = tuple[str, Choice, Choice]


@dataclass(frozen=True)
class Trained:
    """What the trainings of one line were; the numbers of several seeds."""

    parameters: int
    iterations: tuple[int, ...]


def token_pairs() -> list[Pair]:
    """What is compared with what of the tokens."""
    usual, *others = (stp(TOKEN_DATA.patch_size, USUAL_RATIO).title, *(net.title for net in ablations()[2:]))
    same = [(f"run at r = {r:g} against {USUAL_RATIO:g}, same weights", at_ratio(r), usual) for r in OTHER_RATIOS]
    chosen = [(f"STP against {other.split()[0]}", usual, other) for other in others]
    return [*ratio_pairs(), *(_whole(*pair) for pair in same), *part_pairs(), *(_whole(*pair) for pair in chosen)]


def ratio_pairs() -> list[Pair]:
    """Each prune ratio against none."""
    dense = token_nets()[0].title
    titles = [stp(TOKEN_DATA.patch_size, ratio).title for ratio in RATIOS]
    return [_whole(f"{title}, against dense", title, dense) for title in titles]


def part_pairs() -> list[Pair]:
    """What STP and MTA are made of, against what could stand there."""
    usual, (mim, quiet, *_) = stp(TOKEN_DATA.patch_size, USUAL_RATIO).title, (net.title for net in ablations())
    words = ("MTA against MIM", "noise against none")
    return [_whole(word, usual, other) for word, other in zip(words, (mim, quiet), strict=True)]


def expert_pairs() -> list[Pair]:
    """Each number of experts against none."""
    plain, *others = (swin_smt(number).title for number in EXPERTS)
    return [_whole(f"{title}, against {plain}", title, plain) for title in others]


def sweep_pairs() -> list[Pair]:
    """Both again."""
    return [*ratio_pairs(), *part_pairs(), *expert_pairs()]


def _whole(words: str, one: str, other: str) -> Pair:
    """A pair of methods that choose no patches."""
    return words, (one, None), (other, None)


def registry_pairs() -> list[Pair]:
    """For every network the strategies, then the new networks against what they change."""
    none, few, many = COUNTS
    pairs = []
    for net in registry():
        ways = {way: (f"{net.title}: {way}", None) for way in (AFRESH, WITHIN)}
        nmsw = f"{net.title}: NMSW"
        pairs += [(f"{net.title}: NMSW, K = {many}, against {way}", (nmsw, many), ways[way]) for way in ways]
        pairs += [(f"{net.title}: K = {many} against {count}", (nmsw, many), (nmsw, count)) for count in (none, few)]
    titles = {net.name: net.title for net in registry()}
    usual = stp(TOKEN_DATA.patch_size, USUAL_RATIO).name
    for one, other in ((usual, "unetr"), (f"experts{USUAL_EXPERTS}", "swin")):
        for way, count in (("NMSW", many), (WITHIN, None), (AFRESH, None)):
            chosen = tuple((f"{titles[name]}: {way}", count) for name in (one, other))
            pairs.append((f"{titles[one]} against {titles[other]}, {way}", *chosen))
    return pairs


@dataclass(frozen=True)
class Table:
    """A result file: the lines that it shows of a comparison's rows, in this order, and what is told apart in it."""

    rows: str
    titles: list[str]
    pairs: Callable[[], list[Pair]]
    way: str = ""  # only what was run so; its lines are called by the networks' titles alone

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """What it shows, complete."""
        found = complete([row for row in rows if row.method.split(":")[0] in self.titles], self.titles)
        if not self.way:
            return found
        ending = f": {self.way}"
        return [replace(row, method=row.method.removesuffix(ending)) for row in found if row.method.endswith(ending)]


def _titles(nets: Sequence[Net]) -> list[str]:
    return [net.title for net in nets]


TOKEN_TITLES = _titles([*token_nets(), *ablations()])
EXPERT_TITLES = _titles([swin_smt(number) for number in EXPERTS])
TABLES = {
    "tokens": Table("tokens", [*TOKEN_TITLES, *map(at_ratio, OTHER_RATIOS)], token_pairs),
    "experts": Table("experts", EXPERT_TITLES, expert_pairs),
    "sweep": Table("registry", [*TOKEN_TITLES, *EXPERT_TITLES], sweep_pairs, AFRESH),
    "registry": Table("registry", _titles(registry()), registry_pairs),
}


def complete(rows: Sequence[Row], titles: Sequence[str] = ()) -> list[Row]:
    """Without failed runs, and without the seeds that a method was not run with on all cases.

    Args:
        titles: of the networks, in the order that is wanted; few patches come before many before all.
    """
    cases = {row.case for row in rows}
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if not row.error:
            groups.setdefault((row.method, row.top_k, row.seed), []).append(row)
    whole = {key: group for key, group in groups.items() if {row.case for row in group} == cases}

    def place(key: tuple[str, int | None, str]) -> tuple:
        method, count, seed = key
        title = next((place for place, name in enumerate(titles) if method.split(":")[0] == name), len(titles))
        return title, count is None, method, count or 0, seed

    return [row for key in sorted(whole, key=place) for row in whole[key]]


def table(rows: Sequence[Row], quiet: Sequence[Row], trained: Mapping[str, Trained]) -> str:
    """A line for each method and number of patches; mean ± standard deviation over the seeds.

    Args:
        quiet: what seconds and memory are taken from.
        trained: by bundle name without its seed.
    """
    order = list(dict.fromkeys((row.method, row.top_k) for row in rows))
    lines = [HEAD, ("---", *("---:",) * (len(HEAD) - 1))]
    for method, count in order:
        own, still = ([row for row in source if (row.method, row.top_k) == (method, count)] for source in (rows, quiet))
        seeds = len({row.seed for row in own})
        known = trained.get(own[0].bundle.rsplit("-", 1)[0])
        lines.append(
            (
                method if count is None else f"{method}, K = {count}",
                str(seeds),
                f"{known.parameters / 1e6:.1f} M" if known else NOTHING,
                _range(known.iterations) if known else NOTHING,
                shown(spread(own, "dice"), ".3f", alone=seeds == 1),
                shown(spread(own, "nsd"), ".3f", alone=seeds == 1),
                shown(spread(own, "hd95_mm"), ".1f", alone=seeds == 1),
                shown(spread(own, "gmacs"), ".1f", alone=True),
                shown(spread(still, "seconds"), ".2f", alone=True),
                shown(spread(still, "peak_memory_mb"), ".0f", alone=True),
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"


def differences(rows: Sequence[Row], pairs: Sequence[Pair]) -> str:
    """Paired differences by seed and case, one table per measure; pairs that were not run are left out."""
    parts = []
    for measure, words in MEASURES.items():
        found = [difference(rows, *pair, measure=measure) for pair in pairs]
        larger_is = "Larger" if measure == "hd95_mm" else "Better"
        text = markdown([claim for claim in found if claim], words, larger_is)
        parts.append(f"## Differences of {words}\n\n{text}")
    return "\n".join(parts)


def read_trainings(path: Path) -> dict[str, Trained]:
    """By name without seed, from `trainings.csv`."""
    found: dict[str, list[dict[str, str]]] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            found.setdefault(line["training"].rsplit("-", 1)[0], []).append(line)
    return {
        name: Trained(int(lines[0]["parameters"]), tuple(int(line["iterations"]) for line in lines))
        for name, lines in found.items()
    }


def slim(row: Row) -> Row:
    """What the tables read of a row."""
    options = {} if row.top_k is None else {"top_k": None if row.top_k == "all" else row.top_k}
    unread = {"bundle_sha": "", "source": "", "seconds": None, "seconds_by_stage": "", "peak_memory_mb": None}
    return replace(row, options=json.dumps(options), **unread)


def _keep(rows: Sequence[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if rows:
        Results(path).add(rows)


def _read(folder: Path, name: str) -> list[Row]:
    return [row for path in sorted(folder.rglob(f"{name}.csv")) for row in read_rows(path)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", required=True, type=Path)
    parser.add_argument("--quiet", type=Path, help="folder of rows from a quiet machine")
    parser.add_argument("--output", required=True, type=Path)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    trained = read_trainings(given.rows / "trainings.csv")
    for name, kind in TABLES.items():
        found = _read(given.rows, kind.rows)
        rows = kind.of(found)
        if not rows:
            continue
        stills = _read(given.quiet, kind.rows) if given.quiet else []
        cases, seeds = len({row.case for row in rows}), len({row.seed for row in rows})
        text = [
            f"# {name}: {cases} cases, {seeds} seeds",
            table(rows, kind.of(stills), trained),
            differences(rows, kind.pairs()),
        ]
        (given.output / f"{name}.md").write_text("\n\n".join(text), encoding="utf-8")
        dice_by_line(rows, given.output / f"{name}.png")
        _keep([slim(row) for row in complete(found, kind.titles)], given.output / "rows" / f"{kind.rows}.csv")
        _keep(stills, given.output / "quiet" / f"{kind.rows}.csv")
    if given.rows.resolve() != (given.output / "rows").resolve():
        shutil.copyfile(given.rows / "trainings.csv", given.output / "rows" / "trainings.csv")


if __name__ == "__main__":
    main()
