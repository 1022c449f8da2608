"""`slicer.app.coreIOManager()`: which reader takes a file, and how each reader calls its module's logic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import slicer
import vtk

# File type by the end of the file name; the longest end wins.
EXTENSIONS = {
    "SceneFile": (".mrml", ".mrb"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr", ".seg.vtm"),
    "VolumeFile": (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".hdr", ".mgz", ".dcm", ".tif", ".png", ".jpg"),
    "MarkupsFile": (".mrk.json", ".fcsv"),
    "TransformFile": (".h5", ".tfm", ".mat"),
    "ColorTableFile": (".ctbl", ".cxml"),
    "TableFile": (".csv", ".tsv"),
    "TextFile": (".txt",),
    "ModelFile": (".vtp", ".vtk", ".stl", ".ply", ".obj"),
}
# File type of the writer by node class, subclasses before their parents.
WRITERS = {
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLColorNode": "ColorTableFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLTextNode": "TextFile",
    "vtkMRMLModelNode": "ModelFile",
}
# Bits of vtkSlicerVolumesLogic's loading options.
VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}


class CoreIOManager:
    """The part of qSlicerCoreIOManager that slicer.util's load and save functions call."""

    def __init__(self, scene: slicer.vtkMRMLScene, application_logic: slicer.vtkSlicerApplicationLogic) -> None:
        self._scene = scene
        self._application_logic = application_logic
        self._readers: dict[str, Callable] = {
            "VolumeFile": self._read_volume,
            "SegmentationFile": self._read_segmentation,
            "MarkupsFile": self._read_markups,
            "ColorTableFile": self._read_colors,
            "ModelFile": self._read_model,
            "TransformFile": self._read_transform,
            "TableFile": self._read_table,
            "TextFile": self._read_text,
        }

    def fileType(self, fileName: str) -> str:
        """Type of the reader that knows this file name best; "NoFile" if none does."""
        name = Path(str(fileName)).name.lower()
        fits = [(len(end), kind) for kind, ends in EXTENSIONS.items() for end in ends if name.endswith(end)]
        return max(fits)[1] if fits else "NoFile"

    def fileWriterFileType(self, node: slicer.vtkMRMLNode, preferredFileName: str = "") -> str:
        return next((kind for class_name, kind in WRITERS.items() if node.IsA(class_name)), "NoFile")

    def loadNodes(
        self,
        fileType: str,
        parameters: dict,
        loadedNodes: vtk.vtkCollection | None = None,
        userMessages: slicer.vtkMRMLMessageCollection | None = None,
    ) -> bool:
        """Read `parameters["fileName"]`; the nodes made go into `loadedNodes`. False if the file could not be read."""
        messages = userMessages or slicer.vtkMRMLMessageCollection()
        if fileType == "SceneFile":
            return self.loadScene(parameters["fileName"], parameters.get("clear", False), messages)
        reader = self._readers.get(fileType)
        if reader is None:
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"No reader for file type {fileType!r}.")
            return False
        path = str(parameters["fileName"])
        node = reader(path, parameters, messages)
        if node is None:
            return False
        if loadedNodes is not None:
            loadedNodes.AddItem(node)
        return True

    def loadScene(
        self, fileName: str, clear: bool = True, userMessages: slicer.vtkMRMLMessageCollection | None = None
    ) -> bool:
        messages = userMessages or slicer.vtkMRMLMessageCollection()
        if Path(fileName).suffix.lower() == ".mrb":
            return bool(self._scene.ReadFromMRB(str(fileName), bool(clear), messages))
        self._scene.SetURL(str(fileName))
        return bool(self._scene.Connect(messages) if clear else self._scene.Import(messages))

    def saveNodes(
        self, fileType: str, parameters: dict, userMessages: slicer.vtkMRMLMessageCollection | None = None
    ) -> bool:
        """Write the node `parameters["nodeID"]`, or the whole scene for "SceneFile", to `parameters["fileName"]`."""
        messages = userMessages or slicer.vtkMRMLMessageCollection()
        path = str(parameters["fileName"])
        if fileType == "SceneFile":
            return self._save_scene(path, messages)
        node = self._scene.GetNodeByID(parameters["nodeID"])
        if not node.GetStorageNode() and not node.AddDefaultStorageNode(path):
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"{node.GetClassName()} has no storage node.")
            return False
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(int(parameters.get("useCompression", True)))
        return bool(storage.WriteData(node))

    def _save_scene(self, path: str, messages: slicer.vtkMRMLMessageCollection) -> bool:
        suffix = Path(path).suffix.lower()
        if suffix == ".mrb":
            return bool(self._scene.WriteToMRB(path, None, messages))
        if suffix == ".mrml":
            self._scene.SetURL(path)
            self._scene.SetRootDirectory(str(Path(path).parent))
            return bool(self._scene.Commit(path, messages))
        Path(path).mkdir(parents=True, exist_ok=True)
        return bool(self._application_logic.SaveSceneToSlicerDataBundleDirectory(path, None, messages))

    def _logic(self, module: str) -> slicer.vtkSlicerModuleLogic:
        return self._application_logic.GetModuleLogic(module)

    def _read_volume(self, path, parameters, messages):
        options = sum(bit for name, bit in VOLUME_OPTIONS.items() if parameters.get(name))
        files = None
        if "fileNames" in parameters:
            files = vtk.vtkStringArray()
            for name in parameters["fileNames"]:
                files.InsertNextValue(str(name))
        node = self._logic("Volumes").AddArchetypeVolume(path, _name(path, parameters), options, files, messages)
        if node is None:
            return None
        if "colorNodeID" in parameters and node.GetDisplayNode():
            node.GetDisplayNode().SetAndObserveColorNodeID(parameters["colorNodeID"])
        if parameters.get("show", True):
            selection = self._application_logic.GetSelectionNode()
            if node.IsA("vtkMRMLLabelMapVolumeNode"):
                selection.SetActiveLabelVolumeID(node.GetID())
            else:
                selection.SetActiveVolumeID(node.GetID())
            self._application_logic.PropagateVolumeSelection()
        return node

    def _read_segmentation(self, path, parameters, messages):
        colors = self._scene.GetNodeByID(parameters["colorNodeID"]) if "colorNodeID" in parameters else None
        opaque = bool(parameters.get("autoOpacities", True))
        name = parameters.get("name")
        return self._logic("Segmentations").LoadSegmentationFromFile(path, opaque, name, colors, messages)

    def _read_markups(self, path, parameters, messages):
        node_id = self._logic("Markups").LoadMarkups(path, parameters.get("name"), messages)
        return self._scene.GetNodeByID(node_id) if node_id else None

    def _read_colors(self, path, parameters, messages):
        return self._logic("Colors").LoadColorFile(path, _name(path, parameters), messages)

    def _read_model(self, path, parameters, messages):
        system = parameters.get("coordinateSystem", slicer.vtkMRMLStorageNode.CoordinateSystemLPS)
        return self._logic("Models").AddModel(path, system, messages)

    def _read_transform(self, path, parameters, messages):
        return self._logic("Transforms").AddTransform(path, self._scene, messages)

    def _read_table(self, path, parameters, messages):
        return self._logic("Tables").AddTable(path, _name(path, parameters), True, "", messages)

    def _read_text(self, path, parameters, messages):
        node = self._scene.AddNewNodeByClass("vtkMRMLTextNode", _name(path, parameters))
        storage = self._scene.AddNewNodeByClass("vtkMRMLTextStorageNode")
        storage.SetFileName(path)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if storage.ReadData(node):
            return node
        self._scene.RemoveNode(storage)
        self._scene.RemoveNode(node)
        return None


def _name(path: str, parameters: dict) -> str:
    """Node name asked for, else the file name up to its first point, as Slicer's readers do."""
    return parameters.get("name") or Path(path).name.split(".")[0]
