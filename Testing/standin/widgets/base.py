"""Builds a stand-in widget: names, defaults and signals from `facts/widgets.json`, behaviour from a class body.

A body gives `_setup(self)`, `_get_X`/`_set_X` for properties with a life of their own, methods, and Qt event handlers.
Everything else of the facts is generated: stored properties, signals, setter slots, and methods that say that the
stand-in has no behaviour for them. Names outside the facts are refused by the adapter, except those beginning with _.
"""

import ast
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from ..pythonqt import members, signals

FACTS = json.loads(Path(__file__).parents[1].joinpath("facts", "widgets.json").read_text(encoding="utf-8"))
WIDGETS: dict[str, type] = {}

PROPERTY_TYPES = {"bool": bool, "int": int, "double": float, "QString": str, "QStringList": "QStringList"}
VALUE_TYPES = {"QIcon": QtGui.QIcon, "QColor": QtGui.QColor, "QSize": QtCore.QSize}
SIGNAL_TYPES = {"bool": bool, "int": int, "double": float, "QString": str}


def standin(base: type) -> Callable[[type], type]:
    """Decorator: the stand-in named like the decorated body, on a PySide class."""

    def build(body: type) -> type:
        name = body.__name__
        facts = FACTS[name]
        space = {k: v for k, v in vars(body).items() if k not in ("__dict__", "__weakref__")}
        meta = base.staticMetaObject
        for prop, (kind, default, _) in facts["properties"].items():
            if meta.indexOfProperty(prop) < 0 or f"_get_{prop}" in space:
                space[prop] = _property(prop, kind, default, space)
        known = {s.split("(")[0] for s in signals.signatures(base)}
        own = [s for s in facts.get("signal", []) if s.split("(")[0] not in known]
        own.sort(key=lambda s: FIRST.index(s) if s in FIRST else len(FIRST))
        space.update(_signals(own))
        space["_signal_signatures"] = tuple(own)
        space["_meta_signatures"] = {s: _meta_signature(s) for s in own}
        _methods(name, facts, base, space)
        space["__init__"] = _constructor(name, base)
        names = {s.split("(")[0] for key in ("signal", "slot", "method") for s in facts.get(key, [])}
        space["_names"] = names | set(facts["properties"]) | set(facts["other_names"]) | set(dir(QtWidgets.QWidget))
        kind = type(base)(name, (base,), space)
        WIDGETS[name] = members.STAND_INS[name] = kind
        return kind

    return build


# Where a class has two signals of one name, `widget.name` is the one declared first.
FIRST = ["currentNodeChanged(vtkMRMLNode*)", "valueChanged(double)"]


def _property(name: str, kind: str, default: str, space: dict) -> QtCore.Property:
    read = space.get(f"_get_{name}")
    write = space.get(f"_set_{name}")
    owner = space.get("_forward", {}).get(name)
    first = default_value(kind, default)

    def stored(self: Any) -> Any:
        return getattr(getattr(self, owner), name) if owner else self._values.get(name, first)

    def store(self: Any, value: Any) -> None:
        if owner:
            setattr(getattr(self, owner), name, value)
            return
        self._values[name] = value
        self.update()

    return QtCore.Property(PROPERTY_TYPES.get(kind) or VALUE_TYPES.get(kind, int), read or stored, write or store)


def default_value(kind: str, text: str) -> Any:
    """The value that the facts write as `text`."""
    if kind in VALUE_TYPES:
        if kind == "QColor":
            return QtGui.QColor(text.split("(")[1].split(",")[0])
        if kind == "QSize":
            width, height = text.split("(")[1].split(",")[:2]
            return QtCore.QSize(int(width), int(height))
        return QtGui.QIcon()
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return 0
    return list(value) if isinstance(value, tuple) else value


def _arguments(signature: str) -> list[str]:
    return [part for part in signature.split("(", 1)[1].rstrip(")").split(",") if part]


def _meta_signature(signature: str) -> str:
    kinds = [kind if kind in SIGNAL_TYPES else "PyObject" for kind in _arguments(signature)]
    return f"{signature.split('(')[0]}({','.join(kinds)})"


