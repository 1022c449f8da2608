"""The Qt side of a scripted module's panel."""

from __future__ import annotations

import sys

import slicer
from PySide6 import QtWidgets


class qSlicerScriptedLoadableModuleWidget(QtWidgets.QWidget):
    """What the Python widget class is given as `parent`: a widget with an empty vertical layout."""

    def __init__(self, module_name: str, python_class: type) -> None:
        super().__init__()
        self.setObjectName(f"{module_name}ModuleWidget")
        self.setLayout(QtWidgets.QVBoxLayout())
        self._module_name = module_name
        self._build(python_class)

    def _build(self, python_class: type) -> None:
        self._python = python_class(self)
        # Published before setup(), as in Slicer, so that a panel that fails in setup() can be reloaded.
        setattr(slicer.modules, f"{self._module_name}Widget", self._python)
        self._python.setup()

    def self(self) -> object:
        """The instance of the Python class, as `slicer.util.getModuleWidget` returns it."""
        return self._python

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return slicer.mrmlScene

    def enter(self) -> None:
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        if hasattr(self._python, "exit"):
            self._python.exit()

    def reload(self) -> None:
        """Build the Python widget anew from the class now in sys.modules; called by slicer.util's reload."""
        self._build(getattr(sys.modules[self._module_name], f"{self._module_name}Widget"))
