"""What a user wants read first or alone, in voxels of the input volume and values of its labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, PatchBox, whole
from EfficientSegLib.preprocess import Prepared, to_prepared
from EfficientSegLib.strategies.preference import Preference


@dataclass(frozen=True)
class Wishes:
    """See the fields of the same names of `protocol.Request`."""

    first: tuple[PatchBox, ...] = ()
    only_first: bool = False
    structures: tuple[int, ...] = ()
    region: PatchBox | None = None

    def __post_init__(self) -> None:
        if self.only_first and not self.first:
            raise OptionError(
                "Only the places wanted are to be read, and there are none.",
                why="only_first goes with the boxes in first.",
                mend="Give at least one box, or leave only_first out.",
            )
        for box in self.first:
            if self.region is not None and box.intersection(self.region) is None:
                raise OptionError(
                    f"A box from {box.start} to {box.stop} lies outside the region.",
                    why=f"Only what touches {self.region.start} to {self.region.stop} is read.",
                    mend="Choose a place inside the region, or lift the restriction.",
                )

    def check(self, shape: Index, bundle: Bundle) -> None:
        """Refuse what this volume or this bundle does not have.

        Raises:
            OptionError: a box lies outside the volume, or a structure is not among the bundle's.
        """
        for box in self._boxes():
            if box.intersection(whole(shape)) is None:
                raise OptionError(
                    f"A box from {box.start} to {box.stop} lies outside the volume of {shape} voxels.",
                    why="There is nothing to read.",
                    mend="Choose a place inside the volume.",
                )
        known = {label.value: label.name for label in bundle.shown_labels}
        for value in self.structures:
            if value not in known:
                raise OptionError(
                    f"Structure {value} is not among those of bundle {bundle.name!r}.",
                    why=f"It has {', '.join(f'{number} ({name})' for number, name in known.items())}.",
                    mend="Choose among these.",
                )

    def on_grid(self, prepared: Prepared, bundle: Bundle) -> Preference:
        """The same for the prepared volume and the network's channels.

        Raises:
            OptionError: nothing of the places, or of the region, lies in what the bundle looks at.
        """
        whole_volume = whole(prepared.source_shape)
        first = [to_prepared(box.intersection(whole_volume), prepared) for box in self.first]
        first = [box for box in first if box is not None]
        region = self.region and to_prepared(self.region.intersection(whole_volume), prepared)
        if (self.first and not first) or (self.region and not region):
            raise OptionError(
                "The place lies outside the part of the volume that this bundle looks at.",
                why="It crops the scan to the body first; what is beyond stays background.",
                mend="Choose a place inside the body.",
            )
        return Preference(tuple(first), self.only_first, _channels(self.structures, bundle), region)

    def _boxes(self) -> Sequence[PatchBox]:
        return self.first if self.region is None else (*self.first, self.region)


def _channels(structures: Sequence[int], bundle: Bundle) -> tuple[int, ...]:
    return tuple(channel for channel, label in enumerate(bundle.labels, start=1) if label.value in structures)
