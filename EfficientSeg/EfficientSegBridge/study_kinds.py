"""What one study of many can be: a loaded volume, a frame of a sequence, or a case of a folder tree.

Each knows how the worker gets at it, where its result goes, and how it is found again in a scene that was loaded.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from EfficientSegBridge import frame_results, nodes
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.segments import LiveSegmentation
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.protocol import Finished, Request
from EfficientSegLib.studies.case import Case, Entry, waiting
from EfficientSegLib.studies.place import SEGMENTATION, Place, asked


class Study:
    """One study of the queue; `entry` tells how far it is."""

    kind = ""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.said = ""  # what is happening to it now

    @property
    def key(self) -> tuple:
        """Equal for two studies of the same thing."""
        raise NotImplementedError

    def prepare(self, folder: Path, request: Request, parameters: Parameters) -> Request:
        """What the worker is asked, once the input lies where it can read it.

        Raises:
            EfficientSegError: it cannot be segmented; nothing was changed.
        """
        raise NotImplementedError

    def accepting(self, finished: Finished, parameters: Parameters) -> Iterator[None]:
        """Put the result in its place, in steps."""
        raise NotImplementedError

    def inOrder(self) -> bool:
        """False if what it is about has gone."""
        return True

    def toJson(self, refer) -> dict[str, Any]:
        """What the scene keeps; `refer(node)` gives the name under which a node can be found again."""
        raise NotImplementedError

    def _gone(self) -> VolumeError:
        return VolumeError(
            _("{name} is not in the scene any more.").format(name=self.entry.case),
            why=_("It was deleted while the queue was at work."),
            mend=_("Load it again and add it again."),
        )


class LoadedStudy(Study):
    """A volume of the scene; its segmentation appears beside it."""

    kind = "volume"

    def __init__(self, volumeNode, entry: Entry | None = None, segmentationNode=None) -> None:
        super().__init__(entry or Entry(volumeNode.GetName(), _("the scene")))
        self.volumeNode, self.segmentationNode = volumeNode, segmentationNode

    @property
    def key(self) -> tuple:
        return (self.kind, self.volumeNode.GetID())

    def prepare(self, folder: Path, request: Request, parameters: Parameters) -> Request:
        if not self.inOrder():
            raise self._gone()
        nodes.writeVolume(self.volumeNode, folder / "input.nrrd")
        return request

    def accepting(self, finished: Finished, parameters: Parameters) -> Iterator[None]:
        if not self.inOrder():
            raise self._gone()
        # Only a result of this very study that was stopped early is taken up again; anything else stays as it is.
        node = self.segmentationNode
        earlier = node if node is not None and slicer.mrmlScene.IsNodePresent(node) else None
        segments = LiveSegmentation(self.volumeNode, parameters.bundle, earlier, parameters.shown)
        yield from segments.finishing(np.load(finished.labels, mmap_mode="r"))
        self.segmentationNode = segments.node

    def inOrder(self) -> bool:
        return bool(slicer.mrmlScene.IsNodePresent(self.volumeNode))

    def toJson(self, refer) -> dict[str, Any]:
        return {"volume": refer(self.volumeNode), "segmentation": refer(self.segmentationNode)}


class FrameStudy(Study):
    """One frame of a sequence of volumes; its segmentation becomes a frame of a sequence of segmentations."""

    kind = "frame"

    def __init__(self, sequenceNode, index: int, entry: Entry | None = None) -> None:
        super().__init__(entry or Entry(frame_results.title(sequenceNode, index), sequenceNode.GetName()))
        self.sequenceNode, self.index = sequenceNode, index

    @property
    def key(self) -> tuple:
        return (self.kind, self.sequenceNode.GetID(), self.index)

    def prepare(self, folder: Path, request: Request, parameters: Parameters) -> Request:
        nodes.writeVolume(self._frame(), folder / "input.nrrd")
        return request

    def accepting(self, finished: Finished, parameters: Parameters) -> Iterator[None]:
        labels = np.load(finished.labels, mmap_mode="r")
        yield from frame_results.adding(self.sequenceNode, self._frame(), self.index, labels, parameters)

    def inOrder(self) -> bool:
        there = slicer.mrmlScene.IsNodePresent(self.sequenceNode)
        return bool(there) and self.index < self.sequenceNode.GetNumberOfDataNodes()

    def toJson(self, refer) -> dict[str, Any]:
        return {"sequence": refer(self.sequenceNode), "index": self.index}

    def _frame(self):
        if not self.inOrder():
            raise self._gone()
        return self.sequenceNode.GetNthDataNode(self.index)


class FolderStudy(Study):
    """A case of a folder tree; its result lies in the output folder, as the command line would have put it."""

    kind = "case"

    def __init__(self, case: Case, output: Path, entry: Entry | None = None) -> None:
        super().__init__(entry or waiting(case))
        self.case, self.output = case, Path(output)

    @property
    def key(self) -> tuple:
        return (self.kind, str(self.output), self.case.name)

    @property
    def place(self) -> Place:
        return Place(self.output, self.case, SEGMENTATION)

    def lookAgain(self, parameters: Parameters, request: Request) -> None:
        """Done is what was done in the way that is asked for now."""
        self.entry = self.place.done_before(asked(parameters.bundle, request, SEGMENTATION)) or waiting(self.case)

    def prepare(self, folder: Path, request: Request, parameters: Parameters) -> Request:
        self.place.check_free()
        return replace(request, input=self.case.input, files=self.case.files, save_segmentation=True)

    def accepting(self, finished: Finished, parameters: Parameters) -> Iterator[None]:
        wished = asked(parameters.bundle, studyRequest(parameters, Path()), SEGMENTATION)
        self.entry = self.place.hand_over(Path(finished.segmentation), Path(finished.record), wished)
        yield

    def toJson(self, refer) -> dict[str, Any]:
        return {"case": vars(self.case), "output": str(self.output)}


def studyRequest(parameters: Parameters, folder: Path) -> Request:
    """What the worker is asked for each study: what is asked for one volume, without its own places and region."""
    request = parameters.request(folder)
    return replace(request, keep=False, continue_from="", first=(), only_first=False, region=None, tokens=False)


def read(content: dict[str, Any], entry: Entry, find) -> Study | None:
    """The study that `toJson` has described; None where its nodes are not there. `find` is the way back of `refer`."""
    kind = content.get("kind")
    if kind == "volume":
        node = find(content.get("volume", ""))
        return LoadedStudy(node, entry, find(content.get("segmentation", ""))) if node is not None else None
    if kind == "frame":
        node = find(content.get("sequence", ""))
        return FrameStudy(node, int(content.get("index", 0)), entry) if node is not None else None
    if kind == "case":
        case = content["case"]
        case = Case(case["name"], case["input"], tuple(case["files"]), case["title"])
        return FolderStudy(case, content["output"], entry)
    return None
