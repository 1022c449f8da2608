"""`slicer.app`: the QApplication of the stand-in, with those of qSlicerApplication's names that a module may use."""

from __future__ import annotations

import sys
from pathlib import Path

import slicer
from PySide6 import QtCore, QtWidgets

from .io_manager import CoreIOManager
from .modules import ModuleManager

VERSION = (5, 13, 0)


class qSlicerApplication(QtWidgets.QApplication):
    """Made once by `standin.start()`; testing mode is on, as under CTest."""

    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, temporary: Path) -> None:
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(temporary / "settings"))
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("slicer.org")
        self.setApplicationVersion(".".join(map(str, VERSION)))
        self.setStyle("Fusion")
        self.majorVersion, self.minorVersion = VERSION[:2]
        self.revision = "31053"
        self.os = {"linux": "linux", "darwin": "macosx", "win32": "win"}[sys.platform]
        self.arch = "amd64"
        self.slicerHome = str(temporary / "home")
        self.temporaryPath = str(temporary / "temporary")
        self.cachePath = str(temporary / "cache")
        self.defaultScenePath = str(temporary / "scenes")
        self.extensionsInstallPath = str(temporary / "extensions")
        self.documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"
        for folder in (self.slicerHome, self.temporaryPath, self.cachePath):
            Path(folder).mkdir(parents=True, exist_ok=True)
        self.slicerUserSettingsFilePath = QtCore.QSettings().fileName()
        self._module_manager = ModuleManager()
        self._testing = True
        self._io_manager: CoreIOManager | None = None
        self._layout_manager = None
        self._application_logic = None

    def initialize(self, application_logic: slicer.vtkSlicerApplicationLogic, layout_manager: object) -> None:
        """Give the application its scene-side parts; the stand-in's own, called once."""
        self._application_logic = application_logic
        self._io_manager = CoreIOManager(slicer.mrmlScene, application_logic)
        self._layout_manager = layout_manager

    def testingEnabled(self) -> bool:
        return self._testing

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return slicer.mrmlScene

    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return self._application_logic

    def mrmlApplicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return self._application_logic

    def coreIOManager(self) -> CoreIOManager:
        return self._io_manager

    def ioManager(self) -> CoreIOManager:
        return self._io_manager

    def moduleManager(self) -> ModuleManager:
        return self._module_manager

    def layoutManager(self) -> object:
        return self._layout_manager

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def userSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def revisionUserSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def moduleDocumentationUrl(self, moduleName: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{moduleName.lower()}.html"

    def pauseRender(self) -> None:
        self._application_logic.PauseRender()

    def resumeRender(self) -> None:
        self._application_logic.ResumeRender()
