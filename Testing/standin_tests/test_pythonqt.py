"""The adapter answers as PythonQt inside a real Slicer did; where it cannot, the reason is written here."""

import json
import re
from pathlib import Path

import pytest

FACTS = json.loads(Path(__file__).parents[1].joinpath("standin/facts/pythonqt.json").read_text(encoding="utf-8"))

# Each of these must go on disagreeing; one that begins to agree fails its test and leaves the list.
DISAGREEMENTS = {
    "QRegExp": "Qt 6 has no QRegExp, and the product must not use it (lint_pythonqt says so)",
    "QRegExpValidator": "as QRegExp",
}


def answer(code):
    """What an expression that sets R answers: ["=", repr] or ["!", exception, message], without addresses."""
    import qt

    space = {"qt": qt, "R": "<no R>"}
    try:
        exec(code, space)
        outcome = ["=", repr(space["R"])]
    except Exception as error:
        outcome = ["!", type(error).__name__, str(error)]
    return [re.sub(r" at:? 0x[0-9a-f]+", "", part) for part in outcome]


@pytest.fixture(autouse=True)
def adapter(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", FACTS)
def test_the_adapter_answers_as_pythonqt(name, tmp_path):
    code = FACTS[name]["code"].replace("/tmp/lab/harness", str(tmp_path))
    agrees = answer(code) == FACTS[name]["outcome"]
    assert agrees == (name not in DISAGREEMENTS), answer(code)


def value(code):
    outcome = answer(code)
    assert outcome[0] == "=", outcome
    return outcome[1]


def refusal(code):
    outcome = answer(code)
    assert outcome[0] == "!", outcome
    return outcome[1:]


def test_lists_come_back_as_tuples():
    assert value("w = qt.QWidget(); R = (w.children(), qt.QComboBox().findChildren(qt.QTimer))").startswith("((), ")
    assert value("R = qt.QDir('/').entryList(['etc'])") == "('etc',)"


def test_read_only_properties_say_so():
    words = ["AttributeError", "Property 'count' of QComboBox object is not writable"]
    assert refusal("qt.QComboBox().count = 3") == words


def test_a_property_refuses_what_it_cannot_hold():
    words = ["AttributeError", "Property 'maximum' of type 'int' does not accept an object of type str ('x')"]
    assert refusal("qt.QSpinBox().maximum = 'x'") == words


def test_numbers_are_rounded_down_and_anything_has_a_truth():
    assert value("s = qt.QSpinBox(); s.minimum = -9; s.setValue(-3.7); R = s.value") == "-4"
    assert (
        value("w = qt.QWidget(); w.setEnabled([]); a = w.enabled; w.enabled = 'x'; R = (a, w.enabled)")
        == "(False, True)"
    )


def test_slots_and_signals_are_not_overwritten():
    assert refusal("qt.QTimer().singleShot = True")[0] == "AttributeError"
    assert refusal("qt.QWidget().show = 1")[1] == "Slot 'show' can not be overwritten on QWidget object"
    assert refusal("qt.QPushButton().clicked = 1")[1] == "Signal 'clicked' can not be overwritten on QPushButton object"


def test_an_unknown_name_is_an_attribute_error():
    assert refusal("qt.QWidget().nosuch") == ["AttributeError", "QWidget has no attribute named 'nosuch'"]


def test_a_direct_child_is_found_by_its_name():
    assert value("w = qt.QWidget(); b = qt.QPushButton(w); b.objectName = 'go'; R = w.go is b") == "True"


def test_calling_a_destroyed_object_is_refused():
    words = ["ValueError", "Trying to call 'setEnabled' on a destroyed QWidget object"]
    assert refusal("w = qt.QWidget(); w.delete(); w.setEnabled(True)") == words


def test_wrong_argument_counts_are_refused():
    assert refusal("qt.QLineEdit().setText()")[0] == "ValueError"
    assert refusal("qt.QLineEdit().setText('a', 'b')")[0] == "ValueError"


def test_python_subclasses_keep_attributes_and_know_their_base_alone():
    make = "c = type('C', (qt.QWidget,), {})(); c.mine = 4; "
    assert value(make + "R = (c.mine, isinstance(c, qt.QWidget), isinstance(c, qt.QObject))") == "(4, True, False)"


@pytest.mark.parametrize(
    "slot, received",
    [
        ("lambda: seen.append(())", [()]),
        ("lambda a: seen.append(a)", [False]),
        ("lambda *a: seen.append(a)", [(False,)]),
        ("Taker().take", [("bound", False)]),
        ("functools.partial(lambda first, a: seen.append((first, a)), 1)", [(1, False)]),
    ],
)
def test_a_slot_gets_as_many_arguments_as_it_takes(slot, received):
    code = "\n".join(
        [
            "import functools",
            "seen = []",
            "Taker = type('Taker', (), {'take': lambda self, a: seen.append(('bound', a))})",
            "b = qt.QPushButton()",
            f"b.clicked.connect({slot})",
            "b.click()",
            "R = seen",
        ]
    )
    assert value(code) == repr(received)


def test_finished_hands_one_argument():
    code = "seen = []; p = qt.QProcess(); p.finished.connect(lambda *a: seen.append(a))"
    assert value(code + "; p.start('/bin/false', []); p.waitForFinished(); R = seen") == "[(1,)]"


def test_qt5_signal_names_still_connect():
    code = "seen = []; c = qt.QComboBox(); ok = c.connect('currentIndexChanged(QString)', seen.append)"
    assert value(code + "; c.addItem('a'); R = (ok, seen)") == "(True, ['a'])"


def test_an_error_in_a_slot_reaches_the_except_hook(monkeypatch):
    import sys

    kinds = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: kinds.append(kind))
    answer("b = qt.QPushButton(); b.clicked.connect(lambda: 1 / 0); b.click()")
    assert kinds == [ZeroDivisionError]


