"""The parameter node stand-in stores, refuses and binds as Slicer's parameterNodeWrapper did."""

import enum
import json
import pathlib
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Optional

import pytest

FACTS = json.loads(Path(__file__).parents[1].joinpath("standin/facts/parameter_node.json").read_text(encoding="utf-8"))


class Dev(enum.Enum):
    auto = "auto"
    cpu = "cpu"


@pytest.fixture
def lab(app):
    """The class of the facts, its pack, and a fresh parameter node."""
    import slicer
    from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper, parameterPack

    @parameterPack
    class Pack:
        a: int = 3
        b: str = "x"

    @parameterNodeWrapper
    class Parameters:
        volume: slicer.vtkMRMLScalarVolumeNode
        seg: Optional[slicer.vtkMRMLSegmentationNode]  # noqa: UP045 - as the facts were made
        k: Annotated[int, WithinRange(0, 500)] = 30
        frac: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
        name: str = "hello"
        choice: Annotated[str, Choice(["nmsw", "sliding_window"])] = "nmsw"
        dev: Dev = Dev.auto
        flag: bool = False
        labels: list[int]
        words: list[str]
        d: dict[str, float]
        path: pathlib.Path = pathlib.Path("/a b")
        pack: Pack
        xyz: tuple[float, float, float] = (1.0, 2.0, 3.0)

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    return SimpleNamespace(Parameters=Parameters, Pack=Pack, node=node, p=Parameters(node), scene=slicer.mrmlScene)


def stored(node):
    return str({name: node.GetParameter(name) for name in sorted(node.GetParameterNames())})


def references(node):
    roles = [node.GetNthNodeReferenceRole(i) for i in range(node.GetNumberOfNodeReferenceRoles())]
    return str([(role, node.GetNodeReferenceID(role)) for role in sorted(roles)])


def set_all(p, scene):
    p.volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    p.k, p.frac, p.name, p.choice, p.dev, p.flag = 7, 0.25, "z", "sliding_window", Dev.cpu, True
    p.labels = [1, 2]
    p.words.append("a")
    p.words.append("b")
    p.d["q"] = 1.5
    p.path = pathlib.Path("/q")
    p.pack.a = 9
    p.xyz = (4.0, 5.0, 6.0)


def test_a_new_node_holds_every_default_as_in_slicer(lab):
    assert stored(lab.node) == FACTS["initial parameters"]
    assert references(lab.node) == FACTS["initial refs"]
    p = lab.p
    first = (p.volume, p.seg, p.k, p.frac, p.name, p.choice, p.dev, p.flag, p.labels, p.words, p.d, p.path)
    assert str((*first, p.pack.a, p.xyz)) == FACTS["read defaults"]


def test_values_are_stored_as_in_slicer(lab):
    set_all(lab.p, lab.scene)
    assert stored(lab.node) == FACTS["after set"]
    assert references(lab.node) == FACTS["refs after set"]


def test_what_was_stored_is_read_back_by_another_wrapper(lab):
    set_all(lab.p, lab.scene)
    other = lab.Parameters(lab.node)
    assert (other.k, other.labels, other.words, dict(other.d)) == (7, [1, 2], ["a", "b"], {"q": 1.5})
    assert (other.pack.a, other.xyz, other.dev, other.volume) == (9, (4.0, 5.0, 6.0), Dev.cpu, lab.p.volume)


def test_a_prefix_keeps_two_wrappers_apart(lab):
    set_all(lab.p, lab.scene)
    lab.p.k, lab.p.frac = 11, 1
    assert lab.Parameters(lab.node, prefix="second").k == 30
    assert stored(lab.node) == FACTS["after prefix"]


@pytest.mark.parametrize(
    "fact, name, value",
    [
        ("out of range", "k", 501),
        ("wrong type", "k", "a"),
        ("float to int", "k", 3.5),
        ("bad choice", "choice", "x"),
        ("none to str", "name", None),
    ],
)
def test_values_are_refused_in_slicers_words(lab, fact, name, value):
    kind, words = FACTS[fact].lstrip("!").split(": ", 1)
    with pytest.raises((ValueError, TypeError)) as caught:
        setattr(lab.p, name, value)
    assert (type(caught.value).__name__, str(caught.value)) == (kind, words)


def test_numpy_integers_are_refused(lab):
    import numpy as np

    with pytest.raises(TypeError) as caught:
        lab.p.k = np.int64(4)
    assert str(caught.value) == FACTS["numpy int"].removeprefix("!TypeError: ")


def test_a_node_of_another_class_is_refused(lab):
    with pytest.raises(TypeError, match="is type '.*vtkMRMLModelNode'>' value 'vtkMRMLModelNode"):
        lab.p.volume = lab.scene.AddNewNodeByClass("vtkMRMLModelNode")


def test_a_default_outside_its_range_is_refused(lab):
    from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

    @parameterNodeWrapper
    class Wrong:
        k: Annotated[int, WithinRange(0, 5)] = 9

    with pytest.raises(ValueError, match=r"Value must be within range \[0, 5\], is 9"):
        Wrong(lab.node, prefix="wrong")


def test_an_int_becomes_a_float_and_an_unknown_attribute_is_accepted(lab):
    lab.p.frac = 1
    assert repr(lab.p.frac) == "1.0"
    lab.p.nosuch = 3  # silently, as in Slicer


def test_a_removed_node_reads_as_none(lab):
    set_all(lab.p, lab.scene)
    lab.scene.RemoveNode(lab.p.volume)
    assert lab.p.volume is None


