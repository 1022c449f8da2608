"""Loads a .ui file as Slicer does: known widgets only, connections made by signature."""

import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import members


class UiLoader(QtUiTools.QUiLoader):
    """A QUiLoader that makes the stand-in widgets and refuses custom widgets it does not know."""

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        if class_name in members.STAND_INS:
            widget = members.STAND_INS[class_name](parent)
            QtCore.QObject.setObjectName(widget, name)
            return widget
        return QtUiTools.QUiLoader.createWidget(self, class_name, parent, name)

    def load(self, device: Any, parent: Any = None) -> Any:
        """The root widget of a .ui file given as an open QFile or a path."""
        is_device = issubclass(type(device), QtCore.QIODevice)
        return load_text(self, device.readAll().data() if is_device else Path(str(device)).read_bytes(), parent)


def load_ui(path: str | Path) -> Any:
    """The root widget of a .ui file; raises RuntimeError for what Slicer lacks."""
    path = Path(path)
    if not path.is_file():
        raise RuntimeError(f"Could not load UI file: file not found {path}\n\n")
    return load_text(UiLoader(), path.read_bytes(), None)


def load_text(loader: UiLoader, text: bytes, parent: Any) -> Any:
    """Check the XML, let Qt build it without its connections, then connect by signature."""
    root = ElementTree.fromstring(text)
    _refuse_unknown(root)
    _number_enums(root)
    connections = root.find("connections")
    wanted = (
        []
        if connections is None
        else [tuple(c.findtext(part) for part in ("sender", "signal", "receiver", "slot")) for c in connections]
    )
    if connections is not None:
        root.remove(connections)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "panel.ui")
        copy.write_bytes(ElementTree.tostring(root))
        members.loading.append(True)
        try:
            widget = QtUiTools.QUiLoader.load(loader, str(copy), parent)
        finally:
            members.loading.pop()
    if widget is None:
        raise RuntimeError("Could not load UI file: Qt built nothing from it.")
    named = {QtCore.QObject.objectName(w): w for w in [widget, *members.RAW_FIND_CHILDREN(widget, QtCore.QObject)]}
    for child in named.values():
        if issubclass(type(child), QtWidgets.QWidget):
            QtWidgets.QWidget.setToolTip(child, members.word_wrapped(QtWidgets.QWidget.toolTip(child)))
    for sender, signal, receiver, slot in wanted:
        if sender not in named or receiver not in named:
            raise RuntimeError(f"The .ui file connects {sender} with {receiver}; one of them does not exist.")
        if not named[sender].connect(signal, named[receiver], slot):
            raise RuntimeError(
                f"The .ui file connects {sender}.{signal} with {receiver}.{slot}; there is no such pair."
            )
    return widget


def _number_enums(root: ElementTree.Element) -> None:
    """Stand-ins keep their enum properties as numbers: write Qt's names in the file as numbers."""
    for widget in root.iter("widget"):
        if widget.get("class") not in members.STAND_INS:
            continue
        for kind in ("enum", "set"):
            for item in widget.findall(f"property/{kind}"):
                value = _enum_value(item.text or "")
                if value is not None:
                    item.tag, item.text = "number", str(value)


def _enum_value(text: str) -> int | None:
    """`QAbstractItemView::NoSelection`, or several joined by |, as a number; None for names that Qt does not have."""
    total = 0
    for name in text.split("|"):
        first, *rest = name.split("::")
        found = getattr(QtWidgets, first, None) or getattr(QtCore, first, None)
        for part in rest:
            found = getattr(found, part, None)
        if found is None or not rest:
            return None
        total |= int(found)
    return total


def _refuse_unknown(root: ElementTree.Element) -> None:
    """Unknown custom widgets, and properties that a stand-in's real class does not have."""
    custom = {c.findtext("class") for c in root.iter("customwidget")}
    unknown = sorted(name for name in custom if name not in members.STAND_INS)
    if unknown:
        raise RuntimeError(
            f"Unknown custom widgets: {', '.join(unknown)}. Known: {', '.join(sorted(members.STAND_INS))}."
        )
    for widget in root.iter("widget"):
        kind = members.STAND_INS.get(widget.get("class"))
        if kind is None:
            continue
        for item in widget.findall("property"):
            name = item.get("name")
            if item.get("stdset") != "0" and members.member(kind, name).kind != "property":
                raise RuntimeError(f"{widget.get('class')} has no property '{name}' (widget '{widget.get('name')}').")


def child_widget_variables(widget: Any) -> Any:
    """An object with each named descendant as an attribute: `slicer.util.childWidgetVariables`."""
    variables = type("", (), {})()
    for child in members.RAW_FIND_CHILDREN(widget, QtWidgets.QWidget):
        name = QtCore.QObject.objectName(child)
        if name:
            setattr(variables, name, child)
    return variables
