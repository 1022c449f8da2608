"""The scene and the module logics, set up in the order in which qSlicerCoreApplication does it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import slicer
import vtk

# Module name as in slicer.modules, with its logic class.
LOGICS = {
    "Units": "vtkSlicerUnitsLogic",
    "Colors": "vtkSlicerColorLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "Reformat": "vtkSlicerReformatLogic",
    "Data": "vtkSlicerDataModuleLogic",
}


def share_directory(module: str) -> str:
    """Folder of the module's resource files. The slicer-core wheel has none; trame-slicer carries the terminologies."""
    found = importlib.util.find_spec("trame_slicer")
    if found is None:
        raise ModuleNotFoundError(
            "trame-slicer, which carries Slicer's terminology files, is missing: pip install --no-deps trame-slicer"
        )
    resources = Path(found.submodule_search_locations[0]) / "resources"
    return str(resources / "terminologies" if module == "Terminologies" else resources)


class SceneParts(NamedTuple):
    """What must live as long as the application."""

    scene: slicer.vtkMRMLScene
    application_logic: slicer.vtkSlicerApplicationLogic
    logics: dict[str, slicer.vtkMRMLAbstractLogic]  # by module name
    data_manager: slicer.vtkDataIOManager


def make_scene(temporary: Path) -> SceneParts:
    """A scene with default nodes, the application logic, and every logic of LOGICS; files go below `temporary`."""
    scene = slicer.vtkMRMLScene()
    # A bundle (.mrb) is unpacked below the cache folder of the scene's data manager.
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(temporary))
    cache.SetMRMLScene(scene)
    data = slicer.vtkDataIOManager()
    data.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(data)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)

    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetTemporaryPath(str(temporary))
    # The application's own colour files would lie here; the built-in tables need none.
    application_logic.SetHomeDirectory(str(temporary))
    application_logic.SetShareDirectory("share")
    (temporary / "share" / "ColorFiles").mkdir(parents=True)
    application_logic.SetSliceLogics(vtk.vtkCollection())
    application_logic.SetViewLogics(vtk.vtkCollection())
    application_logic.SetMRMLScene(scene)

    logics = {}
    for module, class_name in LOGICS.items():
        logic = getattr(slicer, class_name)()
        # The order matters: a logic reads its files as soon as it is given the scene.
        if isinstance(logic, slicer.vtkSlicerModuleLogic):
            logic.SetModuleShareDirectory(share_directory(module))
        logic.SetMRMLApplicationLogic(application_logic)
        application_logic.SetModuleLogic(module, logic)
        logic.SetMRMLScene(scene)
        logics[module] = logic
    application_logic.SetColorLogic(logics["Colors"])
    return SceneParts(scene, application_logic, logics, data)
