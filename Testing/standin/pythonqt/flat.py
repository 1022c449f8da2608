"""The flat modules `qt` and `ctk` that Slicer's Python code imports."""

from types import ModuleType

from PySide6 import QtCore

from . import patch, qt5, signals
from .ui import UiLoader


def qt_module() -> ModuleType:
    """All classes of QtCore, QtGui, QtWidgets and their neighbours under one name, as Slicer's qt.py has them."""
    module = ModuleType("qt", "Slicer's flat Qt module, on PySide6.")
    for kind in patch.classes():
        if kind.__name__ not in qt5.NOT_OFFERED:
            setattr(module, kind.__name__, kind)
    module.Qt = QtCore.Qt
    module.Signal, module.Slot, module.Property = signals.Signal, QtCore.Slot, QtCore.Property
    module.QUiLoader = UiLoader
    module.QSignalBlocker = QtCore.QSignalBlocker
    module.QStandardPaths = QtCore.QStandardPaths
    patch.plain_enums(QtCore.Qt)
    return module


def ctk_module() -> ModuleType:
    """The ctk classes that have a stand-in."""
    from standin.widgets import WIDGETS

    module = ModuleType("ctk", "Stand-ins for CTK's widgets.")
    for name, kind in WIDGETS.items():
        if name.startswith("ctk"):
            setattr(module, name, kind)
    return module
