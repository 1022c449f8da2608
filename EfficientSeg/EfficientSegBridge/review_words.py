"""What the review list says: pure functions from places to words."""

from EfficientSegBridge.findings import Findings
from EfficientSegBridge.patch_words import millilitres
from EfficientSegBridge.review import Review, State
from EfficientSegBridge.swap_labels import Swapped
from EfficientSegBridge.translation import _
from EfficientSegLib.protocol import Place

# How often the order finds errors sooner than chance, as it was measured; (sentence, file that says how). Without a
# measurement there is no number: then both are empty.
MEASURED = ("", "")
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
    """What the order means, in a sentence; with the measured figure where there is one."""
    said = _(
        "Where a look is worth it, first things first: where refinement changed most, where overview and detail "
        "disagree, and what has a high priority but was not read. It is an order of looking, no probability of an "
        "error."
    )
    figure, source = MEASURED
    return f"{said} {_(figure)}" if figure and source else said


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
