"""A case: one image of many, and how far it has come."""

from dataclasses import dataclass, field, replace
from typing import Literal

from EfficientSegLib.protocol import Failed

State = Literal["waiting", "running", "done", "stopped", "failed"]
STATES = ("done", "failed", "stopped", "running", "waiting")  # as they are counted


@dataclass(frozen=True)
class Case:
    """One image to segment."""

    name: str  # of its result in the output folder, without the ending, with "/" between folders
    input: str  # an image file, or the folder of a DICOM series
    files: tuple[str, ...] = ()  # of a DICOM series, relative to `input`
    title: str = ""  # series description


@dataclass(frozen=True)
class Entry:
    """How far a case has come: one line of the queue, one row of the results."""

    case: str
    input: str
    state: State = "waiting"
    seconds: float | None = None
    volumes_ml: dict[str, float] = field(default_factory=dict)  # by structure; 0: not found
    warnings: tuple[str, ...] = ()
    what: str = ""  # of a failure
    why: str = ""
    mend: str = ""
    machine: str = ""  # where it ran, if not here
    deaths: int = 0  # processes that ended without a word while they were at it

    @property
    def error(self) -> str:
        """What failed, why, and how to mend it, in one line; "" where nothing failed."""
        return " ".join(part for part in (self.what, self.why, self.mend) if part)

    def failed(self, failure: Failed) -> "Entry":
        """This entry as a failure; asked to stop, it waits again."""
        if failure.cancelled:
            return replace(self, state="waiting")
        return replace(self, state="failed", what=failure.what, why=failure.why, mend=failure.mend)


def waiting(case: Case) -> Entry:
    """The entry of a case that nobody has begun."""
    return Entry(case.name, case.input)
