"""How PythonQt finds and writes a name on an object: patched into PySide6's base class, for all classes at once.

The order: names of Python subclasses; static functions; meta-object properties, read as values; methods, signals,
enums; dynamic properties; children by object name. A new attribute on a C++ object is refused.
"""

import enum
import types
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

from . import conversion, qt5, signals

OBJECT_TYPE = type(QtCore.QObject)
STAND_INS: dict[str, type] = {}
RAW_READ = shiboken6.Object.__getattribute__
RAW_READS: dict[type, Callable] = {}  # classes with a C look-up of their own, filled when patched
RAW_WRITE = shiboken6.Object.__setattr__
RAW_FIND_CHILDREN = QtCore.QObject.findChildren
RAW_BOOL = type.__instancecheck__


SIGNAL_INSTANCE = QtCore.SignalInstance
_reading: set[tuple[int, str]] = set()
loading: list[bool] = []  # not empty while a .ui file is built


class Member(NamedTuple):
    """What a name means on a class: `kind` is property, slot, override, signal, value, raw or nothing."""

    kind: str
    data: Any = None


class Slot:
    """A method bound to an object, called by PythonQt's rules."""

    __slots__ = ("__name__", "__self__", "_function")

    def __init__(self, function: Callable, owner: Any, name: str) -> None:
        self._function, self.__self__, self.__name__ = function, owner, name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        owner = self.__self__
        native = native_class(type(owner))
        if keywords:
            raise conversion.no_keywords(_unwrapped(self._function), self.__name__)
        if not shiboken6.isValid(owner):
            raise ValueError(f"Trying to call '{self.__name__}' on a destroyed {native.__name__} object")
        if type(self._function) is types.FunctionType:
            if not conversion.takes(self._function, len(args) + 1):
                raise ValueError(f"Called {self.__name__} with wrong number of arguments: {args}")
            return conversion.to_python(self._function(owner, *args))
        if self.__name__ == "setToolTip" and len(args) == 1 and issubclass(native, QtWidgets.QWidget):
            args = (word_wrapped(conversion.to_text(args[0])),)
        # QFile.exists and its like are static and not, and PySide's own look-up chooses between the two.
        bound = raw_read(native, owner, self.__name__)
        return conversion.to_python(conversion.call(bound, (), args, self.__name__, _unwrapped(self._function)))

    def __repr__(self) -> str:
        owner = native_class(type(self.__self__)).__name__
        return f"<qt slot {self.__name__} of {owner} instance at {hex(id(self.__self__))}>"

    def __eq__(self, other: object) -> bool:
        return type(other) is Slot and (self.__self__, self.__name__) == (other.__self__, other.__name__)

    def __hash__(self) -> int:
        return hash((id(self.__self__), self.__name__))


def _unwrapped(function: Any) -> Any:
    """The callable that knows its signatures."""
    function = function.__func__ if isinstance(function, staticmethod) else function
    return function._function if type(function) is StaticSlot else function


Slot.__name__ = "builtin_qt_slot"


class StaticSlot:
    """A static function of a class, called by PythonQt's rules."""

    __slots__ = ("__name__", "_class_name", "_function")

    def __init__(self, function: Callable, class_name: str, name: str) -> None:
        self._function, self._class_name, self.__name__ = function, class_name, name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if keywords:
            raise conversion.no_keywords(self._function, self.__name__)
        result = conversion.to_python(conversion.call(self._function, (), args, self.__name__))
        return result[0] if (self._class_name, self.__name__) in qt5.FIRST_RESULT_ONLY else result

    def __repr__(self) -> str:
        return f"<unbound qt slot {self.__name__} of {self._class_name} type>"


def raw_read(native: type, owner: Any, name: str) -> Any:
    """PySide's own look-up of a name, around Python subclasses."""
    own = next(RAW_READS[base] for base in native.__mro__ if base in RAW_READS)
    return own(owner, name)


@cache
def is_native(kind: type) -> bool:
    """Whether a class stands for a C++ class, rather than a Python subclass of one."""
    return type(kind) is OBJECT_TYPE and (
        str(vars(kind).get("__module__")).startswith(("PySide6", "Shiboken", "shiboken6"))
        or STAND_INS.get(kind.__name__) is kind
    )


@cache
def native_class(kind: type) -> type:
    """The C++ class of an object whose Python type is `kind`."""
    return next(base for base in kind.__mro__ if is_native(base))


@cache
def python_names(kind: type) -> frozenset:
    """Names that Python subclasses and mix-ins define; they win over everything of C++."""
    own = [base for base in kind.__mro__ if base is not object and not is_native(base)]
    hidden = {"staticMetaObject", "__doc__", "__module__", "__dict__", "__weakref__", "__qualname__"}
    return frozenset(name for base in own for name in vars(base) if name not in hidden)


