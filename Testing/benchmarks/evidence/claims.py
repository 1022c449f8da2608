"""The paper's claims as paired differences: the same cases, the same seeds, one number per seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from EfficientSegLib.evaluation.results import Row
from evidence.rows import by_seed_and_case, pick

Choice = tuple[str, int | str | None]  # method, patches


@dataclass(frozen=True)
class Difference:
    """Dice of one choice minus Dice of another."""

    words: str
    one: Choice
    other: Choice
    by_seed: tuple[float, ...]  # means over the cases
    better_cases: int  # of the means over the seeds
    cases: int

    @property
    def mean(self) -> float:
        return fmean(self.by_seed)

    @property
    def deviation(self) -> float | None:
        return stdev(self.by_seed) if len(self.by_seed) > 1 else None


def difference(rows: Sequence[Row], words: str, one: Choice, other: Choice, measure: str = "dice") -> Difference | None:
    """None where either was not run."""
    first, second = (by_seed_and_case(pick(rows, *choice), measure) for choice in (one, other))
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    cases = sorted(set.intersection(*(set(found[seed]) for found in (first, second) for seed in seeds)))
    apart = {case: [first[seed][case] - second[seed][case] for seed in seeds] for case in cases}
    by_seed = tuple(fmean(apart[case][number] for case in cases) for number in range(len(seeds)))
    better = sum(fmean(values) > 0 for values in apart.values())
    return Difference(words, one, other, by_seed, better, len(cases))


def claims(rows: Sequence[Row]) -> list[Difference]:
    """What can be said of one data set."""
    own, theirs = "NMSW", "random, NMSW's weights"
    pairs = (
        ("NMSW against the sliding window", "SW", (5, 30, "all")),
        ("NMSW against zoom-out", "zoom-out", (5, 30)),
        ("chosen against random patches, same weights", theirs, (1, 3, 5, 10, 20, 30)),
        ("NMSW against random foreground, own training", "random", (5, 30)),
        ("learned class weights against one, same weights", "NMSW, weights one", (5, 30, "all")),
        ("learned class weights against one, own training", "NMSW trained with one", (5, 30)),
    )
    wanted = [("patches against none", (own, k), (own, 0)) for k in (5, 30, "all")]
    wanted += [("30 patches against all", (own, 30), (own, "all"))]
    for words, other, counts in pairs:
        level = other in ("SW", "zoom-out")
        wanted += [(words, (own, k), (other, None if level else k)) for k in counts]
    taught = ("NMSW, taught scores", "random, taught scores' weights")
    wanted += [
        ("taught against random patches, same weights", *((way, k) for way in taught)) for k in (1, 3, 5, 10, 20, 30)
    ]
    wanted += [("its local network alone against the sliding window", ("SW, NMSW's local network", None), ("SW", None))]
    found = [difference(rows, *claim) for claim in wanted]
    return [claim for claim in found if claim]


def markdown(differences: Sequence[Difference], words: str = "Dice", larger_is: str = "Better") -> str:
    """A table; each number is a difference of what `words` name, and `larger_is` says what a larger one is."""
    head = f"| Compared | K | Difference of {words} | By seed | {larger_is} in |"
    lines = [head, "| --- | ---: | ---: | --- | ---: |"]
    for claim in differences:
        spread = "" if claim.deviation is None else f" ± {claim.deviation:.3f}"
        seeds = ", ".join(f"{value:+.3f}" for value in claim.by_seed)
        k = "–" if claim.one[1] is None else claim.one[1]
        better = f"{claim.better_cases} of {claim.cases}"
        lines.append(f"| {claim.words} | {k} | {claim.mean:+.3f}{spread} | {seeds} | {better} |")
    return "\n".join(lines) + "\n"
