"""What a run is asked for, and who is told about it."""

import os
from dataclasses import dataclass
from pathlib import Path

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.protocol import Request


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

    def request(self, folder: Path) -> Request:
        name = self.strategy or self.bundle.strategy.name
        return Request(
            input=str(folder / "input.nrrd"),
            output_dir=str(folder),
            bundle=self.bundle.folder,
            strategy=self.strategy,
            options={"top_k": self.patches, "clip_top_k": True} if name == "nmsw" else {},
            device=self.device,
            threads=self.threads,
            save_segmentation=False,
            cancel_file=str(folder / "cancel"),
            parent_pid=os.getpid(),
            temporary=True,  # should the application be killed, the worker removes the folder
        )


class Listener:
    """Told what happens during a run; does nothing by itself."""

    def runProgress(self, fraction: float, text: str) -> None:
        """How far it is, 0 to 1, in words."""

    def runChanged(self) -> None:
        """The run has a new device, patches, class weights or segmentation node."""

    def runWarned(self, text: str) -> None:
        """Something odd that does not stop the run."""

    def runEnded(self) -> None:
        """It is over; `run.state` and `run.text` tell how."""
