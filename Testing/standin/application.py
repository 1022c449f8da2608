"""Puts the stand-in together, and is what a test holds: everything that is *not* Slicer's own API lies here."""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import slicer  # first: it loads the VTK that it was built with

from . import packaging, sample_data, scripted_module, translation, unit_tests
from .dialogs import Dialog, DialogRecorder
from .errors import ErrorCollector, nothing_printed
from .main_window import qSlicerMainWindow
from .modules import (
    CoreModule,
    ModuleNamespace,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
)
from .scene import make_scene
from .slicer_application import qSlicerApplication
from .subject_hierarchy import SubjectHierarchyKeeper

# Built-in modules that have no logic of their own here.
MODULES_WITHOUT_LOGIC = ("SegmentEditor", "SegmentStatistics", "Welcome", "SampleData")


class Application:
    """The running stand-in. Made by `standin.start()` only: there is one scene and one Qt application per process."""

    def __init__(self) -> None:
        temporary = Path(tempfile.mkdtemp(prefix="slicer-standin-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        self._errors = ErrorCollector()
        _install_python_modules()
        slicer.selfTests = {}
        slicer.modules = ModuleNamespace()
        slicer.modules.sampleDataSources = {}
        slicer.app = qSlicerApplication(temporary)
        self._parts = make_scene(Path(slicer.app.temporaryPath))
        slicer.mrmlScene = self._parts.scene
        self._hierarchy = SubjectHierarchyKeeper(slicer.mrmlScene)
        slicer.app.initialize(self._parts.application_logic, None)
        logics = self._parts.logics
        for name in (*logics, *MODULES_WITHOUT_LOGIC):
            slicer.app.moduleManager().add(CoreModule(name, logics.get(name)))
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
    def vtk_errors(self) -> list[str]:
        """Every error and warning that VTK printed so far."""
        return self._errors.messages

    def no_vtk_errors(self) -> AbstractContextManager[None]:
        """`with app.no_vtk_errors():` fails with AssertionError if VTK prints an error or a warning inside."""
        return nothing_printed(self._errors.messages, "VTK")

    def load_module(self, path: str | Path) -> object:
        """Load a scripted module as Slicer does at start, announce startupCompleted, and select it.

        Returns:
            The module's own widget (the Python class), set up and entered.
        """
        module = scripted_module.load(Path(path).resolve(), slicer.app.moduleManager())
        slicer.app.startupCompleted.emit()
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

    def clear(self) -> None:
        """An empty scene and empty records, as a test wants them at its beginning."""
        slicer.mrmlScene.Clear(0)
        for record in (self.dialogs, self.answers, self.vtk_errors, packaging.requests):
            record.clear()


def _install_python_modules() -> None:
    """Make `import slicer.i18n` and its like, `import SampleData`, `import qt` and `import ctk` work."""
    if (Path(__file__).parent / "pythonqt" / "__init__.py").is_file():
        from . import pythonqt

        pythonqt.install()
    if (Path(__file__).parent / "widgets" / "__init__.py").is_file():
        from .widgets import WIDGETS

        for name, widget in WIDGETS.items():
            if name.startswith(("qMRML", "qSlicer")):
                setattr(slicer, name, widget)
    for name, module in {"ScriptedLoadableModule": scripted_module, "i18n": translation, "packaging": packaging,
                         "testing": unit_tests}.items():
        _publish(name, module)
    if importlib.util.find_spec(f"{__package__}.parameter_node") is not None:
        from . import parameter_node

        _publish("parameterNodeWrapper", parameter_node)
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    sys.modules["SampleData"] = sample_data


def _publish(name: str, module: ModuleType) -> None:
    sys.modules[f"slicer.{name}"] = module
    setattr(slicer, name, module)
