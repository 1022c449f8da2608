"""The main window: a module selector and the dock in which the selected module's panel stands."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtWidgets


class ModuleSelector(QtWidgets.QToolBar):
    """`slicer.util.moduleSelector()`: knows the current module; enters and leaves panels."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self, scroll_area: QtWidgets.QScrollArea) -> None:
        super().__init__()
        self._scroll_area = scroll_area
        self.selectedModule = ""

    def selectModule(self, name: str) -> None:
        """Leave the current panel, show and enter that of `name`; an unknown name changes nothing, as in Slicer."""
        module = slicer.app.moduleManager().module(name)
        if module is None or name == self.selectedModule:
            return
        self._leave()
        self.selectedModule = name
        panel = module.widgetRepresentation()
        if panel is not None:
            self._scroll_area.setWidget(panel)
            panel.show()
            panel.enter()
        self.moduleSelected.emit(name)

    def _leave(self) -> None:
        panel = self._scroll_area.takeWidget()
        if panel is not None:
            panel.exit()
            panel.hide()


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """What `slicer.util.mainWindow()` finds by its object name."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer")
        dock = QtWidgets.QDockWidget(self)
        dock.setObjectName("PanelDockWidget")
        scroll_area = QtWidgets.QScrollArea()
        scroll_area.setWidgetResizable(True)
        dock.setWidget(scroll_area)
        self.addDockWidget(QtCore.Qt.LeftDockWidgetArea, dock)
        self._selector = ModuleSelector(scroll_area)
        self.addToolBar(self._selector)

    def moduleSelector(self) -> ModuleSelector:
        return self._selector
