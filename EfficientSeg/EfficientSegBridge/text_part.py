"""One JSON object in a text node that belongs to a segmentation, and saves and loads with it."""

import json
from typing import Any

import slicer

from EfficientSegBridge import nodes


class TextPart:
    """Reads the node's text again only where it has changed; nothing of the scene is kept alive.

    Args:
        segmentationNode: whose reference `role` names the text node.
        role: name of the reference, and an attribute of the text node.
    """

    def __init__(self, segmentationNode, role: str) -> None:
        self._segmentation, self._role = segmentationNode, role
        self._seen: tuple[str, int] | None = None
        self._content: dict[str, Any] = {}
        self._trouble = ""

    @property
    def node(self):
        """The text node; None where there is none."""
        node = self._segmentation.GetNodeReference(self._role) if self._segmentation is not None else None
        return node if node is not None and node.IsA("vtkMRMLTextNode") else None

    @property
    def version(self) -> tuple[str, int] | None:
        """Another one whenever the text may be another one."""
        node = self.node
        return (node.GetID(), node.GetMTime()) if node is not None else None

    @property
    def text(self) -> str:
        """The whole text; empty where there is none."""
        node = self.node
        return (node.GetText() or "") if node is not None else ""

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object; empty where there is none, or where `trouble` says why it cannot be read."""
        self._read()
        return self._content

    @property
    def trouble(self) -> str:
        """Why the text cannot be read; empty where it can."""
        self._read()
        return self._trouble

    def write(self, content: dict[str, Any], name: str, volumeNode=None) -> None:
        """Replace the object; a node made for it is called `name` and lies beside the volume."""
        self.setText(json.dumps(content, ensure_ascii=False), name, volumeNode)

    def setText(self, text: str, name: str = "", volumeNode=None) -> None:
        """Put a text back; an empty one removes the node."""
        node = self.node
        if not text:
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
            return
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", slicer.mrmlScene.GenerateUniqueName(name))
            node.SetAttribute(self._role, "1")
            self._segmentation.SetNodeReferenceID(self._role, node.GetID())
            if volumeNode is not None:
                nodes.placeBeside(node, volumeNode)
        node.SetText(text)

    def _read(self) -> None:
        version = self.version
        if version == self._seen:
            return
        self._seen, self._content, self._trouble = version, {}, ""
        try:
            content = json.loads(self.text or "{}")
        except ValueError as error:
            self._trouble = f"{error}."
            return
        if isinstance(content, dict):
            self._content = content
        else:
            self._trouble = f"{type(content).__name__}."
