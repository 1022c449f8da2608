"""Binds one parameter to one widget, both ways, for the widget classes that Slicer's parameterNodeWrapper knows.

Slicer compares classes exactly: a ctkComboBox is not a QComboBox to it, and is refused.
"""

import enum
import pathlib
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
from PySide6 import QtWidgets

from .validators import Choice, Maximum, Minimum, WithinRange

INT_LIMITS = (-(2**31), 2**31 - 1)
FLOAT_LIMITS = (float("-inf"), float("inf"))


@dataclass
class Decimals:
    """Annotation: digits behind the point in spin boxes and sliders."""

    value: int


@dataclass
class SingleStep:
    """Annotation: the step of spin boxes and sliders."""

    value: float


@dataclass
class Binding:
    """One parameter's tie to a widget: how to read and write it, and the signal that tells of changes."""

    name: str
    widget: Any
    signal: str
    get: Callable[[], Any]
    put: Callable[[Any], None]
    _listener: Callable | None = None

    def read(self) -> Any:
        return self.get()

    def write(self, value: Any) -> None:
        self.put(value)

    def listen(self, callback: Callable[[], None] | None) -> None:
        """Call back when the user changes the widget; None ends it."""
        signal = getattr(self.widget, self.signal)
        if self._listener is not None:
            signal.disconnect(self._listener)
        self._listener = None if callback is None else lambda *_: callback()
        if self._listener is not None:
            signal.connect(self._listener)


def bound_widgets(gui: Any, property_name: str) -> dict[str, Any]:
    """Parameter name to widget, from a root widget or from the object that childWidgetVariables gives."""
    if getattr(gui, "isWidgetType", lambda: False)():
        widgets = gui.findChildren(QtWidgets.QWidget)
    else:
        widgets = vars(gui).values()
    named = {widget.property(property_name): widget for widget in widgets}
    return {name: widget for name, widget in named.items() if name}


def bind(name: str, widget: Any, kind: Any, annotations: tuple) -> Binding:
    """The binding for a widget and a type; raises RuntimeError when Slicer has none."""
    shown = type(widget).__name__ if type(widget).__module__.startswith(("PySide6", "standin.widgets")) else ""
    is_class = isinstance(kind, type)

    if kind is bool and shown in ("QCheckBox", "QPushButton"):
        widget.checkable = True
        return Binding(name, widget, "toggled", lambda: widget.checked, lambda v: setattr(widget, "checked", v))
    if kind is int and shown in ("QSpinBox", "QSlider"):
        _limit(widget, annotations, INT_LIMITS, shown == "QSlider")
        return _value(name, widget)
    if kind is float and shown in ("QDoubleSpinBox", "ctkSliderWidget"):
        _limit(widget, annotations, FLOAT_LIMITS, shown == "ctkSliderWidget")
        return _value(name, widget)
    choice = next((a for a in annotations if isinstance(a, Choice)), None)
    if kind in (int, float, str, bool) and shown == "QComboBox" and choice is not None:
        return _items(name, widget, [(str(c), c) for c in choice.choices])
    if is_class and issubclass(kind, enum.Enum) and shown == "QComboBox":
        label = getattr(kind, "label", lambda member: member.name)
        return _items(name, widget, [(label(member), member) for member in kind])
    if kind is str and shown == "QLineEdit":
        return Binding(name, widget, "textChanged", lambda: widget.text, lambda v: _set(widget, "text", v))
    if kind is str and shown == "QTextEdit":
        return Binding(name, widget, "textChanged", widget.toPlainText, lambda v: _set(widget, "plainText", v))
    if is_class and issubclass(kind, pathlib.PurePath) and shown == "ctkPathLineEdit":
        return Binding(
            name,
            widget,
            "currentPathChanged",
            lambda: kind(widget.currentPath),
            lambda v: _set(widget, "currentPath", str(v)),
        )
    nodes = node_types(kind)
    if nodes and shown == "qMRMLNodeComboBox":
        widget.nodeTypes = nodes
        return Binding(name, widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Slicer binds no {type(widget).__name__} to a parameter of type {kind}.")


def _value(name: str, widget: Any) -> Binding:
    return Binding(name, widget, "valueChanged", lambda: widget.value, lambda v: _set(widget, "value", v))


def _set(widget: Any, name: str, value: Any) -> None:
    """Write only what differs: a text cursor stays where the user has it."""
    if getattr(widget, name) != value:
        setattr(widget, name, value)


def _items(name: str, widget: Any, items: list[tuple[str, Any]]) -> Binding:
    widget.clear()
    widget.addItems([label for label, _ in items])
    values = [value for _, value in items]
    return Binding(
        name,
        widget,
        "currentIndexChanged",
        lambda: values[widget.currentIndex],
        lambda value: setattr(widget, "currentIndex", values.index(value)),
    )


def _limit(widget: Any, annotations: tuple, limits: tuple, needs_bounds: bool) -> None:
    """Give the widget the range, step and decimals of the annotations."""
    found = {type(a): a for a in reversed(annotations)}
    if Decimals in found:
        widget.decimals = found[Decimals].value
    if SingleStep in found:
        widget.singleStep = found[SingleStep].value
    low = found[Minimum].minimum if Minimum in found else None
    high = found[Maximum].maximum if Maximum in found else None
    if WithinRange in found:
        low, high = found[WithinRange].minimum, found[WithinRange].maximum
    if needs_bounds and (low is None or high is None):
        raise RuntimeError(f"A slider needs a parameter with bounds; '{widget.objectName}' has none. Add WithinRange.")
    widget.minimum = limits[0] if low is None else low
    widget.maximum = limits[1] if high is None else high


def node_types(kind: Any) -> list[str]:
    """The node class names of a type or a union of node types; empty when it is anything else."""
    kinds = [k for k in (typing.get_args(kind) or (kind,)) if k is not type(None)]
    if all(isinstance(k, type) and issubclass(k, slicer.vtkMRMLNode) for k in kinds):
        return [k.__name__ for k in kinds]
    return []
