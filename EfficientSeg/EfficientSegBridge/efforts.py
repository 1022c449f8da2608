"""How much is read at full detail: the places of the effort slider, what they cost, and what More would add."""

from dataclasses import dataclass
from typing import Literal

from EfficientSegBridge import words
from EfficientSegBridge.translation import _
from EfficientSegLib.protocol import Pace

# Patches read at each place of the slider; None: all of them.
EFFORTS = (0, 2, 5, 10, 20, 30, 60, 120, None)
USUAL = 5
MARKS = (0, 2, 5, 8)  # places with a word below: coarse, 5, 30, all


@dataclass(frozen=True)
class Reading:
    """How far the result is that can be gone on from."""

    read: int  # patches
    candidates: int  # patches there are
    # Who still holds what was read: "worker"; nobody, because the worker was ended: "lost", or because the result was
    # loaded with its scene: "loaded".
    kept: Literal["worker", "lost", "loaded"] = "worker"

    @property
    def spared(self) -> int:
        """Patches that need not be read again."""
        return self.read if self.kept == "worker" else 0


def nextPlace(place: int, reading: Reading) -> int | None:
    """Where More goes to: the chosen place if it reads more than was read, else the next one that does; None: all of
    the volume is read."""
    if reading.read >= reading.candidates:
        return None
    for later in range(place, len(EFFORTS)):
        if EFFORTS[later] is None or EFFORTS[later] > reading.read:
            return later
    return None


def seconds(place: int, pace: Pace, read: int = 0) -> float:
    """What going to this place takes.

    Args:
        pace: of a fresh run where `read` is 0, else of one that goes on.
        read: patches that were read before.
    """
    wanted = EFFORTS[place]
    count = pace.candidates if wanted is None else min(wanted, pace.candidates)
    return pace.base_seconds + max(count - read, 0) * pace.patch_seconds


def label(place: int, pace: Pace | None, reading: Reading | None = None) -> str:
    """What stands beside the slider: the time once it was measured, else the number of patches."""
    patches = EFFORTS[place]
    if pace is not None:
        read = reading.spared if reading else 0
        return _("≈ {time}").format(time=words.duration(seconds(place, pace, read)))
    if patches == 0:
        return _("overview only")
    if patches is None:
        return _("every patch")
    return _("{count} patches").format(count=patches)


def tip(place: int, pace: Pace | None) -> str:
    """The slider's tool tip: what the place means; the number of patches stands here."""
    patches = EFFORTS[place]
    if patches == 0:
        said = _("Overview only: one quick look at the whole volume, no detail patches.")
    elif patches is None:
        said = _("All patches are read at full detail: slowest, most exact.")
    else:
        said = _("A quick look at the whole volume, then the {count} most useful patches at full detail.").format(
            count=patches
        )
    if pace is not None and pace.candidates:
        said += " " + _("This volume has {count} patches.").format(count=pace.candidates)
    return said


def mark(place: int, pace: Pace | None) -> str:
    """What stands below one of the `MARKS`: how much, and the time once it was measured."""
    patches = EFFORTS[place]
    said = _("coarse") if patches == 0 else _("all") if patches is None else str(patches)
    return f"{said}\n{shortly(seconds(place, pace))}" if pace is not None else said


def shortly(amount: float) -> str:
    """Seconds in at most seven letters."""
    if amount < 60:
        return _("{seconds} s").format(seconds=max(round(amount), 1))
    if amount < 3600:
        return _("{minutes} min").format(minutes=round(amount / 60))
    return _("{hours:.1f} h").format(hours=amount / 3600)


def moreTip(place: int, reading: Reading, pace: Pace | None) -> str:
    """The tool tip of More.

    Args:
        place: where it goes to, of `nextPlace`.
        pace: of a run that goes on where the worker still holds what was read, else of a fresh one.
    """
    wanted = EFFORTS[place]
    last = reading.candidates if wanted is None else min(wanted, reading.candidates)
    said = _("Read patches {first} to {last} of {all}, the most useful first.").format(
        first=reading.read + 1, last=last, all=reading.candidates
    )
    if reading.kept == "worker":
        said += " " + _("What was read is kept: nothing is read twice.")
    elif reading.kept == "lost":
        said += " " + _("The worker was ended since, so what was read is computed anew; your changes stay.")
    else:
        said += " " + _(
            "This result was loaded with its scene, so what was read is read again first; your changes stay."
        )
    if pace is not None:
        said += " " + _("About {time}.").format(time=words.duration(seconds(place, pace, reading.spared)))
    return said
