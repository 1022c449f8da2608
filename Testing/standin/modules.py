"""`slicer.modules`, the module objects in it, and the module manager."""

from __future__ import annotations

from pathlib import Path

import slicer
from PySide6 import QtGui

from .module_widget import qSlicerScriptedLoadableModuleWidget
from .signals import Emitter


class ModuleNamespace:
    """`slicer.modules`: one lower-case attribute per module; others may put names of their own in, as in Slicer."""


class CoreModule:
    """A built-in module: its logic is real; its panel, being Qt and C++, is not here."""

    def __init__(self, name: str, logic: slicer.vtkMRMLAbstractLogic | None) -> None:
        self.name = name
        self.title = name
        self.path = ""
        self._logic = logic

    def logic(self) -> slicer.vtkMRMLAbstractLogic | None:
        return self._logic

    def widgetRepresentation(self) -> None:
        return None


class qSlicerScriptedLoadableModule:
    """What a scripted module's class is given as `parent`: the module's description. Unknown names are refused."""

    __slots__ = (
        "_new_widget",
        "_widget",
        "acknowledgementText",
        "associatedNodeTypes",
        "categories",
        "contributors",
        "dependencies",
        "helpText",
        "hidden",
        "icon",
        "index",
        "name",
        "path",
        "title",
        "widgetRepresentationCreationEnabled",
    )

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.title = name
        self.path = path
        self.categories: list[str] = []
        self.contributors: list[str] = []
        self.dependencies: list[str] = []
        self.associatedNodeTypes: list[str] = []
        self.helpText = ""
        self.acknowledgementText = ""
        self.icon = QtGui.QIcon()
        self.index = -1
        self.hidden = False
        self.widgetRepresentationCreationEnabled = True
        self._new_widget = lambda: None
        self._widget = None

    def logic(self) -> slicer.vtkSlicerScriptedLoadableModuleLogic:
        logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
        logic.SetMRMLScene(slicer.mrmlScene)
        return logic

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        """The module's panel, made and set up at the first call."""
        if self._widget is None and self.widgetRepresentationCreationEnabled:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        return self._new_widget()

    def resourcePath(self, fileName: str) -> str:
        return str(Path(self.path).parent / "Resources" / fileName)


class ModuleFactoryManager:
    """The names of what was loaded."""

    def __init__(self, loaded: dict[str, object]) -> None:
        self._loaded = loaded

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._loaded)

    def isLoaded(self, name: str) -> bool:
        return name in self._loaded


class ModuleManager(Emitter):
    """`slicer.app.moduleManager()`."""

    SIGNALS = ("moduleLoaded(QString)", "moduleAboutToBeUnloaded(QString)", "moduleUnloaded(QString)")

    def __init__(self) -> None:
        super().__init__()
        self._loaded: dict[str, object] = {}
        self._factory = ModuleFactoryManager(self._loaded)

    def factoryManager(self) -> ModuleFactoryManager:
        return self._factory

    def module(self, name: str) -> object | None:
        return self._loaded.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._loaded)

    def add(self, module: CoreModule | qSlicerScriptedLoadableModule) -> None:
        """Publish a module as slicer.modules.<name in lower case>; in Slicer its factory does this."""
        self._loaded[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)
        self.moduleLoaded.emit(module.name)

    def remove(self, name: str) -> None:
        """Forget a module. The stand-in's own, used when a test unloads one."""
        del self._loaded[name]
        delattr(slicer.modules, name.lower())
        self.moduleUnloaded.emit(name)
