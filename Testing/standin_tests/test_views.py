"""What the slice and 3D views show, read back pixel by pixel."""

import numpy as np
import pytest
import SimpleITK as sitk

SHAPE = (20, 30, 40)  # k, j, i
SPACING = 2.0


def flat_volume(value=100):
    """A volume of one value, window 200 about level 100, in all slice views."""
    import slicer

    matrix = np.diag([SPACING, SPACING, SPACING, 1.0])
    matrix[:3, 3] = (-40, -30, -20)
    volume = slicer.util.addVolumeFromArray(np.full(SHAPE, value, np.int16), matrix, "flat")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(200, 100)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume


def two_segments(volume):
    """One labelmap shared by Liver (red, i below 15) and Spleen (green, i from 25), both at j 10 to 20 and all k."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 10:20, 5:15], labels[:, 10:20, 25:35] = 1, 2
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*SHAPE[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = labels.ravel()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for value, name, color in ((1, "Liver", (1, 0, 0)), (2, "Spleen", (0, 1, 0))):
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(*color)
        segment.SetLabelValue(value)
        segment.AddRepresentation("Binary labelmap", image)
        node.GetSegmentation().AddSegment(segment, name)
    return node


def world(i, j, k):
    return [SPACING * i - 40, SPACING * j - 30, SPACING * k - 20]


def color_at(ras, view_name="Red"):
    """Colour of the pixel that shows a world point, as three integers."""
    import slicer

    view = slicer.app.layoutManager().sliceWidget(view_name).sliceView()
    x, y, _ = view.convertRASToXYZ(ras)
    picture = view.pixels()
    return picture[picture.shape[0] - 1 - round(y), round(x)].astype(int)


def dominant(rgb):
    """Index of the strongest channel; None for grey."""
    return int(np.argmax(rgb)) if rgb.max() - rgb.min() > 30 else None


@pytest.mark.parametrize("value, grey", [(0, 0), (50, 64), (100, 128), (150, 191), (300, 255)])
def test_window_and_level_set_the_grey(app, no_vtk_errors, value, grey):
    flat_volume(value)
    np.testing.assert_allclose(color_at(world(20, 15, 10)), [grey] * 3, atol=2)


def test_outside_the_volume_it_is_black(app):
    flat_volume(300)
    np.testing.assert_array_equal(color_at(world(20, -3, 10)), (0, 0, 0))


@pytest.mark.parametrize("view_name", ["Red", "Green"])
def test_segments_of_one_labelmap_show_in_their_own_colours(app, no_vtk_errors, view_name):
    node = two_segments(flat_volume())
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    assert dominant(color_at(world(10, 15, 10), view_name)) == 0
    assert dominant(color_at(world(30, 15, 10), view_name)) == 1
    assert dominant(color_at(world(20, 15, 10), view_name)) is None


def test_a_view_made_late_draws_the_volume_under_the_segments(app, no_vtk_errors):
    import slicer

    from standin.views import SliceView

    two_segments(flat_volume(100))
    late = SliceView(slicer.app.layoutManager().sliceWidget("Red").sliceLogic())
    x, y, _ = late.convertRASToXYZ(world(10, 15, 10))
    picture = late.pixels()
    np.testing.assert_array_equal(picture[picture.shape[0] - 1 - round(y), round(x)], color_at(world(10, 15, 10)))


def test_a_hidden_segment_is_not_drawn(app, no_vtk_errors):
    node = two_segments(flat_volume())
    node.GetDisplayNode().SetSegmentVisibility("Liver", False)
    assert dominant(color_at(world(10, 15, 10))) is None
    assert dominant(color_at(world(30, 15, 10))) == 1


def test_labels_rewritten_in_place_are_seen(app, no_vtk_errors):
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    node = two_segments(flat_volume())
    assert dominant(color_at(world(10, 15, 10))) == 0
    image = node.GetSegmentation().GetSegment("Liver").GetRepresentation("Binary labelmap")
    scalars = image.GetPointData().GetScalars()
    vtk_to_numpy(scalars)[:] = 2
    for changed in (scalars, image):
        changed.Modified()
    node.GetSegmentation().InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
    assert dominant(color_at(world(10, 15, 10))) == 1


def test_a_parent_transform_moves_the_segments_with_the_volume(app, no_vtk_errors):
    import slicer
    import vtk

    volume = flat_volume()
    node = two_segments(volume)
    shift = vtk.vtkMatrix4x4()
    shift.SetElement(0, 3, 30)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(shift)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node.SetAndObserveTransformNodeID(transform.GetID())
    moved = np.add(world(10, 15, 10), (30, 0, 0))
    assert dominant(color_at(list(moved))) == 0
    assert dominant(color_at(world(7, 15, 10))) is None


def test_a_model_is_outlined_only_where_the_slice_cuts_it(app, no_vtk_errors):
    import slicer
    import vtk

    flat_volume()
    cube = vtk.vtkCubeSource()
    cube.SetBounds(-10, 10, -10, 10, -5, 5)
    cube.Update()
    model = slicer.modules.models.logic().AddModel(cube.GetOutput())
    display = model.GetDisplayNode()
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(4)
    display.SetColor(0, 0, 1)
    logic = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    logic.SetSliceOffset(0)
    assert dominant(color_at([10, 0, 0])) == 2
    assert dominant(color_at([0, 0, 0])) is None
    logic.SetSliceOffset(12)
    assert dominant(color_at([10, 0, 12])) is None


def test_surfaces_show_in_the_3d_view(app, no_vtk_errors):
    import slicer

    node = two_segments(flat_volume())
    node.GetDisplayNode().SetSegmentVisibility("Spleen", False)
    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    view.mrmlViewNode().SetBoxVisible(False)
    view.mrmlViewNode().SetAxisLabelsVisible(False)
    reds = [0, 0]
    for turn in range(2):
        if turn:
            node.CreateClosedSurfaceRepresentation()
            slicer.util.resetThreeDViews()
        picture = view.pixels().astype(int)
        reds[turn] = np.count_nonzero(picture[..., 0] - picture[..., 2] > 40)
    assert reds[0] == 0
    assert reds[1] > 1000


def test_the_four_views_go_into_one_picture(app, no_vtk_errors, tmp_path):
    two_segments(flat_volume())
    path = tmp_path / "bilder ä" / "views.png"
    app.screenshot_views(path, size=(600, 500))
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3].astype(int)
    assert picture.shape == (500, 600, 3)
    assert dominant(picture[3, 3]) == 0  # Red view's bar
    assert dominant(picture[3, 303]) == 2  # 3D view's bar
    assert dominant(picture[253, 3]) == 1  # Green view's bar
    np.testing.assert_allclose(picture[253, 303, :2], (237, 213), atol=8)  # Yellow view's bar


def test_a_panel_is_pictured_in_the_light_and_in_the_dark_theme(app, tmp_path):
    import qt

    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    for text in ("Segment", "Stop"):
        layout.addWidget(qt.QPushButton(text))
    means = []
    for dark in (False, True):
        path = tmp_path / f"panel-{dark}.png"
        app.screenshot_panel(panel, path, width=350, dark=dark)
        picture = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        assert picture.shape[1] == 350
        means.append(picture[..., :3].mean())
    assert means[0] > 200
    assert means[1] < 90


def test_a_chart_brings_its_plot_view(app, no_vtk_errors):
    import slicer

    manager = slicer.app.layoutManager()
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    heard = []
    manager.connect("layoutChanged(int)", heard.append)
    slicer.modules.plots.logic().ShowChartInLayout(chart)
    manager.disconnect("layoutChanged(int)", heard.append)
    assert heard == [manager.layout]
    assert manager.plotWidget(0).mrmlPlotViewNode().GetPlotChartNodeID() == chart.GetID()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def test_the_mouse_moves_the_crosshair_and_the_wheel_scrolls(app, no_vtk_errors):
    import slicer

    flat_volume()
    widget = slicer.app.layoutManager().sliceWidget("Red")
    interactor = widget.sliceView().interactor()
    there = world(12, 18, 10)
    widget.sliceLogic().SetSliceOffset(there[2])
    x, y, _ = widget.sliceView().convertRASToXYZ(there)
    interactor.SetEventInformation(round(x), round(y))
    for event in ("EnterEvent", "MouseMoveEvent"):
        interactor.InvokeEvent(event)
    position = [0.0, 0.0, 0.0]
    crosshair = slicer.util.getNodesByClass("vtkMRMLCrosshairNode")[0]
    assert crosshair.GetCursorPositionRAS(position)
    np.testing.assert_allclose(position, there, atol=0.5)
    interactor.InvokeEvent("MouseWheelForwardEvent")
    assert widget.sliceLogic().GetSliceOffset() == pytest.approx(there[2] + SPACING, abs=1e-3)


def test_layouts_make_the_views_that_they_name(app):
    import slicer

    manager = slicer.app.layoutManager()
    assert set(manager.sliceViewNames()) >= {"Red", "Green", "Yellow"}
    assert manager.threeDViewCount >= 1
    assert manager.sliceWidget("Purple") is None
    assert manager.mrmlSliceLogics().GetNumberOfItems() == len(manager.sliceViewNames())
    heard = []
    manager.layoutChanged.connect(heard.append)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    manager.layoutChanged.disconnect(heard.append)
    assert manager.layout == heard[0] == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
