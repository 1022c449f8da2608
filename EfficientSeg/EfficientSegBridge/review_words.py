"""What the review list says: pure functions from places to words."""

from dataclasses import dataclass

from EfficientSegBridge.findings import Findings
from EfficientSegBridge.patch_words import millilitres
from EfficientSegBridge.review import Review, State
from EfficientSegBridge.swap_labels import Swapped
from EfficientSegBridge.translation import _
from EfficientSegLib.protocol import Place


@dataclass(frozen=True)
class Measured:
    """What the order of review was worth where it was measured."""

    source: str  # file that holds these figures, and says how they came about
    cases: int
    found: float  # share of the wrong volume in the first ten places
    foundByChance: float  # in the first ten of the same places in any order, on average
    area: float  # under the curve of the wrong volume found, over the places seen
    areaByChance: float


# 5 patches, hippocampus test cases with references drawn by hand.
MEASURED = Measured("Testing/benchmarks/results/review-order.md", 41, 0.54, 0.32, 0.680, 0.516)
SIGNS = {"open": "", "seen": "•", "accepted": "✓", "rejected": "✕", "edited": "✎"}


def sign(state: State) -> str:
    """A state at a glance; `stateWords` says it in full."""
    return SIGNS[state]


def stateWords(state: State) -> str:
    return {
        "open": _("Not seen yet."),
        "seen": _("Seen, not decided."),
        "accepted": _("Accepted."),
        "rejected": _("Rejected: the coarse labels are back here."),
        "edited": _("Opened in the Segment Editor."),
    }[state]


def kind(place: Place) -> str:
    """Why a place is listed, for a narrow column."""
    return {"changed": _("changed"), "disagreement": _("disputed"), "unvisited": _("coarse only")}[place.kind]


def detail(place: Place, where: str) -> str:
    """Why a place is listed, in a sentence."""
    ml = millilitres(place.ml)
    if place.kind == "changed":
        return _("{where}: refinement changed {ml} here.").format(where=where, ml=ml)
    if place.kind == "disagreement":
        return _("{where}: overview and detail patch disagree about {ml} here.").format(where=where, ml=ml)
    return _("{where}: {ml} here are coarse only, although the priority is high.").format(where=where, ml=ml)


def explanation() -> str:
    """What the order means, and what it was worth where it was measured."""
    return _(
        "Where a look is worth it, first things first: much surface, much changed by refinement, overview and detail "
        "in disagreement, or a high priority and not read. It is no probability of an error. In {cases} test cases (MR "
        "of the hippocampus) the first ten places held {found}\u00a0% of what was wrong; in any order, {chance}\u00a0%."
    ).format(cases=MEASURED.cases, found=round(100 * MEASURED.found), chance=round(100 * MEASURED.foundByChance))


def explanationTip() -> str:
    """The rest of the figures, and what they do not say."""
    return _(
        "Area under the curve of wrong volume found over places seen: {area:.2f}, by chance {chance:.2f}. Most of that "
        "is the surface: errors lie there. Measured on a small model; another one, of sarcomas in MR (9 cases), found "
        "22\u00a0% in the first ten places, 10\u00a0% by chance. Neither says anything about your scan. See {source}."
    ).format(area=MEASURED.area, chance=MEASURED.areaByChance, source=MEASURED.source)


def progress(review: Review) -> str:
    """How far one is: 7 of 23 seen."""
    if not review.listed:
        return _("Nothing to review.")
    return _("{seen} of {count} seen").format(seen=review.seen, count=len(review.listed))


def nothing(findings: Findings) -> str:
    """What is said where there is no list."""
    if not findings.bundle:
        return _("After a run: the places where a look is worth it, first things first.")
    if findings.reviewed is None:
        return _("This run was not reviewed. Segment again to get the list.")
    return _("There is no place that stands out.")


def swapped(outcome: Swapped, toCoarse: bool) -> str:
    """What a decision did to the voxels; empty where it did just what was asked."""
    parts = []
    if not outcome.written:
        parts.append(
            _("Nothing was changed back here.") if toCoarse else _("Nothing had to be changed here."),
        )
    if outcome.edited:
        parts.append(_("{count} voxels edited since were left alone.").format(count=outcome.edited))
    if outcome.locked:
        parts.append(_("{count} voxels of completed segments were left alone.").format(count=outcome.locked))
    return " ".join(parts)


def noCoarse(kept: str) -> str:
    """Why one cannot go back to the coarse labels here."""
    if kept in ("none", "places"):
        return _("The coarse labels were too large to be kept with the scene: this place cannot go back to them.")
    return _("The coarse labels of this run are not known: this place cannot go back to them.")
