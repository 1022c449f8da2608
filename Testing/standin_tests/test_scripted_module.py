"""A scripted module is loaded, entered, left, reloaded and unloaded as by Slicer's factory."""

import pytest

SOURCE = """
import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

calls = []


class Tiny(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Tiny module")
        parent.categories = ["Segmentation"]
        parent.helpText = self.getDefaultModuleDocumentationLink()
        slicer.app.connect("startupCompleted()", lambda: calls.append("started"))


class TinyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = TinyLogic()
        self.button = qt.QPushButton("Segment")
        self.button.clicked.connect(self.onClick)
        self.layout.addWidget(self.button)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onClose)

    def onClick(self):
        raise RuntimeError("clicked too early")

    def onClose(self, caller, event):
        calls.append("closed")

    def enter(self):
        calls.append("enter")

    def exit(self):
        calls.append("exit")

    def cleanup(self):
        self.removeObservers()
        calls.append("cleanup")


class TinyLogic(ScriptedLoadableModuleLogic):
    pass


class TinyTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("tested")
        calls.append("tested")
"""


@pytest.fixture
def tiny(app, tmp_path):
    """The tiny module, loaded from a folder with blanks and letters beyond ASCII in its name."""
    folder = tmp_path / "Modül mit Leerzeichen"
    folder.mkdir()
    path = folder / "Tiny.py"
    path.write_text(SOURCE, encoding="utf-8")
    widget = app.load_module(path)
    yield widget
    app.unload_module("Tiny")


def calls():
    import sys

    return sys.modules["Tiny"].calls


def test_the_module_is_described_and_published(tiny):
    import slicer

    assert slicer.modules.tiny.title == "Tiny module"
    assert slicer.modules.tiny.categories == ["Segmentation"]
    assert "Modül mit Leerzeichen" in slicer.util.modulePath("Tiny")
    assert slicer.modules.TinyWidget is tiny
    assert slicer.util.getModuleWidget("Tiny") is tiny
    assert slicer.util.getModuleLogic("Tiny") is tiny.logic
    assert "Tiny" in slicer.util.moduleNames()


def test_the_panel_is_set_up_then_start_up_is_announced_then_it_is_entered(tiny):
    import slicer

    assert calls() == ["started", "enter"]
    assert tiny.layout.count() == 1
    slicer.util.selectModule("Volumes")
    slicer.util.selectModule("Tiny")
    assert calls()[2:] == ["exit", "enter"]


def test_closing_the_scene_is_heard_until_cleanup(app, tmp_path):
    import slicer

    (tmp_path / "Tiny.py").write_text(SOURCE, encoding="utf-8")
    app.load_module(tmp_path / "Tiny.py")
    slicer.mrmlScene.Clear(0)
    assert calls()[-1] == "closed"
    app.unload_module("Tiny")
    assert calls()[-2:] == ["exit", "cleanup"]
    slicer.mrmlScene.Clear(0)
    assert calls()[-1] == "cleanup"
    assert not hasattr(slicer.modules, "tiny")
    assert not hasattr(slicer.modules, "TinyWidget")


def test_a_reload_takes_the_new_source(tiny):
    from pathlib import Path

    import slicer

    path = Path(slicer.util.modulePath("Tiny"))
    path.write_text(SOURCE.replace('qt.QPushButton("Segment")', 'qt.QPushButton("Segment again")'), encoding="utf-8")
    tiny.onReload()
    assert slicer.modules.TinyWidget is not tiny
    assert slicer.modules.TinyWidget.button.text == "Segment again"


def test_an_exception_in_a_slot_is_printed_and_collected(app, tiny):
    tiny.button.click()
    assert any("clicked too early" in each for each in app.slot_errors)
    with pytest.raises(AssertionError, match="clicked too early"), app.no_slot_errors():
        tiny.button.click()


def test_the_parameter_node_is_one_and_survives_in_the_scene(tiny):
    import slicer

    node = tiny.logic.getParameterNode()
    assert node is tiny.logic.getParameterNode()
    assert (node.GetSingletonTag(), node.GetAttribute("ModuleName")) == ("Tiny", "Tiny")
    slicer.mrmlScene.Clear(0)
    again = tiny.logic.getParameterNode()  # which puts back the attributes that closing the scene took
    assert tiny.logic.getAllParameterNodes() == [again] == [node]


def test_several_parameter_nodes_may_be_asked_for(tiny):
    import slicer

    tiny.logic.isSingletonParameterNode = False
    first = tiny.logic.getParameterNode()
    second = slicer.mrmlScene.AddNode(tiny.logic.createParameterNode())
    assert first is not second
    assert {node.GetID() for node in tiny.logic.getAllParameterNodes()} == {first.GetID(), second.GetID()}


def test_a_panel_in_the_dock_is_pictured_at_the_width_asked_for(app, tiny, tmp_path):
    import SimpleITK as sitk

    app.screenshot_panel(tiny.parent, tmp_path / "panel.png", width=350)
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "panel.png")))[..., :3]
    assert picture.shape[1] == 350
    assert 20 < picture.shape[0] < 200
    assert picture.std() > 5  # the button is drawn


def test_the_self_test_runs(app, tiny):
    import slicer

    slicer.selfTests["Tiny"]()
    assert calls()[-1] == "tested"
    assert app.dialogs[-1].text == "tested"


def test_a_description_that_slicer_does_not_know_is_refused(tiny):
    import slicer

    with pytest.raises(AttributeError):
        slicer.modules.tiny.licence = "Apache-2.0"


def test_a_file_without_the_class_of_its_name_is_refused(app, tmp_path):
    (tmp_path / "Nameless.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(AttributeError, match="Nameless"):
        app.load_module(tmp_path / "Nameless.py")


def test_a_failing_unit_test_is_an_exception(app, tmp_path):
    import slicer.testing

    source = "import unittest\nclass Case(unittest.TestCase):\n    def test_it(self): self.assertEqual(1, {})\n"
    (tmp_path / "sums_right.py").write_text(source.format(1), encoding="utf-8")
    (tmp_path / "sums_wrong.py").write_text(source.format(2), encoding="utf-8")
    slicer.testing.runUnitTest([str(tmp_path)], "sums_right")
    with pytest.raises(Exception, match="sums_wrong: 1 failures"):
        slicer.testing.runUnitTest([str(tmp_path)], "sums_wrong")