def test_an_optional_holds_a_node_and_then_none_again(lab):
    seg = lab.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    lab.p.seg = seg
    assert lab.p.seg is seg and "seg.1" not in lab.node.GetParameterNames()
    lab.p.seg = None
    assert lab.p.seg is None and lab.node.GetNodeReferenceID("seg.0") is None


def test_a_shortened_list_leaves_nothing_behind(lab):
    lab.p.labels = [1, 2, 3]
    lab.p.labels = [4]
    assert "labels.1" not in lab.node.GetParameterNames() and lab.p.labels == [4]


def test_one_assignment_is_one_modified_event(lab):
    events = []
    lab.p.AddObserver("ModifiedEvent", lambda caller, event: events.append(event))
    lab.p.labels = [1, 2, 3]
    assert len(events) == 1


def test_public_members_are_slicers(lab):
    lab.p.nosuch = 1
    wanted = {name for name in FACTS["members"][2:-2].split("', '") if not name.startswith("_")}
    assert {name for name in dir(lab.p) if not name.startswith("_")} == wanted


def test_defaults_types_and_packs_are_told(lab):
    assert repr(lab.p.default("k").value) == FACTS["default"] and str(lab.p.isCached("k")) == FACTS["isCached"]
    assert lab.p.getValue("pack.b") == "x" and lab.p.dataType("pack.a") is int
    lab.p.pack = lab.Pack(a=5, b="y")
    assert lab.node.GetParameter("pack.a") == "5" and lab.p.pack == lab.Pack(5, "y")
    with pytest.raises(ValueError, match="nosuch"):
        lab.p.getValue("nosuch")


@pytest.fixture
def gui(lab):
    """A widget of each bound class, as children of one root."""
    import ctk
    import qt
    import slicer

    root = qt.QWidget()
    kinds = {
        "k": qt.QSpinBox,
        "flag": qt.QCheckBox,
        "choice": qt.QComboBox,
        "frac": ctk.ctkSliderWidget,
        "name": qt.QLineEdit,
        "dev": qt.QComboBox,
        "volume": slicer.qMRMLNodeComboBox,
        "path": ctk.ctkPathLineEdit,
    }
    made = {}
    for name, kind in kinds.items():
        made[name] = kind(root)
        made[name].setProperty("SlicerParameterName", name)
    made["volume"].setMRMLScene(slicer.mrmlScene)
    return SimpleNamespace(root=root, **made)


def test_connecting_fills_the_widgets_as_in_slicer(lab, gui):
    set_all(lab.p, lab.scene)
    lab.p.k, lab.p.frac = 11, 1
    lab.scene.RemoveNode(lab.p.volume)
    assert str(lab.p.connectGui(gui.root)) == FACTS["connectGui"]
    items = [gui.dev.itemText(i) for i in range(gui.dev.count)]
    spin = (gui.k.value, gui.k.minimum, gui.k.maximum, gui.flag.checked, gui.choice.currentText, gui.choice.count)
    slider = (gui.frac.value, gui.frac.minimum, gui.frac.maximum)
    shown = (*spin, *slider, gui.name.text, gui.dev.currentText, items, gui.volume.currentNode())
    assert str(shown) == FACTS["gui after connect"]


def test_widgets_and_parameters_follow_each_other(lab, gui):
    volumes = [lab.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("v1", "v2")]
    lab.p.connectGui(gui.root)
    lab.p.k, lab.p.flag, lab.p.choice, lab.p.volume = 42, True, "sliding_window", volumes[0]
    assert (gui.k.value, gui.flag.checked, gui.choice.currentIndex) == (42, True, 1)
    assert gui.volume.currentNode() is volumes[0]
    gui.k.value, gui.flag.checked, gui.choice.currentIndex, gui.dev.currentIndex = 43, False, 0, 1
    gui.frac.value, gui.name.text, gui.path.currentPath = 0.75, "typed", "/tmp"
    gui.volume.setCurrentNode(volumes[1])
    now = (lab.p.k, lab.p.flag, lab.p.choice, lab.p.dev, lab.p.frac, lab.p.name, lab.p.path, lab.p.volume)
    assert now == (43, False, "nmsw", Dev.cpu, 0.75, "typed", pathlib.Path("/tmp"), volumes[1])


def test_a_disconnected_gui_is_left_alone(lab, gui):
    tag = lab.p.connectGui(gui.root)
    lab.p.disconnectGui(tag)
    gui.k.value = 99
    assert lab.p.k == 30
    lab.p.k = 5
    assert gui.k.value == 99


def test_widgets_that_slicer_does_not_bind_are_refused(lab):
    import ctk

    with pytest.raises(RuntimeError, match="Slicer binds no ctk"):
        lab.p.connectParametersToGui({"choice": ctk.ctkComboBox()})
    with pytest.raises(RuntimeError, match="Slicer binds no ctk"):
        lab.p.connectParametersToGui({"flag": ctk.ctkCollapsibleButton()})


def test_parameters_survive_the_scene_file(lab, tmp_path):
    set_all(lab.p, lab.scene)
    before, name = stored(lab.node), lab.node.GetName()
    lab.scene.SetURL(str(tmp_path / "scene.mrml"))
    assert lab.scene.Commit()
    lab.scene.Clear(0)
    assert lab.scene.Connect()
    again = lab.scene.GetFirstNode(name, "vtkMRMLScriptedModuleNode")
    assert stored(again) == before and lab.Parameters(again).labels == [1, 2]
