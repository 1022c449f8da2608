"""What somebody wants read before the usual order, or instead of it: places, structures, a region.

Whatever is wanted, only the order of what is not read yet changes, and the usual order decides among equals. So a run
that goes on reads nothing twice, and one without any preference is not changed by a bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.restore import winners
from EfficientSegLib.strategies.overview import Overview


@dataclass(frozen=True)
class Preference:
    """Wishes on the grid of the prepared volume."""

    first: tuple[PatchBox, ...] = ()  # patches that touch them come before all others, whatever the coarse pass saw
    only_first: bool = False  # nothing else is read
    channels: tuple[int, ...] = ()  # patches in which the coarse pass saw one of them come next
    region: PatchBox | None = None  # nothing that does not touch it is read

    @property
    def changes_order(self) -> bool:
        return bool(self.first or self.only_first or self.channels)


@dataclass(frozen=True)
class Queue:
    """Candidates that are not read yet, by index, in order."""

    first: list[int]  # wanted by place, besides the budget
    usual: list[int]  # what the budget is spent on; some of `first` are in it too


def queue(unread: Sequence[int], overview: Overview, preference: Preference) -> Queue:
    """Sort the candidates that are not read yet (by index, in the usual order) as somebody wants them."""
    if preference.region is not None:
        unread = _touching(unread, (preference.region,), overview)
    first = _touching(unread, preference.first, overview)
    if preference.only_first:
        return Queue(first, [])
    seen = _showing(unread, preference.channels, overview)
    return Queue(first, [*(n for n in unread if n in seen), *(n for n in unread if n not in seen)])


def refuse_order(preference: Preference | None, strategy: str) -> None:
    """For a strategy that reads everything, or chooses by itself.

    Raises:
        OptionError: the preference is about the order.
    """
    if preference is not None and preference.changes_order:
        raise OptionError(
            f"Strategy {strategy!r} cannot read places or structures first.",
            why="It has no order of patches that could be changed.",
            mend="Use 'nmsw', or leave these wishes out; a region works with every strategy.",
        )


def _touching(unread: Sequence[int], boxes: Sequence[PatchBox], overview: Overview) -> list[int]:
    """Those that share a voxel with one of the boxes (of the volume)."""
    padded = [box.shifted(overview.offset) for box in boxes]
    return [n for n in unread if any(overview.grid[n].intersection(box) for box in padded)]


def _showing(unread: Sequence[int], channels: Sequence[int], overview: Overview) -> set[int]:
    """Those in which the coarse pass has seen one of the channels."""
    if not channels:
        return set()
    seen = torch.isin(winners(overview.logits).long(), torch.tensor(channels))
    cells = tuple(seen.shape)
    factor = tuple(count / length for count, length in zip(cells, overview.covers))
    inside = whole(cells)
    return {n for n in unread if bool(seen[overview.grid[n].scaled(factor).intersection(inside).slices()].any())}