def test_virtual_size_hints_reach_python_subclasses():
    code = "C = type('C', (qt.QWidget,), {'sizeHint': lambda self: qt.QSize(77, 7)}); w = qt.QWidget()"
    assert value(code + "; l = qt.QVBoxLayout(w); l.addWidget(C()); R = w.sizeHint.width() >= 77") == "True"


PANEL = """<ui version="4.0"><class>Panel</class><widget class="qMRMLWidget" name="Panel">
<layout class="QVBoxLayout" name="rows"><item>
<widget class="{kind}" name="part">{more}</widget></item></layout></widget>
<customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>h</header></customwidget>
<customwidget><class>{kind}</class><extends>QWidget</extends><header>h</header></customwidget></customwidgets>
<connections><connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>part</receiver><slot>{slot}</slot></connection></connections></ui>"""


def panel(tmp_path, kind="qMRMLNodeComboBox", more="", slot="setMRMLScene(vtkMRMLScene*)"):
    from standin.pythonqt import load_ui

    path = tmp_path / "panel.ui"
    path.write_text(PANEL.format(kind=kind, more=more, slot=slot), encoding="utf-8")
    return load_ui(path)


def test_a_panel_hands_its_scene_to_its_children(tmp_path, app):
    from standin.pythonqt import child_widget_variables

    root = panel(tmp_path)
    part = child_widget_variables(root).part
    import slicer

    root.setMRMLScene(slicer.mrmlScene)
    assert part.mrmlScene() is slicer.mrmlScene
    assert slicer.util.childWidgetVariables(root).part is part


@pytest.mark.parametrize(
    "change, words",
    [
        ({"kind": "qMRMLNoSuchWidget"}, "Unknown custom widgets: qMRMLNoSuchWidget"),
        ({"slot": "noSuchSlot()"}, "no such pair"),
        ({"more": '<property name="nodeKinds"><string>x</string></property>'}, "no property 'nodeKinds'"),
    ],
)
def test_a_panel_that_slicer_would_not_understand_is_refused(tmp_path, change, words):
    with pytest.raises(RuntimeError, match=words):
        panel(tmp_path, **change)


def test_plain_tool_tips_of_a_panel_become_paragraphs(tmp_path):
    root = panel(tmp_path, more='<property name="toolTip"><string>Pick one</string></property>')
    assert root.findChild("qMRMLNodeComboBox", "part").toolTip == "<p>Pick one</p>"


def test_enum_properties_of_stand_ins_are_read_from_a_panel(tmp_path):
    more = '<property name="selectionMode"><enum>QAbstractItemView::NoSelection</enum></property>'
    root = panel(tmp_path, kind="qMRMLSegmentsTableView", more=more)
    assert root.findChild("qMRMLSegmentsTableView", "part").selectionMode == 0


def test_signals_that_came_with_qt6_are_not_there():
    assert value("R = hasattr(qt.QCheckBox(), 'checkStateChanged')") == "False"


def test_python_subclasses_may_take_keywords():
    lines = ["class C(qt.QWidget):", "  def __init__(self, parent=None, size=1):", "    super().__init__(parent)"]
    assert value("\n".join([*lines, "    self.size_ = size", "R = C(size=4).size_"])) == "4"


def test_values_describe_themselves_as_in_pythonqt():
    assert value("R = (str(qt.QSize(3, 4)), str(qt.QDate(2020, 1, 2)), str(qt.QPixmap(4, 5)))") == (
        "('3, 4', '2020-01-02', 'Pixmap 4, 5')"
    )
    assert value("R = qt.QRect(1, 2, 3, 4)") == "QRect (1, 2, 3, 4,)"
    assert value("R = qt.QSizePolicy()") == "QSizePolicy (C++ object)"
