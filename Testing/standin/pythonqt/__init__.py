"""PySide6 made to answer as PythonQt does inside Slicer: `install()` patches it in place and offers `qt` and `ctk`.

It is measured against `facts/pythonqt.json`, answers of a real Slicer. Laxer than the truth: ownership and garbage
collection, threads, styles.
"""

import os
import sys

os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "6")  # integer enums; PySide6 reads it when it is first imported

from .ui import child_widget_variables, load_ui

__all__ = ["child_widget_variables", "install", "load_ui"]

_application = None


def install() -> None:
    """Patch PySide6 and put `qt` and `ctk` into sys.modules; a second call does nothing.

    Raises:
        RuntimeError: QT_QPA_PLATFORM is not set to offscreen, or PySide6 was imported before with other enums.
    """
    global _application
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        raise RuntimeError("QT_QPA_PLATFORM is not 'offscreen'. Set it before Qt is loaded.")
    if "qt" in sys.modules:
        return
    from . import flat, patch

    patch.apply()
    from PySide6 import QtCore, QtWidgets

    if not issubclass(type(QtCore.Qt.Orientation.Horizontal), int):
        raise RuntimeError("PySide6 was imported before standin.pythonqt, with enums that are no integers.")
    _application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([sys.argv[0]])
    sys.modules["qt"] = flat.qt_module()
    sys.modules["ctk"] = flat.ctk_module()
