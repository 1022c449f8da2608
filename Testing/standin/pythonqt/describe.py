"""PythonQt's repr and str of C++ objects."""

from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui

from .members import native_class


def described(self: Any) -> str:
    """PythonQt's repr of an object."""
    name, native, address = type(self).__name__, native_class(type(self)), hex(id(self))
    if issubclass(native, QtCore.QObject):
        return f"{name} ({native.__name__} at: {address if shiboken6.isValid(self) else '(nil)'})"
    inside = _contents(self)
    return f"{name} ({inside}, at: {address})" if inside else f"{name} (C++ object at: {address})"


def as_text(self: Any) -> str:
    """PythonQt's str of an object: the bare contents of a value."""
    name, address = type(self).__name__, hex(id(self))
    if issubclass(type(self), QtCore.QObject):
        return f"{name} (QObject {address})"
    return _contents(self) or f"{name} (C++ Object {address})"


def _contents(value: Any) -> str:
    """What PythonQt tells about a value; empty where it tells nothing."""
    kind = type(value)
    if issubclass(kind, (QtCore.QSize, QtCore.QSizeF)):
        return f"{value.width():g}, {value.height():g}"
    if issubclass(kind, (QtCore.QPoint, QtCore.QPointF)):
        return f"{value.x():g}, {value.y():g}"
    if issubclass(kind, (QtCore.QRect, QtCore.QRectF)):
        return f"{value.x():g}, {value.y():g}, {value.width():g}, {value.height():g}"
    if issubclass(kind, (QtCore.QDate, QtCore.QTime, QtCore.QDateTime)):
        return value.toString(QtCore.Qt.DateFormat.ISODate)
    if issubclass(kind, (QtGui.QPixmap, QtGui.QImage)):
        return f"{kind.__name__[1:]} {value.width()}, {value.height()}"
    if issubclass(kind, QtGui.QColor):
        return value.name()
    if issubclass(kind, (QtCore.QUrl, QtGui.QFont, QtGui.QKeySequence, QtCore.QUuid)):
        return value.toString()
    return ""