@cache
def member(native: type, name: str) -> Member:
    """What `name` means on objects of a C++ class."""
    if name in EXTRA_SLOTS and (name not in QOBJECT_ONLY or issubclass(native, QtCore.QObject)):
        return Member("slot", EXTRA_SLOTS[name])
    stand_in = next((base for base in native.__mro__ if base.__name__ in STAND_INS), None)
    if stand_in is not None and not name.startswith("_") and name not in stand_in._names:
        return Member("nothing")
    raw = next((vars(base)[name] for base in native.__mro__ if name in vars(base)), None)
    if isinstance(raw, staticmethod) and not _chooses_itself(native):
        return Member("value", raw.__func__)
    for base in native.__mro__:
        if name in qt5.OLD_PROPERTIES.get(base.__name__, {}):
            return Member("value", qt5.OLD_PROPERTIES[base.__name__][name])
    if issubclass(native, QtCore.QObject):
        index = QtCore.QMetaObject.indexOfProperty(native.staticMetaObject, name)
        removed = any(name in qt5.NEW_PROPERTIES.get(base.__name__, ()) for base in native.__mro__)
        if index >= 0 and not removed:
            return Member("property", QtCore.QMetaObject.property(native.staticMetaObject, index))
        if name in signals.names(native) and type(raw) in (type(None), QtCore.Signal):
            return Member("signal")
    if raw is None or type(raw) is QtCore.Signal:  # a signal that Qt 5 does not have
        return Member("nothing")
    if stand_in is not None and isinstance(raw, types.FunctionType) and hasattr(stand_in.__base__, name):
        return Member("override")
    if isinstance(raw, (types.FunctionType, types.MethodDescriptorType, types.BuiltinFunctionType, staticmethod)):
        return Member("slot", raw)
    if isinstance(raw, (type, enum.Enum, int, str, float, tuple)):
        return Member("value", raw)
    return Member("raw")


def _chooses_itself(native: type) -> bool:
    return next(base for base in native.__mro__ if base in RAW_READS) not in (QtCore.QObject, shiboken6.Object)


def read(self: Any, name: str) -> Any:
    """`__getattribute__` of every Qt object."""
    if name.startswith("__"):
        return RAW_READ(self, name)
    kind = type(self)
    if name in python_names(kind):
        return RAW_READ(self, name)
    native = native_class(kind)
    what, data = member(native, name)
    own = RAW_READ(self, "__dict__") if what in ("nothing", "raw") else ()
    if name in own and type(own[name]) is not SIGNAL_INSTANCE:
        return own[name]
    if what == "slot":
        return Slot(data, self, name)
    if what == "value":
        return data
    if what == "override":  # C++ looks for a plain bound method
        return RAW_READ(self, name)
    valid = shiboken6.isValid(self)
    if what == "property":
        if not valid:
            raise ValueError(f"Trying to read property '{name}' from a destroyed {native.__name__} object")
        if (id(self), name) in _reading:
            # C++ looks for an override of a virtual such as sizeHint while we read the property of that name.
            return raw_read(native, self, name)
        _reading.add((id(self), name))
        try:
            return _property_result(QtCore.QMetaProperty.read(data, self))
        finally:
            _reading.discard((id(self), name))
    if what == "signal":
        return signals.Signal(self, native, name)
    if what == "raw":
        return raw_read(native, self, name)
    if valid and issubclass(native, QtCore.QObject):
        found = _loose(self, name)
        if found is not None:
            return found
    raise AttributeError(f"{native.__name__} has no attribute named '{name}'")


def _property_result(value: Any) -> Any:
    """Enums inside a property arrive as plain numbers, lists as tuples."""
    return int(value) if isinstance(value, enum.Enum) else conversion.to_python(value)


def _loose(self: QtCore.QObject, name: str) -> Any:
    """A dynamic property or a direct child of this name; None when there is neither."""
    if name == "name":
        return QtCore.QObject.objectName(self)
    if name.encode() in [QtCore.QByteArray.data(n) for n in QtCore.QObject.dynamicPropertyNames(self)]:
        return conversion.to_python(QtCore.QObject.property(self, name))
    return next((c for c in QtCore.QObject.children(self) if QtCore.QObject.objectName(c) == name), None)


