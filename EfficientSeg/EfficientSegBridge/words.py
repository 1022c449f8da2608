"""What the panel says: pure functions from numbers to sentences."""

from collections.abc import Mapping, Sequence

from EfficientSegBridge.translation import _
from EfficientSegLib.bundle import Bundle, Label
from EfficientSegLib.protocol import Failed, Progress

MOSTLY_DETAIL, MOSTLY_OVERVIEW = 0.65, 0.35  # class weights beyond which a structure listens to one side
STAGES = {
    "read": "Reading the volume",
    "prepare": "Preparing the volume",
    "load": "Loading the model",
    "coarse": "Looking at the whole volume",
    "patches": "Reading patches",
    "extent": "Finding where the structures begin and end",
    "slices": "Reading slices",
    "restore": "Bringing the labels back to the volume",
    "review": "Comparing with the overview",
    "write": "Writing the result",
}


def duration(seconds: float) -> str:
    """Seconds as one would say them: 8 s, 1 min 02 s, 1 h 05 min."""
    seconds = max(round(seconds), 0)
    if seconds < 60:
        return _("{seconds} s").format(seconds=seconds)
    if seconds < 3600:
        return _("{minutes} min {seconds:02d} s").format(minutes=seconds // 60, seconds=seconds % 60)
    return _("{hours} h {minutes:02d} min").format(hours=seconds // 3600, minutes=seconds % 3600 // 60)


def starting(continues: bool) -> str:
    """What is said until the worker has said something."""
    return _("Going on from what was read") if continues else _("Starting the worker")


def again(progress: Progress) -> str:
    """The same while a loaded result is read again."""
    return _("Reading again what was read: {said}").format(said=stage(progress))


def notTheSame() -> str:
    """Where the changes of a user cannot be told apart."""
    return _(
        "What was read for the loaded result could not be read again in the same way, so what you had changed in it is "
        "replaced; Undo brings it back."
    )


def stage(progress: Progress) -> str:
    """One line under the progress bar: patch 12 of 30, 1 min 02 s left; slice 12 of 162, 40 s left."""
    if progress.stage == "patches" and progress.total:
        said = _("patch {done} of {total}").format(done=progress.done, total=progress.total)
    elif progress.stage == "slices" and progress.total:
        said = _("slice {done} of {total}").format(done=progress.done, total=progress.total)
    else:
        said = _(STAGES.get(progress.stage, progress.stage))
    if progress.seconds_left is not None and progress.stage in ("patches", "slices", "extent"):
        return _("{said}, {left} left").format(said=said, left=duration(progress.seconds_left))
    return said


def patches(chosen: int, candidates: int) -> str:
    """How much of the volume is read at full detail."""
    if not chosen:
        return _("Only the overview was used: none of {candidates} patches was read.").format(candidates=candidates)
    if chosen == candidates:
        return _("All {candidates} patches are read at full detail, the most useful first (orange).").format(
            candidates=candidates
        )
    return _(
        "{chosen} of {candidates} patches are read at full detail, the most useful first (orange). Elsewhere the "
        "coarse overview stands."
    ).format(chosen=chosen, candidates=candidates)


def outcome(
    read: int,
    total: int,
    candidates: int,
    seconds: float,
    complete: bool,
    missing: Sequence[str],
    unit: str = "patches",
) -> str:
    """The line under the progress bar once a run has ended.

    Args:
        candidates: patches to choose from; 0 where everything is read in order, and a stop leaves the rest empty.
        unit: what is counted, "patches" or "slices".
    """
    if unit == "slices" and read < total:
        how = _("{read} of {all} slices read, the rest is empty").format(read=read, all=total)
    elif unit == "slices":
        how = _("every slice read")
    elif not candidates and read < total:
        how = _("{read} of {all} patches read, the rest is empty").format(read=read, all=total)
    elif candidates and read < candidates:
        how = (
            _("coarse only")
            if read == 0
            else _("{read} of {all} patches read, the rest coarse").format(read=read, all=candidates)
        )
    else:
        how = _("every patch read")
    said = _("Done in {time}: {how}.") if complete else _("Stopped after {time}: {how}. What was done is kept.")
    said = said.format(time=duration(seconds), how=how)
    if missing:
        said += " " + _("Not found: {names}.").format(names=", ".join(missing))
    return said


def respected(completed: Sequence[str], hidden: Sequence[str]) -> str:
    """Which segments a run has left alone, and which it has written though nobody sees them; empty for neither."""
    said = []
    if completed:
        said.append(_("Left as they are, because they are Completed: {names}.").format(names=", ".join(completed)))
    if hidden:
        said.append(_("Updated, and still hidden: {names}.").format(names=", ".join(hidden)))
    return " ".join(said)


def nothingFound() -> str:
    return _(
        "No structure found. Does the model fit this part of the body, and is the volume a CT in Hounsfield units?"
    )


def failure(failed: Failed) -> str:
    return " ".join(part for part in (failed.what, failed.why, failed.mend) if part)


def trust(label: Label, weight: float) -> str:
    """A class weight in words."""
    if weight >= MOSTLY_DETAIL:
        return _("{name}: trusts the detail patches").format(name=label.name)
    if weight <= MOSTLY_OVERVIEW:
        return _("{name}: trusts the overview").format(name=label.name)
    return _("{name}: listens to both").format(name=label.name)


def weightsSentence(weights: Mapping[int, float], labels: Sequence[Label]) -> str:
    """All class weights in words, one sentence for each way of trusting."""
    known = [(label.name, weights[label.value]) for label in labels if label.value in weights]
    if not known:
        return _("This model has no class weights.")
    groups = (
        (_("Trust the detail patches"), [name for name, weight in known if weight >= MOSTLY_DETAIL]),
        (_("Listen to both"), [name for name, weight in known if MOSTLY_OVERVIEW < weight < MOSTLY_DETAIL]),
        (_("Trust the overview"), [name for name, weight in known if weight <= MOSTLY_OVERVIEW]),
    )
    return " ".join(f"{how}: {', '.join(names)}." for how, names in groups if names)


def bundleTip(bundle: Bundle) -> str:
    """A bundle's labels, licence and description, as a tool tip."""
    return "\n".join(
        part
        for part in (
            bundle.title,
            bundle.description,
            _("Finds: {names}.").format(names=", ".join(label.name for label in bundle.shown_labels)),
            _("Licence: {licence}. {use}").format(licence=bundle.licence.weights, use=bundle.licence.use),
        )
        if part
    )
