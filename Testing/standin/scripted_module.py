"""`slicer.ScriptedLoadableModule`: the four base classes of a scripted module, and the factory that loads one."""

from __future__ import annotations

import importlib.util
import logging
import sys
import unittest
from pathlib import Path

import slicer
from PySide6 import QtGui, QtWidgets

from .module_widget import qSlicerScriptedLoadableModuleWidget
from .modules import ModuleManager, qSlicerScriptedLoadableModule

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


class ScriptedLoadableModule:
    """Describes the module to the application by setting attributes of `parent`."""

    def __init__(self, parent: qSlicerScriptedLoadableModule) -> None:
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        resources = Path(parent.path).parent / "Resources" / "Icons"
        for icon in (resources / f"{self.moduleName}.svg", resources / f"{self.moduleName}.png"):
            if icon.is_file():
                parent.icon = QtGui.QIcon(str(icon))
                break
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        base = slicer.app.documentationBaseUrl
        url = base + docPage if docPage else slicer.app.moduleDocumentationUrl(self.moduleName)
        return f'<p>See the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **kwargs: object) -> None:
        """Run `<Module>Test.runTest`; AssertionError if the module has no such class."""
        module = sys.modules[type(self).__module__]
        test_class = getattr(module, f"{self.moduleName}Test", None)
        if test_class is None:
            raise AssertionError(f"{module.__name__} has no class {self.moduleName}Test.")
        test = test_class()
        test.messageDelay = msec
        test.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The module's panel: `self.layout` is where setup() puts things."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        self.parent = parent
        if parent is None:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(QtWidgets.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().moduleAboutToBeUnloaded.connect(self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """Overridden by the module; the developer's reload section is not part of the stand-in."""

    def cleanup(self) -> None:
        """Overridden by the module; called before it is unloaded or reloaded."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def onReloadAndTest(self, **kwargs: object) -> None:
        with slicer.util.tryWithErrorDisplay("Reload and Test failed."):
            self.onReload()
            slicer.selfTests[self.moduleName](**kwargs)

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().moduleAboutToBeUnloaded.disconnect(self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """Computation without a panel; keeps its settings in a vtkMRMLScriptedModuleNode of the scene."""

    def __init__(self, parent: object = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> slicer.vtkMRMLScriptedModuleNode:
        """The module's node in the scene, made if there is none."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node:
                node.SetAttribute("ModuleName", self.moduleName)  # lost when the scene was closed
                return node
        nodes = [] if self.isSingletonParameterNode else self.getAllParameterNodes()
        return nodes[0] if nodes else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[slicer.vtkMRMLScriptedModuleNode]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> slicer.vtkMRMLScriptedModuleNode:
        """A node not yet in the scene; a module overrides this to give it defaults."""
        node = slicer.vtkMRMLScriptedModuleNode()
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The module's self test."""

    # Lets the class be instantiated without naming a test, as ScriptedLoadableModule.runTest does.
    def __init__(self, methodName: str = "runTest", *args: object, **kwargs: object) -> None:
        super().__init__(methodName, *args, **kwargs)
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        delays = (getattr(self, "messageDelay", None), msec, requestedDelay, 100)
        slicer.util.delayDisplay(message, next(delay for delay in delays if delay is not None))

    def runTest(self) -> None:
        logging.warning("%s defines no runTest.", type(self).__name__)


def load(path: Path, manager: ModuleManager) -> qSlicerScriptedLoadableModule:
    """Import a module's file and publish it as Slicer's factory does; the panel is made when it is first asked for.

    Raises:
        AttributeError: the file lacks the class that bears its name.
    """
    name = path.stem
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module
    spec.loader.exec_module(python_module)

    module = qSlicerScriptedLoadableModule(name, str(path))
    instance = getattr(python_module, name)(module)
    setattr(slicer.modules, f"{name}Instance", instance)

    def new_widget() -> qSlicerScriptedLoadableModuleWidget:
        return qSlicerScriptedLoadableModuleWidget(name, getattr(sys.modules[name], f"{name}Widget"))

    module._new_widget = new_widget
    manager.add(module)
    return module
