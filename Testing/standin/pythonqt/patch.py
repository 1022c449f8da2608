"""Puts the rules of `members` into PySide6's classes."""

import ctypes
import enum
import sys
from collections.abc import Callable, Iterator
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtSvg, QtUiTools, QtWidgets, QtXml

from . import conversion, describe, members

MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtSvg, QtXml, QtUiTools)


def classes() -> Iterator[type]:
    """Every C++ class of the modules; dir() makes PySide fill them."""
    for module in MODULES:
        for name in dir(module):
            kind = getattr(module, name)
            if type(kind) is members.OBJECT_TYPE:
                yield kind


def apply() -> None:
    """Patch all classes, once."""
    _keep_singletons()
    base = shiboken6.Object
    members.RAW_READS[base] = base.__getattribute__
    for kind in list(classes()):
        _patch_class(kind)
    base.__getattribute__ = members.read
    base.__repr__ = describe.described
    base.__str__ = describe.as_text
    base.__bool__ = lambda self: shiboken6.isValid(self)
    members.OBJECT_TYPE.__instancecheck__ = members.instance_check


def _keep_singletons() -> None:
    """Make None and its like immortal, as Python 3.12 does.

    PySide 6.12 returns them without taking a reference; under Python 3.10 and 3.11 some hundred thousand calls would
    otherwise end the process with "deallocating None".
    """
    if sys.version_info < (3, 12):
        for value in (None, True, False, NotImplemented, Ellipsis):
            ctypes.c_ssize_t.from_address(id(value)).value += 1 << 40


def _patch_class(kind: type) -> None:
    own = dict(vars(kind))
    if "__init__" in own and not getattr(own["__init__"], "pythonqt", False):
        kind.__init__ = _constructor(kind, own["__init__"])
    for name, value in own.items():
        if isinstance(value, staticmethod) and not name.startswith("__"):
            setattr(kind, name, staticmethod(members.StaticSlot(value.__func__, kind.__name__, name)))
    plain_enums(kind)
    kind.__setattr__ = members.write
    if "__getattribute__" in own:
        members.RAW_READS[kind] = own["__getattribute__"]
        kind.__getattribute__ = members.read
    if "__repr__" in own:
        kind.__repr__ = describe.described
    if "__str__" in own and kind is not QtCore.QByteArray:
        kind.__str__ = describe.as_text
    if "__bool__" in own:
        kind.__bool__ = lambda self: shiboken6.isValid(self)
    if kind is QtCore.QByteArray:
        kind.__bytes__ = _no_bytes
        kind.__repr__ = lambda self: f"QByteArray ({self.data()!r}, at: {hex(id(self))})"


def plain_enums(holder: type) -> None:
    """Show the enum members of a class as the numbers they are."""
    for value in list(vars(holder).values()):
        if isinstance(value, type) and issubclass(value, enum.Enum) and issubclass(value, int):
            value.__repr__ = int.__repr__
            value.__str__ = int.__repr__


def _no_bytes(self: Any) -> bytes:
    raise TypeError("cannot convert 'QByteArray' object to bytes")


def _constructor(kind: type, original: Callable) -> Callable:
    def construct(self: Any, *args: Any, **keywords: Any) -> None:
        if keywords:
            raise conversion.no_keywords(kind, kind.__name__)
        conversion.call(original, (self,), args, kind.__name__, kind)

    construct.pythonqt = True
    return construct
