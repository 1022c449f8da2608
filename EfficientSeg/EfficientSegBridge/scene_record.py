"""The record of a result in the scene: two text nodes beside the segmentation, which save and load with it.

The first holds the worker's run record as it was, what the panel shows of the run (the record names labels by name, and
a run that had to be killed has none), and how far the review has come. The second holds what refinement changed, voxel
by voxel; it is written once, so that each decision of a review writes a few kilobytes only.
"""

import json
from typing import Any

import slicer

from EfficientSegBridge import changes, findings
from EfficientSegBridge.changes import Changes
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.text_part import TextPart
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import OptionError
from EfficientSegLib.files import replacing

RECORD, CHANGES = "EfficientSeg.Record", "EfficientSeg.Changes"  # references from the segmentation
FINDINGS, RUN, REVIEW = "findings", "run", "review"  # parts of the first


class SceneRecord:
    """The record of one segmentation; None stands for no segmentation, and an empty record."""

    def __init__(self, segmentationNode) -> None:
        self.segmentation = segmentationNode
        self._record, self._voxels = TextPart(segmentationNode, RECORD), TextPart(segmentationNode, CHANGES)
        self._findingsSeen: object = ()
        self._findings, self._findingsTrouble = Findings(), ""
        self._changesSeen: object = ()
        self._changes: Changes | None = None

    @property
    def node(self):
        """The text node with run and review; None where there is none."""
        return self._record.node

    @property
    def version(self) -> object:
        """Another one whenever run, findings or review may be other ones."""
        return self._record.version

    @property
    def findings(self) -> Findings:
        """What the run found; empty where there is no record, or where `trouble` says why it cannot be read."""
        if self._findingsSeen != self._record.version:
            self._findingsSeen = self._record.version
            self._findings, self._findingsTrouble = Findings(), self._record.trouble
            try:
                if self._part(FINDINGS):
                    self._findings = findings.fromJson(self._part(FINDINGS))
            except OptionError as error:
                self._findingsTrouble = str(error)
        return self._findings

    @property
    def run(self) -> dict[str, Any]:
        """The worker's run record; empty where there is none."""
        return self._part(RUN)

    @property
    def trouble(self) -> str:
        """Why there is a record that cannot be read; empty where all is well."""
        if self.findings and self._findingsTrouble:
            return _("The record of this segmentation cannot be read: {error}").format(error=self._findingsTrouble)
        return ""

    @property
    def changes(self) -> Changes | None:
        """What refinement changed, voxel by voxel; None where that is not known."""
        if self._changesSeen != self._voxels.version:
            self._changesSeen = self._voxels.version
            try:
                self._changes = changes.fromJson(self._voxels.content) if self._voxels.content else None
            except OptionError:
                self._changes = None
        return self._changes

    @property
    def kept(self) -> str:
        """How much of the changes is in the scene: all, places, none; empty where nobody has looked."""
        return str(self._voxels.content.get("kept", ""))

    @property
    def review(self) -> dict[str, Any]:
        """How far the review has come; see `review.Review`."""
        return self._part(REVIEW)

    def write(self, volumeNode=None, **parts: Any) -> None:
        """Write parts of the record (FINDINGS, RUN, REVIEW by name); the others stay."""
        name = _("Record of {name}").format(name=self.segmentation.GetName())
        self._record.write({**self._record.content, **parts}, name, volumeNode)

    def writeChanges(self, content: dict[str, Any], volumeNode=None) -> None:
        """Write `changes.toJson`."""
        name = _("What refinement changed in {name}").format(name=self.segmentation.GetName())
        self._voxels.write(content, name, volumeNode)

    def texts(self) -> tuple[str, str]:
        """All there is, to be put back by `restore`."""
        return self._record.text, self._voxels.text

    def restore(self, texts: tuple[str, str], volumeNode=None) -> None:
        """Put back what `texts` gave; empty ones remove their nodes."""
        self._record.setText(texts[0], _("Record of {name}").format(name=self.segmentation.GetName()), volumeNode)
        self._voxels.setText(texts[1], _("What refinement changed"), volumeNode)

    def export(self) -> dict[str, Any]:
        """The record for a JSON file: the run, what it changed, and the review, without the voxels."""
        return {
            "segmentation": self.segmentation.GetName() or "",
            "volume": self.findings.volume,
            "result": self.findings.text,
            "run": self._part(RUN),
            "reviewed": self._part(FINDINGS).get("reviewed"),
            "review": self._part(REVIEW),
        }

    def _part(self, name: str) -> dict[str, Any]:
        part = self._record.content.get(name)
        return part if isinstance(part, dict) else {}


def sweep() -> None:
    """Remove records whose segmentation was deleted: nobody would find them again."""
    held = set()
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        held |= {node.GetNodeReferenceID(role) for role in (RECORD, CHANGES)}
    for node in slicer.util.getNodesByClass("vtkMRMLTextNode"):
        if (node.GetAttribute(RECORD) or node.GetAttribute(CHANGES)) and node.GetID() not in held:
            slicer.mrmlScene.RemoveNode(node)


def exportJson(record: SceneRecord, path: str) -> None:
    """Write the record to a file, UTF-8; an older file is replaced in one step.

    Raises:
        VolumeError: the file cannot be written.
    """
    with replacing(path) as part:
        part.write_text(json.dumps(record.export(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
