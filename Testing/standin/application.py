"""Puts the stand-in together, and is what a test holds: everything that is *not* Slicer's own API lies here."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import slicer
from PySide6 import QtCore, QtWidgets

from . import (
    parameter_node,
    pip_packages,
    sample_data,
    screenshots,
    scripted_module,
    segment_editor,
    translation,
    unit_tests,
)
from .dialogs import Dialog, DialogRecorder
from .errors import ErrorCollector, collect_uncaught, nothing_printed
from .main_window import qSlicerMainWindow
from .module_widget import qSlicerScriptedLoadableModuleWidget
from .modules import CoreModule, ModuleNamespace, qSlicerScriptedLoadableModule
from .scene import make_scene
from .slicer_application import qSlicerApplication
from .subject_hierarchy import SubjectHierarchyKeeper
from .widgets import WIDGETS

# Built-in modules that have no logic of their own here.
MODULES_WITHOUT_LOGIC = ("SegmentStatistics", "Welcome", "SampleData")


class Application:
    """The running stand-in. Made by `standin.start()` only: there is one scene and one Qt application per process."""

    def __init__(self) -> None:
        temporary = Path(tempfile.mkdtemp(prefix="slicer-standin-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        self._errors = ErrorCollector()
        self._slot_errors = collect_uncaught()
        slicer.selfTests = {}
        slicer.modules = ModuleNamespace()
        slicer.modules.sampleDataSources = {}
        _install_python_modules()
        slicer.app = qSlicerApplication(temporary)
        self._parts = make_scene(Path(slicer.app.temporaryPath))
        slicer.mrmlScene = self._parts.scene
        self._hierarchy = SubjectHierarchyKeeper(slicer.mrmlScene)
        slicer.app.initialize(self._parts.application_logic)
        logics = self._parts.logics
        for name in (*logics, *MODULES_WITHOUT_LOGIC):
            slicer.app.moduleManager().add(CoreModule(name, logics.get(name)))
        slicer.app.moduleManager().add(segment_editor.make_module())
        self._recorder = DialogRecorder()
        self.main_window = qSlicerMainWindow()

    @property
    def dialogs(self) -> list[Dialog]:
        """Every dialog of slicer.util so far."""
        return self._recorder.dialogs

    @property
    def answers(self) -> list[object]:
        """Put the answers to coming dialogs here, in order."""
        return self._recorder.answers

    @property
    def testing(self) -> bool:
        """What slicer.app.testingEnabled() answers. Set it to False to see what a user would be shown."""
        return slicer.app.testingEnabled()

    @testing.setter
    def testing(self, enabled: bool) -> None:
        slicer.app._testing = enabled

    @property
    def vtk_errors(self) -> list[str]:
        """Every error and warning that VTK printed so far."""
        return self._errors.messages

    @property
    def slot_errors(self) -> list[str]:
        """Traceback of every exception in a Qt slot or a VTK observer; both print it and go on."""
        return self._slot_errors

    @property
    def restarts(self) -> int:
        """How often slicer.util.restart() was called since the last clear()."""
        return slicer.app._restarts

    def no_vtk_errors(self) -> AbstractContextManager[None]:
        """`with app.no_vtk_errors():` fails with AssertionError if VTK prints an error or a warning inside."""
        return nothing_printed(self._errors.messages, "VTK")

    def no_slot_errors(self) -> AbstractContextManager[None]:
        """`with app.no_slot_errors():` fails with AssertionError if a slot or an observer raises inside."""
        return nothing_printed(self._slot_errors, "A slot")

    def load_module(self, path: str | Path) -> object:
        """Load a scripted module as Slicer does at start, announce startupCompleted, and select it.

        Returns:
            The module's own widget (the Python class), set up and entered.
        """
        module = scripted_module.load(Path(path).resolve(), slicer.app.moduleManager())
        slicer.app.startupCompleted.emit()
        slicer.app.startupCompleted.disconnect()  # in Slicer it comes once; the next module must not wake this one
        self.main_window.moduleSelector().selectModule(module.name)
        return module.widgetRepresentation().self()

    def unload_module(self, name: str) -> None:
        """As at the end of the application: leaves the panel, calls the widget's cleanup() and forgets the module."""
        manager = slicer.app.moduleManager()
        self.main_window.moduleSelector().selectModule("Welcome")
        manager.moduleAboutToBeUnloaded.emit(name)
        manager.remove(name)
        for attribute in (f"{name}Widget", f"{name}Instance"):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)

    def screenshot_views(self, path: str | Path, size: tuple[int, int] = (1000, 800)) -> None:
        """Write a PNG of the four-up layout: Red, 3D, Green and Yellow view; `size` is width and height in pixels."""
        screenshots.save(screenshots.views(*size), path)

    def screenshot_panel(
        self, widget: QtWidgets.QWidget, path: str | Path, width: int = 350, dark: bool = False
    ) -> None:
        """Write a PNG of a panel as wide as Slicer's narrowest module column, as tall as its contents."""
        screenshots.save(screenshots.panel(widget, width, dark), path)

    def screenshot_application(
        self,
        widget: QtWidgets.QWidget,
        path: str | Path,
        size: tuple[int, int] = (1500, 900),
        panel_width: int = 420,
        dark: bool = False,
    ) -> None:
        """Write a PNG of panel and views side by side."""
        screenshots.save(screenshots.application(widget, *size, panel_width, dark), path)

    def announce_quit(self) -> None:
        """Let Qt emit aboutToQuit, as when the user closes Slicer; the stand-in goes on afterwards."""
        QtCore.QTimer.singleShot(0, QtWidgets.QApplication.quit)
        QtWidgets.QApplication.exec()

    def clear(self) -> None:
        """An empty scene, empty records and testing mode, as a test wants them at its beginning."""
        self.testing = True
        slicer.app._restarts = 0
        slicer.mrmlScene.Clear(0)
        for record in (self.dialogs, self.answers, self.vtk_errors, self.slot_errors, pip_packages.requests):
            record.clear()


def _install_python_modules() -> None:
    """Make `import slicer.i18n` and its like, and `import SampleData` work."""
    for name, widget in WIDGETS.items():
        if name.startswith(("qMRML", "qSlicer")):
            setattr(slicer, name, widget)
    for name, module in {
        "ScriptedLoadableModule": scripted_module,
        "i18n": translation,
        "packaging": pip_packages,
        "parameterNodeWrapper": parameter_node,
        "testing": unit_tests,
    }.items():
        _publish(name, module)
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    sys.modules["SampleData"] = sample_data


def _publish(name: str, module: ModuleType) -> None:
    sys.modules[f"slicer.{name}"] = module
    setattr(slicer, name, module)
