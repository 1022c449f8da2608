"""The queue of studies in the scene: it is saved with it, and survives a reload of the module."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import slicer

from EfficientSegBridge import study_kinds
from EfficientSegBridge.study_kinds import Study
from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.studies.case import Entry

TAG = "EfficientSegStudies"  # singleton: one queue per scene
PARAMETER = "studies"
ROLE = "EfficientSeg.Study"


class StudyStore:
    """Writes the queue into a hidden node, whose references find volumes and sequences again in a loaded scene."""

    def write(self, studies: Sequence[Study]) -> None:
        node = self._node(make=bool(studies))
        if node is None:
            return
        roles: dict[str, str] = {}  # by node ID

        def refer(target) -> str:
            if target is None or not slicer.mrmlScene.IsNodePresent(target):
                return ""
            role = roles.setdefault(target.GetID(), f"{ROLE}{len(roles)}")
            node.SetNodeReferenceID(role, target.GetID())
            return role

        lines = [{**study.toJson(refer), "kind": study.kind, "entry": asdict(study.entry)} for study in studies]
        node.SetParameter(PARAMETER, json.dumps(lines, ensure_ascii=False))

    def read(self) -> list[Study]:
        """The studies whose nodes are there; one that was running waits again."""
        node = self._node(make=False)
        try:
            lines = json.loads(node.GetParameter(PARAMETER) or "[]") if node is not None else []
            found = [self._study(line, node) for line in lines]
        except (ValueError, KeyError, TypeError, OptionError):
            return []  # of a newer version: it stays in the scene, untouched
        return [study for study in found if study is not None]

    def _study(self, line: dict, node) -> Study | None:
        entry = read_options(Entry, line["entry"])
        if entry.state == "running":
            entry = replace(entry, state="waiting")
        return study_kinds.read(line, entry, lambda role: node.GetNodeReference(role) if role else None)

    def _node(self, make: bool):
        node = slicer.mrmlScene.GetSingletonNode(TAG, "vtkMRMLScriptedModuleNode")
        if node is None and make:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(TAG)
            node.SetName("EfficientSeg studies")
            node.SetHideFromEditors(True)
            node = slicer.mrmlScene.AddNode(node)
        return node
