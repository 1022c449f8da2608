"""Signals as PythonQt shows them: one overload per name, as many arguments as the callable takes, errors printed."""

import inspect
import sys
import types
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import shiboken6
from PySide6 import QtCore

from . import qt5
from .conversion import to_python

RAW_CONNECT = QtCore.QObject.connect
RAW_DISCONNECT = QtCore.QObject.disconnect
RAW_GETATTRIBUTE = QtCore.QObject.__getattribute__
RAW_SETATTR = shiboken6.Object.__setattr__


def arguments_taken(function: Callable) -> int | None:
    """How many arguments PythonQt hands to a callable; None stands for all of them.

    Only plain functions and bound methods are asked; for builtins, partials and callable objects it is all.
    """
    bound = inspect.ismethod(function)
    plain = function.__func__ if bound else function
    if not isinstance(plain, types.FunctionType) or plain.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return plain.__code__.co_argcount - bound


@cache
def signatures(native: type) -> tuple[str, ...]:
    """Every signal of a class as Qt 5 spells it, in the order of declaration."""
    meta, method = native.staticMetaObject, QtCore.QMetaMethod
    methods = [QtCore.QMetaObject.method(meta, i) for i in range(QtCore.QMetaObject.methodCount(meta))]
    found = [bytes_text(method.methodSignature(m)) for m in methods if method.methodType(m) == method.Signal]
    stand_in = getattr(native, "_signal_signatures", None)
    if stand_in is not None:
        found = [s for s in found if s.split("(")[0] not in {t.split("(")[0] for t in stand_in}] + list(stand_in)
    for base in native.__mro__:
        found += qt5.OLD_SIGNALS.get(base.__name__, {})
        found = [s for s in found if s not in qt5.NEW_SIGNALS.get(base.__name__, ())]
    return tuple(found)


@cache
def names(native: type) -> frozenset:
    """The names of all signals of a class."""
    return frozenset(signature.split("(")[0] for signature in signatures(native))


def bytes_text(value: QtCore.QByteArray) -> str:
    """The text of a QByteArray, read around the adapter."""
    return QtCore.QByteArray.data(value).decode()


def meta_signature(native: type, signature: str) -> str:
    """The signature under which the Qt 6 meta-object knows a Qt 5 signal."""
    for base in native.__mro__:
        signature = qt5.OLD_SIGNALS.get(base.__name__, {}).get(signature, signature)
    declared = getattr(native, "_meta_signatures", {})
    return declared.get(signature, signature)


def normalised(signature: Any) -> str:
    """A signature as Qt compares it: no spaces, no const reference."""
    return bytes_text(QtCore.QMetaObject.normalizedSignature(str(signature)))


def first_overload(native: type, name: str) -> str:
    """The overload that `object.name` stands for."""
    for base in native.__mro__:
        if (base.__name__, name) in qt5.FIRST_OVERLOAD:
            return qt5.FIRST_OVERLOAD[(base.__name__, name)]
    return next(s for s in signatures(native) if s.split("(")[0] == name)


def connect(sender: QtCore.QObject, native: type, signature: Any, function: Callable) -> bool:
    """Connect one overload to a callable; False, with a printed line, when there is no such signal."""
    wanted = normalised(signature)
    if wanted not in signatures(native):
        print(f"QObject::connect: No such signal {native.__name__}::{signature}", file=sys.stderr)
        return False
    if not callable(function):
        return False
    taken = arguments_taken(function)
    held = _held(function)

    def deliver(*args: Any) -> None:
        try:
            held()(*[to_python(arg) for arg in args[:taken]])
        except Exception:
            sys.excepthook(*sys.exc_info())

    connection = RAW_CONNECT(sender, "2" + meta_signature(native, wanted), deliver)
    _connections(sender).append((wanted, held, connection))
    return bool(connection)


def _held(function: Callable) -> Callable[[], Callable]:
    """A callable, kept alive; but a stand-in's own method only as long as the stand-in lives, as in C++."""
    owner = getattr(function, "__self__", None)
    if not hasattr(type(owner), "_signal_signatures"):
        return lambda: function
    kept, name = weakref.ref(owner), function.__name__
    return lambda: getattr(kept(), name, _nothing)


def _nothing(*_: Any) -> None:
    """What is left of a slot whose owner is gone."""


def connect_to_slot(sender: QtCore.QObject, native: type, signature: Any, receiver: QtCore.QObject, slot: Any) -> bool:
    """The three-argument form, `sender.connect('clicked()', receiver, 'close()')`."""
    name = normalised(slot)
    bound = getattr(receiver, name.split("(")[0], None)
    if bound is None:
        print(f"QObject::connect: No such slot {type(receiver).__name__}::{slot}", file=sys.stderr)
        return False
    count = len([part for part in name.split("(", 1)[1].rstrip(")").split(",") if part])
    return connect(sender, native, signature, lambda *args: bound(*args[:count]))


def disconnect(sender: QtCore.QObject, signature: Any, function: Callable | None = None) -> bool:
    """Undo connections of one overload; False when there was none."""
    wanted = normalised(signature)
    known = _connections(sender)
    gone = [entry for entry in known if entry[0] == wanted and (function is None or function == entry[1]())]
    for entry in gone:
        RAW_DISCONNECT(entry[2])
        known.remove(entry)
    return bool(gone)


def _connections(sender: QtCore.QObject) -> list:
    try:
        return RAW_GETATTRIBUTE(sender, "_pythonqt_connections")
    except AttributeError:
        RAW_SETATTR(sender, "_pythonqt_connections", [])
        return RAW_GETATTRIBUTE(sender, "_pythonqt_connections")


class Signal:
    """`object.name` for a signal: connect, disconnect, emit, or simply call. Not subscriptable."""

    __slots__ = ("_name", "_native", "_sender")

    def __init__(self, sender: QtCore.QObject, native: type, name: str) -> None:
        self._sender, self._native, self._name = sender, native, name

    def connect(self, function: Callable) -> bool:
        return connect(self._sender, self._native, first_overload(self._native, self._name), function)

    def disconnect(self, function: Callable | None = None) -> bool:
        return disconnect(self._sender, first_overload(self._native, self._name), function)

    def emit(self, *args: Any) -> None:
        """Send the overload with this number of arguments, the first declared when several have it."""
        forms = [s for s in signatures(self._native) if s.split("(")[0] == self._name]
        fitting = [s for s in forms if argument_count(s) == len(args)] or forms
        emit(self._sender, self._native, fitting[0], *args)

    __call__ = emit

    def __repr__(self) -> str:
        return f"<qt signal {self._name} of {self._native.__name__} instance at {hex(id(self._sender))}>"


Signal.__name__ = "QtCore.Signal"  # the words of "object is not subscriptable"


def argument_count(signature: str) -> int:
    """How many arguments a signature names."""
    return len([part for part in signature.split("(", 1)[1].rstrip(")").split(",") if part])


def emit(sender: QtCore.QObject, native: type, signature: str, *args: Any) -> None:
    """Emit one overload of a signal."""
    name, inside = meta_signature(native, signature).rstrip(")").split("(", 1)
    signal = RAW_GETATTRIBUTE(sender, name)
    (signal[inside] if inside else signal).emit(*args)
