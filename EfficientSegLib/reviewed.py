"""What a look back at a run tells: the event `Reviewed` of the protocol, and its parts."""

from dataclasses import dataclass
from typing import Literal

from EfficientSegLib.geometry import PatchBox


@dataclass(frozen=True)
class PatchChange:
    """What one patch was good for."""

    rank: int  # of `Patches`
    changed_ml: dict[str, float]  # by label value: volume in the patch that gained or lost this label; 0 is left out


@dataclass(frozen=True)
class SegmentRefinement:
    """How one segment came about."""

    value: int  # label value
    ml: float
    surface_refined: float  # share of its surface voxels that lie inside patches that were read, 0 to 1; 1 if none
    changed_ml: float  # gained or lost against the coarse labels


@dataclass(frozen=True)
class Place:
    """Where a look is worth it."""

    box: PatchBox  # of the input volume
    value: int  # label value of the segment it is about
    kind: Literal["changed", "disagreement", "unvisited"]
    worth: float  # its share of what is expected to be wrong: for the order, no probability
    ml: float  # of what changed or is disputed; of the segment in the box, where nobody looked closely


@dataclass(frozen=True)
class Reviewed:
    """What the patches changed, and where to look first; once, after the last labels, if patches were chosen at all."""

    patches: tuple[PatchChange, ...]  # those that were read, by rank
    segments: tuple[SegmentRefinement, ...]  # by label value
    places: tuple[Place, ...]  # in the order of review