def write(self: Any, name: str, value: Any) -> None:
    """`__setattr__` of every Qt object."""
    kind = type(self)
    native = native_class(kind)
    if name.startswith("_") or type(value) is SIGNAL_INSTANCE:  # PySide keeps its signals on the instance
        return RAW_WRITE(self, name, value)
    shown = kind.__name__
    what, data = member(native, name)
    if what == "raw":  # a public field of a C++ structure, such as QStyleOption.rect
        return RAW_WRITE(self, name, value)
    if what == "property":
        return _write_property(self, native, name, data, value)
    words = {"slot": "Slot", "signal": "Signal"}
    if what in words and kind is not native and name in python_names(kind):
        return RAW_WRITE(self, name, value)
    if what in words:
        raise AttributeError(f"{words[what]} '{name}' can not be overwritten on {shown} object")
    if what == "value":
        noun = "Slot" if isinstance(data, StaticSlot) else "Enum" if isinstance(data, type) else "EnumValue"
        raise AttributeError(f"{noun} '{name}' can not be overwritten on {shown} object")
    if issubclass(native, QtCore.QObject) and shiboken6.isValid(self):
        if name == "name":
            return QtCore.QObject.setObjectName(self, conversion.to_text(value))
        if name.encode() in [QtCore.QByteArray.data(n) for n in QtCore.QObject.dynamicPropertyNames(self)]:
            QtCore.QObject.setProperty(self, name, conversion.plain(value))
            return None
    if kind is not native:
        return RAW_WRITE(self, name, value)
    if loading:  # PySide's QUiLoader makes every child an attribute of the root; PythonQt does not
        return None
    raise AttributeError(
        f"'{name}' does not exist on {shown} and creating new attributes on C++ objects is not allowed"
    )


def _write_property(self: QtCore.QObject, native: type, name: str, data: QtCore.QMetaProperty, value: Any) -> None:
    if not shiboken6.isValid(self):
        raise AttributeError(f"Trying to set property '{name}' on a destroyed {native.__name__} object")
    if not QtCore.QMetaProperty.isWritable(data):
        raise AttributeError(f"Property '{name}' of {type(self).__name__} object is not writable")
    type_name = QtCore.QMetaProperty.typeName(data)
    try:
        given = conversion.property_value(type_name, value)
        if name == "toolTip" and issubclass(native, QtWidgets.QWidget):
            given = word_wrapped(given)
        if QtCore.QMetaProperty.write(data, self, given):
            return
    except (conversion.Refused, TypeError, OverflowError):
        pass
    raise AttributeError(
        f"Property '{name}' of type '{type_name}' does not accept an object of type {type(value).__name__} ({value!r})"
    )


def word_wrapped(text: str) -> str:
    """Slicer makes every plain tool tip a paragraph, so that long ones wrap."""
    return text if not text or QtGui.Qt.mightBeRichText(text) else f"<p>{text}</p>"


def instance_check(kind: type, value: Any) -> bool:
    """PythonQt's isinstance: C++ classes do not inherit from one another in Python."""
    actual = type(value)
    if type(kind) is OBJECT_TYPE and is_native(kind) and type(actual) is OBJECT_TYPE and kind is not shiboken6.Object:
        return native_class(actual) is kind
    return RAW_BOOL(kind, value)


def _find_children(self: QtCore.QObject, kind: Any, name: Any = "") -> list:
    wanted = kind if isinstance(kind, str) else kind.__name__
    found = RAW_FIND_CHILDREN(self, QtCore.QObject)
    return [
        child
        for child in found
        if QtCore.QObject.inherits(child, wanted) and (not name or QtCore.QObject.objectName(child) == name)
    ]


def _find_child(self: QtCore.QObject, kind: Any, name: Any = "") -> Any:
    return next(iter(_find_children(self, kind, name)), None)


def _connect(self: QtCore.QObject, signal: Any, receiver: Any, slot: Any = None) -> bool:
    native = native_class(type(self))
    if slot is None:
        return signals.connect(self, native, signal, receiver)
    return signals.connect_to_slot(self, native, signal, receiver, slot)


def _disconnect(self: QtCore.QObject, signal: Any, function: Any = None) -> bool:
    return signals.disconnect(self, signal, function)


def _inherits(self: Any, name: str) -> bool:
    return any(base.__name__ == name for base in type(self).__mro__ if base not in (object, shiboken6.Object))


EXTRA_SLOTS = {
    "findChild": _find_child,
    "findChildren": _find_children,
    "connect": _connect,
    "disconnect": _disconnect,
    "inherits": _inherits,
    "className": lambda self: native_class(type(self)).__name__,
    "delete": lambda self: shiboken6.delete(self),
    "help": lambda self: None,
}
QOBJECT_ONLY = {"findChild", "findChildren", "connect", "disconnect"}
