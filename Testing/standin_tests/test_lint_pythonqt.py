"""Each trap is found in a bad line and passed over in the good one beside it."""

import pytest

from standin.lint_pythonqt import RULES, check

CASES = {
    "instance_of_qt": ("isinstance(x, qt.QWidget)", "x.inherits('QWidget')"),
    "instance_of_qt in a tuple": ("isinstance(x, (str, ctk.ctkSliderWidget))", "isinstance(x, (str, int))"),
    "bytes_of_array": ("bytes(p.readAllStandardOutput())", "p.readAllStandardOutput().data()"),
    "indexed_signal": ("c.currentIndexChanged[int].connect(f)", "rows[0].connect('clicked()', f)"),
    "written_single_shot": ("timer.singleShot = True", "timer.setSingleShot(True)"),
    "called_property": ("self.ui.name.text()", "self.ui.name.text\nitem.text()\nself.ui.name.setText('a')"),
    "called_property of a made widget": ("b = qt.QSpinBox()\nb.value()", "b = qt.QSpinBox()\nb.value\nb.isEnabled()"),
    "keywords_given": ("qt.QPushButton(text='a')", "qt.QPushButton('a')\nf(text='a')"),
    "keywords_given to a slot": ("self.ui.a.setEnabled(enabled=False)", "self.ui.a.setEnabled(False)"),
    "underscored_exec": ("dialog.exec_()", "dialog.exec()"),
    "gone_class": ("qt.QTextCodec.codecForName('a')\n", "qt.QRegularExpression('a')"),
    "own_signals": ("done = qt.Signal()", "done = Signal()"),
    "short_enum": ("f(qt.Qt.AlignLeft)", "f(qt.Qt.AlignmentFlag.AlignLeft)\nqt.QTimer.singleShot(0, f)"),
    "short_enum of a class": (
        "p.state() == qt.QProcess.NotRunning",
        "p.state() == qt.QProcess.ProcessState.NotRunning",
    ),
    "signal_without_parentheses": ("b.connect('clicked', f)", "b.connect('clicked()', f)\nb.clicked.connect(f)"),
    "two_argument_finished": ("p.finished.connect(lambda c, s: 0)", "p.finished.connect(lambda *a: 0)"),
    "two_argument_finished by name": (
        "class A:\n  def done(self, code, status): pass\n  def go(self): self.p.finished.connect(self.done)",
        "class A:\n  def done(self, code, status=0): pass\n  def go(self): self.p.finished.connect(self.done)",
    ),
    "unpacked_dialog": ("a, b = qt.QFileDialog.getOpenFileName()", "a = qt.QFileDialog.getOpenFileName()"),
    "other_binding": ("import PySide6", "import qt"),
    "not_in_product": ("import threading", "import json"),
    "not_in_product torch": (
        "def f():\n  from torch import nn",
        "import importlib.util\nimportlib.util.find_spec('torch')",
    ),
    "removed_imp": ("import imp", "import importlib"),
    "edited_environment": ("os.environ['A'] = '1'", "env = dict(os.environ)\nenv['A'] = '1'"),
}


def findings(tmp_path, text, folder="EfficientSeg"):
    file = tmp_path / folder / "snippet.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return check([file])


@pytest.mark.parametrize("case", CASES)
def test_the_bad_line_is_found_and_the_good_one_passes(case, tmp_path):
    bad, good = CASES[case]
    found = findings(tmp_path, bad)
    assert len(found) == 1, found
    rule = next(rule for rule in RULES if rule.__name__ == case.split()[0])
    assert found[0].message in [rule(node, source) for source in [_source(tmp_path, bad)] for node in source.nodes]
    assert findings(tmp_path, good) == []


def _source(tmp_path, text):
    from standin.lint_pythonqt import Source

    findings(tmp_path, text)
    return Source(tmp_path / "EfficientSeg" / "snippet.py")


def test_every_rule_has_a_case():
    assert {case.split()[0] for case in CASES} == {rule.__name__ for rule in RULES}


def test_the_library_may_use_torch_and_threads(tmp_path):
    assert findings(tmp_path, "import torch\nimport threading", folder="EfficientSegLib") == []


def test_a_finding_names_its_line(tmp_path):
    assert findings(tmp_path, "x = 1\n\nd.exec_()")[0].line == 3


def test_folders_are_read_through(tmp_path):
    findings(tmp_path, "d.exec_()")
    assert [finding.path.name for finding in check([tmp_path])] == ["snippet.py"]
