"""The Python row under Advanced: which interpreter runs the worker, kept in the application settings."""

from collections.abc import Callable

import qt

SETTING = "EfficientSeg/Python"
WAIT_MS = 500  # a path that is being typed is not looked at: each letter would start a program


class PythonRow:
    """Keeps the path of another Python.

    Args:
        ui: the panel's widgets by name.
        onSettled: called once the path has stood still for half a second.
    """

    def __init__(self, ui, onSettled: Callable[[], None]) -> None:
        self._ui = ui
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(onSettled)
        ui.pythonPathEdit.currentPath = str(qt.QSettings().value(SETTING) or "")
        ui.pythonPathEdit.connect("currentPathChanged(QString)", self._onPath)

    @property
    def path(self) -> str:
        """The interpreter that was chosen; empty for Slicer's own."""
        return str(self._ui.pythonPathEdit.currentPath or "").strip()

    def stop(self) -> None:
        self._timer.stop()

    def _onPath(self, _path: str) -> None:
        qt.QSettings().setValue(SETTING, self.path)
        self._timer.start()
