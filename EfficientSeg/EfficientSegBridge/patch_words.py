"""What is said of patches: pure functions from findings to words."""

from EfficientSegBridge.findings import Findings
from EfficientSegBridge.translation import _
from EfficientSegLib.geometry import ScoredBox

LEAST_ML = 0.05  # less would be said as 0.0: nothing that anybody would see


def millilitres(ml: float) -> str:
    """A volume as one would say it: < 0.1 ml, 0.4 ml, 12 ml."""
    if 0 < ml < LEAST_ML:
        return _("< 0.1 ml")
    return _("{ml} ml").format(ml=f"{ml:.1f}" if ml < 10 else f"{ml:.0f}")


def changed(findings: Findings, patch: ScoredBox) -> str:
    """What a patch changed in all, for a narrow column."""
    if patch.rank > findings.read:
        return _("not read")
    byLabel = findings.changedMl(patch.rank)
    if byLabel is None:
        return "…"
    # A voxel that goes from one label to another is counted under both.
    largest = max(byLabel.values(), default=0.0)
    return millilitres(largest) if largest >= LEAST_ML else _("nothing")


def detail(findings: Findings, patch: ScoredBox, where: str) -> str:
    """One sentence on a patch: rank, priority, place, and what it changed, segment by segment."""
    said = _("Patch {rank} of {count}, priority {priority}: {where}.").format(
        rank=patch.rank, count=len(findings.patches), priority=f"{patch.score:.2f}", where=where
    )
    if patch.rank > findings.read:
        return said + " " + _("It was not read: the coarse overview stands here.")
    byLabel = findings.changedMl(patch.rank)
    if byLabel is None:
        return said
    named = [f"{findings.name(value)} {millilitres(ml)}" for value, ml in byLabel.items() if ml >= LEAST_ML]
    if not named:
        return said + " " + _("It changed next to nothing.")
    return said + " " + _("Gained or lost: {names}.").format(names=", ".join(named))


def loaded() -> str:
    """What is said of a result that this session has not computed."""
    return _(
        "This comes from a saved scene, which does not keep what was read: before more is added, it is read again."
    )
