"""Stand-in widgets have the names and defaults of the real classes, and behave towards the scene."""

import pytest

# Defaults that depend on the style, the screen's fonts or Qt's version, not on the class.
STYLE_DEPENDENT = {"iconSize", "frameRect", "html", "collapsedHeight"}


def widgets():
    from standin import start

    start()
    from standin.widgets import WIDGETS

    return WIDGETS


NAMES = sorted(widgets())


def facts():
    from standin.widgets import FACTS

    return FACTS


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_real_class_is_there(app, name):
    widget = widgets()[name]()
    wanted = {s.split("(")[0] for key in ("signal", "slot", "method") for s in facts()[name].get(key, [])}
    wanted |= set(facts()[name]["properties"])
    assert [n for n in sorted(wanted) if not n.startswith("_") and not hasattr(widget, n)] == []


@pytest.mark.parametrize("name", NAMES)
def test_properties_begin_with_the_real_defaults(app, name):
    widget = widgets()[name]()
    different = {}
    for prop, (kind, default, _) in facts()[name]["properties"].items():
        if prop in STYLE_DEPENDENT or kind in ("QIcon", "QKeySequence", "QTextDocument*", "QUrl", "QSize", "QRect"):
            continue
        found = getattr(widget, prop)
        shown = found.name() if kind == "QColor" else repr(found)
        if shown != (default.split("(")[1].split(",")[0] if kind == "QColor" else default):
            different[prop] = (shown, default)
    assert different == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_signal_can_be_connected_by_its_signature(app, name):
    widget = widgets()[name]()
    assert [s for s in facts()[name].get("signal", []) if not widget.connect(s, lambda *_: None)] == []


@pytest.mark.parametrize("name", NAMES)
def test_other_names_are_refused(app, name):
    widget = widgets()[name]()
    with pytest.raises(AttributeError):
        widget.noSuchName  # noqa: B018 - reading it is the test
    with pytest.raises(AttributeError):
        widget.noSuchName = 1


def test_a_setter_that_the_real_class_does_not_show_is_refused(app):
    with pytest.raises(AttributeError, match="setNodeTypes"):
        widgets()["qMRMLNodeComboBox"]().setNodeTypes(["vtkMRMLModelNode"])


def test_a_method_without_behaviour_says_so(app):
    with pytest.raises(NotImplementedError, match="moveSelectedSegmentsUp"):
        widgets()["qMRMLSegmentsTableView"]().moveSelectedSegmentsUp()


@pytest.fixture
def selector(app):
    import slicer

    box = widgets()["qMRMLNodeComboBox"]()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    return box


def add(kind, name):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


def test_the_selector_lists_nodes_of_its_types_alone(selector):
    volume = add("vtkMRMLScalarVolumeNode", "CT")
    label = add("vtkMRMLLabelMapVolumeNode", "labels")
    add("vtkMRMLModelNode", "model")
    assert [selector.nodeFromIndex(i) for i in range(3)] == [None, volume, label]
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 1


def test_the_selector_tells_of_choice_and_removal(selector):
    seen, valid = [], []
    selector.currentNodeChanged.connect(seen.append)
    selector.connect("currentNodeChanged(bool)", valid.append)
    volume = add("vtkMRMLScalarVolumeNode", "CT")
    assert seen == []
    selector.setCurrentNode(volume)
    assert selector.currentNodeID == volume.GetID()
    volume.GetScene().RemoveNode(volume)
    assert seen == [volume, None] and valid == [True, False] and selector.currentNode() is None


def test_without_none_the_first_node_is_taken(selector):
    selector.noneEnabled = False
    volume = add("vtkMRMLScalarVolumeNode", "CT")
    assert selector.currentNode() is volume


def test_hidden_nodes_and_attributes_are_filtered(selector):
    hidden, marked, plain = (add("vtkMRMLScalarVolumeNode", name) for name in "abc")
    hidden.SetHideFromEditors(True)
    marked.SetAttribute("mark", "1")
    assert selector.nodeCount() == 2
    selector.addAttribute("vtkMRMLScalarVolumeNode", "mark", "1")
    assert [selector.nodeFromIndex(1), selector.nodeCount()] == [marked, 1]
    assert plain is not None


def test_the_selector_makes_a_node_and_chooses_it(selector):
    selector.baseName = "Made"
    node = selector.addNode()
    assert selector.currentNode() is node and node.GetName() == "Made"


def test_a_deleted_selector_leaves_the_scene_usable(selector, no_vtk_errors):
    selector.delete()
    assert add("vtkMRMLScalarVolumeNode", "later") is not None


@pytest.fixture
def segments(app):
    node = add("vtkMRMLSegmentationNode", "result")
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().AddEmptySegment("liver", "Liver", (0.8, 0.5, 0.4))
    node.GetSegmentation().AddEmptySegment("spleen", "Spleen", (0.6, 0.4, 0.6))
    table = widgets()["qMRMLSegmentsTableView"]()
    table.setSegmentationNode(node)
    return table, node


