"""What a run is asked for, and who is told about it."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.protocol import Request

# Strategies that read patches in an order, most useful first; the others read everything, one part after the other.
# (The library's own list lies beside torch, which is never imported in the application's process.)
ORDERED = ("nmsw", "random_foreground")


@dataclass(frozen=True)
class Wishes:
    """Where to look first, and where at all."""

    first: tuple[PatchBox, ...] = ()  # Refine here: boxes of the volume whose patches go before all others
    onlyFirst: bool = False  # read nothing else besides
    structures: tuple[int, ...] = ()  # label values whose patches come next
    region: PatchBox | None = None  # nothing outside is read or written; None: everywhere


@dataclass(frozen=True)
class Parameters:
    """What is to be done with a volume."""

    bundle: Bundle
    patches: int | None = 10  # read at full detail, at most; 0: coarse only; None: all
    strategy: str | None = None  # None: the bundle's
    device: str = "auto"
    threads: int | None = None  # None: all cores but one
    segmentation: object = None  # vtkMRMLSegmentationNode that takes the result; None: a new one
    showBoxes: bool = True
    showCoverage: bool = False
    showTokens: bool = False
    shown: tuple[int, ...] | None = None  # label values that become segments; None: all
    wishes: Wishes = Wishes()

    @property
    def strategyName(self) -> str:
        return self.strategy or self.bundle.strategy.name

    @property
    def hasOrder(self) -> bool:
        """True if patches are read in an order, so that there is an effort to choose, and more to read afterwards."""
        return self.strategyName in ORDERED

    def withWishes(self, **changes) -> "Parameters":
        return replace(self, wishes=replace(self.wishes, **changes))

    def sameQuestion(self, other: "Parameters") -> bool:
        """True if `other` asks the same model in the same way, so that its run can go on from this one's."""
        return (self.bundle.folder, self.strategyName, self.device) == (
            other.bundle.folder,
            other.strategyName,
            other.device,
        )

    def request(self, folder: Path, continueFrom: str = "") -> Request:
        """What the worker is told.

        Args:
            folder: the run's own folder, which holds input.nrrd.
            continueFrom: `run_id` of the run that this one goes on from.
        """
        wishes = self.wishes
        return Request(
            input=str(folder / "input.nrrd"),
            output_dir=str(folder),
            bundle=self.bundle.folder,
            strategy=self.strategy,
            options={"top_k": self.patches, "clip_top_k": True} if self.hasOrder else {},
            device=self.device,
            threads=self.threads,
            save_segmentation=False,
            cancel_file=str(folder / "cancel"),
            parent_pid=os.getpid(),
            temporary=True,  # should the application be killed, the worker removes the folder
            keep=self.hasOrder,
            continue_from=continueFrom,
            first=wishes.first if self.hasOrder else (),
            only_first=wishes.onlyFirst and self.hasOrder,
            structures=wishes.structures if self.hasOrder else (),
            region=wishes.region,
            tokens=self.bundle.prunes_tokens,
        )


class Listener:
    """Told what happens during a run; does nothing by itself."""

    def runStarted(self, run) -> None:
        """This run is the latest one now: it begins, or the one after it was undone."""

    def runProgress(self, fraction: float, text: str) -> None:
        """How far it is, 0 to 1, in words."""

    def runChanged(self) -> None:
        """The run has a new device, patches, class weights, pace, review or segmentation node."""

    def runWarned(self, text: str) -> None:
        """Something odd that does not stop the run."""

    def runEnded(self) -> None:
        """It is over; `run.state` and `run.text` tell how."""