def _signals(signatures: list[str]) -> dict[str, QtCore.Signal]:
    forms: dict[str, list[list[type]]] = {}
    for signature in signatures:
        kinds = [SIGNAL_TYPES.get(kind, object) for kind in _arguments(signature)]
        forms.setdefault(signature.split("(")[0], []).append(kinds)
    return {
        name: QtCore.Signal(*(tuple(f) for f in kinds)) if len(kinds) > 1 else QtCore.Signal(*kinds[0])
        for name, kinds in forms.items()
    }


def _methods(name: str, facts: dict, base: type, space: dict) -> None:
    wanted = {s.split("(")[0] for key in ("slot", "method") for s in facts.get(key, [])}
    if "mrmlScene" in wanted:
        space.setdefault("mrmlScene", _scene)
        space.setdefault("setMRMLScene", _set_scene)
    for method in sorted(wanted - set(space) - set(dir(base))):
        target = method[3:4].lower() + method[4:]
        setter = method.startswith("set") and target in facts["properties"]
        space[method] = _setter(target) if setter else _unsupported(name, method)


def _setter(target: str) -> Callable:
    return lambda self, value: setattr(self, target, value)


def _unsupported(class_name: str, method: str) -> Callable:
    def refuse(self: Any, *args: Any) -> None:
        raise NotImplementedError(f"{class_name}.{method} exists in Slicer; the stand-in gives it no behaviour.")

    return refuse


def _scene(self: Any) -> Any:
    return self._values.get("mrmlScene")


def _set_scene(self: Any, scene: Any) -> None:
    if scene is self._values.get("mrmlScene"):
        return
    self._values["mrmlScene"] = scene
    if hasattr(self, "_scene_changed"):
        self._scene_changed(scene)
    if "mrmlSceneChanged(vtkMRMLScene*)" in self._signal_signatures:  # the node combo box has none
        emit(self, "mrmlSceneChanged(vtkMRMLScene*)", scene)


def _constructor(name: str, base: type) -> Callable:
    def construct(self: Any, *args: Any, **keywords: Any) -> None:
        if keywords:
            made = f"{name}(QWidget parent) -> {name}"
            raise ValueError(f"Called {made} with keyword arguments, but called slot does not support kwargs.")
        title = args[0] if args and isinstance(args[0], str) else None
        base.__init__(self, *(args if title is None else args[1:]))
        self._values = {}
        self._setup()
        if title is not None:
            self.text = title

    construct.pythonqt = True
    return construct


def emit(widget: Any, signature: str, *args: Any) -> None:
    """Emit one overload of a stand-in's signal."""
    signals.emit(widget, members.native_class(type(widget)), signature, *args)


class Watch:
    """Observers on VTK objects, which neither keep alive nor outlive the widget they serve."""

    def __init__(self, widget: Any, react: str) -> None:
        self._widget, self._react = weakref.ref(widget), react
        self._tags: list[tuple[Any, int]] = []

    def observe(self, thing: Any, *events: Any) -> None:
        """Call back at any of these events of a VTK object; None is passed over."""
        if thing is not None:
            self._tags += [(thing, thing.AddObserver(event, self._called)) for event in events]

    def clear(self) -> None:
        for thing, tag in self._tags:
            thing.RemoveObserver(tag)
        self._tags = []

    def _called(self, caller: Any, event: str) -> None:
        widget = self._widget()
        if not widget:  # once the C++ side is gone
            self.clear()
            return
        try:
            getattr(widget, self._react)()
        except ValueError:
            # A wrapper that is collected on the way (the garbage collector runs where it likes) takes its widget along:
            # what reacted is gone, as it might have been a moment earlier.
            if self._widget():
                raise
            self.clear()


def fill(outer: QtWidgets.QWidget, inner: QtWidgets.QWidget) -> None:
    """Make one widget the whole content of another."""
    layout = QtWidgets.QVBoxLayout(outer)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(inner)
