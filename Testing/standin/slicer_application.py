"""`slicer.app`: what qSlicerApplication adds to Qt's application object, as far as a module may use it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import slicer
from PySide6 import QtCore, QtWidgets

from .io_manager import CoreIOManager
from .layout_manager import LayoutManager
from .modules import ModuleManager
from .signals import Emitter

VERSION = (5, 13, 0)


class qSlicerApplication(Emitter):
    """Made once by `standin.start()`; testing mode is on, as under CTest. Qt's own names come from the QApplication."""

    SIGNALS = ("startupCompleted()", "mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, temporary: Path) -> None:
        super().__init__()
        settings = QtCore.QSettings
        settings.setDefaultFormat(settings.IniFormat)
        settings.setPath(settings.IniFormat, settings.UserScope, str(temporary / "settings"))
        self._qt = QtWidgets.QApplication.instance()
        # Properties there, static functions in Qt: slicer.util reads them as values.
        self.applicationName = self.mainApplicationName = "Slicer"
        self.applicationVersion = ".".join(map(str, VERSION))
        self._qt.setApplicationName(self.applicationName)
        self._qt.setApplicationVersion(self.applicationVersion)
        self._qt.setOrganizationName("slicer.org")
        self._qt.setStyle("Fusion")
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
        self._restarts = 0
        self._io_manager: CoreIOManager | None = None
        self._layout_manager: LayoutManager | None = None
        self._application_logic = None

    def initialize(self, application_logic: slicer.vtkSlicerApplicationLogic) -> None:
        """Give the application its scene-side parts; the stand-in's own, called once."""
        self._application_logic = application_logic
        self._io_manager = CoreIOManager(slicer.mrmlScene, application_logic)
        self._layout_manager = LayoutManager(application_logic)

    def __getattr__(self, name: str) -> object:
        """Names of QApplication, such as processEvents, palette or aboutToQuit; AttributeError for any other."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._qt, name)

    def connect(self, signature: str, receiver: Callable) -> bool:
        if signature in self.SIGNALS:
            return super().connect(signature, receiver)
        return self._qt.connect(signature, receiver)

    def disconnect(self, signature: str, receiver: Callable | None = None) -> bool:
        if signature in self.SIGNALS:
            return super().disconnect(signature, receiver)
        return self._qt.disconnect(signature, receiver)

    def testingEnabled(self) -> bool:
        return self._testing

    def restart(self) -> None:
        """Counted, so that a test can see that the user would have lost the session."""
        self._restarts += 1

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

    def layoutManager(self) -> LayoutManager:
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
