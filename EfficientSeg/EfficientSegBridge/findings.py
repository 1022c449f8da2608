"""What is known about one result: where was looked, what that changed, where to look again. The same for a run under
way and for the record that a scene carries.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from EfficientSegLib.bundle import Label
from EfficientSegLib.geometry import ScoredBox
from EfficientSegLib.options import read_options
from EfficientSegLib.protocol import Place, Reviewed, SegmentRefinement

SCHEMA = 1


@dataclass(frozen=True)
class Findings:
    """One result. What is not known is empty."""

    bundle: str = ""  # name: with a label value it marks our segments
    modality: str = ""
    volume: str = ""  # name
    labels: tuple[Label, ...] = ()  # those that become segments
    patches: tuple[ScoredBox, ...] = ()  # in the order of reading
    read: int = 0  # of them, from the first on
    candidates: int = 0
    classWeights: dict[str, float] = field(default_factory=dict)  # by label value
    reviewed: Reviewed | None = None
    text: str = ""  # how the run ended, in words
    schema: int = SCHEMA

    @property
    def coarseOnly(self) -> bool:
        """True if patches could have been read, and none was."""
        return self.candidates > 0 and self.read == 0

    @property
    def places(self) -> tuple[Place, ...]:
        """Where a look is worth it, in the order of review; not those of structures that are left out."""
        return tuple(place for place in (self.reviewed.places if self.reviewed else ()) if self.label(place.value))

    def name(self, value: int) -> str:
        """A label's name; its value where the name is not known."""
        return next((label.name for label in self.labels if label.value == value), str(value))

    def label(self, value: int) -> Label | None:
        return next((label for label in self.labels if label.value == value), None)

    def changedMl(self, rank: int) -> dict[int, float] | None:
        """What the patch of this rank changed, by label value, most first; None where nobody has told."""
        for change in self.reviewed.patches if self.reviewed else ():
            if change.rank == rank:
                ordered = sorted(change.changed_ml.items(), key=lambda item: -item[1])
                return {int(value): float(ml) for value, ml in ordered if self.label(int(value))}
        return None

    def refinement(self, value: int) -> SegmentRefinement | None:
        return next((s for s in (self.reviewed.segments if self.reviewed else ()) if s.value == value), None)

    def toJson(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def ofRun(run) -> Findings:
    """What a SegmentationRun has told so far."""
    bundle, shown = run.parameters.bundle, run.parameters.shown
    return Findings(
        bundle=bundle.name,
        modality=bundle.modality,
        volume=run.volumeNode.GetName(),
        labels=tuple(label for label in bundle.shown_labels if shown is None or label.value in shown),
        patches=tuple(run.patches),
        read=run.patchesRead,
        candidates=run.candidates,
        classWeights={str(value): weight for value, weight in run.classWeights.items()},
        reviewed=run.reviewed,
        text=run.text,
    )


def fromJson(content: Mapping[str, Any]) -> Findings:
    """Findings from `toJson`; fields of a newer version are passed over.

    Raises:
        OptionError: something is missing or of a wrong type.
    """
    known = {item.name for item in dataclasses.fields(Findings)}
    return read_options(Findings, {name: value for name, value in content.items() if name in known})