def test_the_segments_table_follows_its_node(segments):
    table, node = segments
    assert table.displayedSegmentIDs() == ("liver", "spleen") and table.segmentCount == 2
    assert table.tableWidget().item(0, 3).text() == "Liver"
    assert table.tableWidget().item(0, 1).background().color().name() == "#cc8066"
    node.GetSegmentation().GetSegment("liver").SetName("Hepar")
    node.GetSegmentation().RemoveSegment("spleen")
    assert [table.tableWidget().item(0, 3).text(), table.segmentCount] == ["Hepar", 1]


def test_the_eye_hides_a_segment(segments):
    table, node = segments
    table.tableWidget().itemClicked.emit(table.tableWidget().item(0, 0))
    assert not node.GetDisplayNode().GetSegmentVisibility("liver")


def test_a_renamed_row_renames_the_segment(segments):
    table, node = segments
    table.tableWidget().item(1, 3).setText("Milz")
    assert node.GetSegmentation().GetSegment("spleen").GetName() == "Milz"


def test_selection_is_told_and_kept(segments):
    table, node = segments
    told = []
    table.selectionChanged.connect(lambda *_: told.append(table.selectedSegmentIDs()))
    table.setSelectedSegmentIDs(["spleen"])
    assert table.selectedSegmentIDs() == ("spleen",) and told[-1] == ("spleen",)
    node.GetSegmentation().GetSegment("liver").SetName("Hepar")
    assert table.selectedSegmentIDs() == ("spleen",)


@pytest.fixture
def weights(app):
    import vtk

    names, values = vtk.vtkStringArray(), vtk.vtkDoubleArray()
    names.SetName("label")
    values.SetName("weight")
    for name, value in (("liver", 0.8), ("spleen", 0.4)):
        names.InsertNextValue(name)
        values.InsertNextValue(value)
    node = add("vtkMRMLTableNode", "weights")
    node.AddColumn(names)
    node.AddColumn(values)
    return node


def test_the_table_view_shows_and_edits_its_node(weights):
    view = widgets()["qMRMLTableView"]()
    view.setMRMLTableNode(weights)
    model = view.model()
    assert [model.index(0, 0).data(), model.index(1, 1).data(), model.rowCount()] == ["liver", "0.4", 2]
    model.setData(model.index(1, 1), "0.7")
    assert weights.GetTable().GetValue(1, 1).ToDouble() == 0.7


def test_bars_are_as_high_as_the_table_says(weights):
    series = add("vtkMRMLPlotSeriesNode", "weights")
    series.SetAndObserveTableNodeID(weights.GetID())
    series.SetYColumnName("weight")
    series.SetPlotType(series.PlotTypeBar)
    series.SetColor(1, 0, 0)
    chart = add("vtkMRMLPlotChartNode", "chart")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    view = add("vtkMRMLPlotViewNode", "view")
    view.SetPlotChartNodeID(chart.GetID())
    plot = widgets()["qMRMLPlotWidget"]()
    plot.resize(300, 200)
    plot.setMRMLPlotViewNode(view)

    def heights():
        picture = plot.grab().toImage()
        red = [[picture.pixelColor(x, y).name() == "#ff0000" for y in range(200)] for x in range(300)]
        columns = [sum(column) for column in red]
        return max(columns[44:167]), max(columns[167:])

    tall, short = heights()
    assert tall > 80 and abs(short - tall / 2) <= 2
    weights.GetTable().GetColumn(1).SetValue(1, 0.8)
    weights.Modified()
    assert heights()[1] == tall


def test_a_collapsed_button_hides_its_content(app):
    import qt

    button = widgets()["ctkCollapsibleButton"]()
    rows = qt.QVBoxLayout(button)
    inside, never = qt.QLabel("words"), qt.QLabel("never shown")
    rows.addWidget(inside)
    rows.addWidget(never)
    never.hide()
    told = []
    button.connect("contentsCollapsed(bool)", told.append)
    button.show()
    opened = button.sizeHint.height()
    button.collapsed = True
    assert not inside.visible and button.sizeHint.height() < opened and told == [True]
    button.checked = True
    assert inside.visible and not never.visible and not button.collapsed


def test_the_slider_keeps_its_value_inside_its_range(app):
    slider = widgets()["ctkSliderWidget"]()
    told = []
    slider.valueChanged.connect(told.append)
    slider.maximum = 10
    slider.value = 50
    assert slider.value == 10.0
    slider.maximum = 4
    assert told == [10.0, 4.0]


def test_a_path_is_told_with_its_validity(app, tmp_path):
    line = widgets()["ctkPathLineEdit"]()
    paths, valid = [], []
    line.currentPathChanged.connect(paths.append)
    line.validInputChanged.connect(valid.append)
    line.currentPath = str(tmp_path)
    line.currentPath = str(tmp_path / "missing")
    assert paths == [str(tmp_path), str(tmp_path / "missing")] and valid == [True, False]


def test_a_forgotten_widget_is_let_go(app):
    import gc
    import weakref

    import slicer

    box = widgets()["qMRMLNodeComboBox"]()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setMRMLScene(slicer.mrmlScene)
    gone = weakref.ref(box)
    del box
    gc.collect()
    assert gone() is None


def test_a_slot_refuses_a_wrong_number_of_arguments(app):
    with pytest.raises(ValueError, match="wrong number of arguments"):
        widgets()["qMRMLNodeComboBox"]().setCurrentNode()
