"""Scene, readers, writers, subject hierarchy, dialogs: what slicer.util and a module's code rely on."""

import logging

import numpy as np
import pytest
import SimpleITK as sitk

# A right-handed frame, 20 degrees about z, then 10 about x: columns are the directions of i, j, k in RAS.
TILT_Z, TILT_X = np.deg2rad(20), np.deg2rad(10)
ROTATION = np.array([[1, 0, 0], [0, np.cos(TILT_X), -np.sin(TILT_X)], [0, np.sin(TILT_X), np.cos(TILT_X)]]) @ np.array(
    [[np.cos(TILT_Z), -np.sin(TILT_Z), 0], [np.sin(TILT_Z), np.cos(TILT_Z), 0], [0, 0, 1]]
)
SPACING = np.array([0.8, 0.9, 2.5])


def oblique_matrix():
    matrix = np.eye(4)
    matrix[:3, :3] = ROTATION * SPACING
    matrix[:3, 3] = (11.0, -7.0, 33.0)
    return matrix


def oblique_volume(name="oblique"):
    import slicer

    voxels = np.arange(6 * 8 * 10, dtype=np.int16).reshape(6, 8, 10)
    return slicer.util.addVolumeFromArray(voxels, oblique_matrix(), name)


def ijk_to_ras(node):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def shared_labelmap(volume, labels):
    """A segmentation of two segments in one labelmap, filled as slicer.md tells."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "labels")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*labels.shape[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = labels.ravel()
    for value, name, color in ((1, "Liver", (0.8, 0.2, 0.2)), (2, "Spleen", (0.2, 0.8, 0.2))):
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(*color)
        segment.SetLabelValue(value)
        segment.AddRepresentation("Binary labelmap", image)
        node.GetSegmentation().AddSegment(segment, name)
    return node


def test_a_nifti_file_arrives_in_ras_with_its_voxels(app, no_vtk_errors, tmp_path):
    import slicer

    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    image.SetSpacing((1, 2, 3))
    image.SetOrigin((5, -6, 7))  # LPS, so the first two signs turn in RAS
    path = tmp_path / "müller 1.nii.gz"
    sitk.WriteImage(image, str(path))
    volume = slicer.util.loadVolume(str(path))
    assert volume.GetClassName() == "vtkMRMLScalarVolumeNode"
    assert volume.GetName() == "müller 1"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume).ravel(), np.arange(60))
    expected = np.diag([-1.0, -2.0, 3.0, 1.0])
    expected[:3, 3] = (-5, 6, 7)
    np.testing.assert_allclose(ijk_to_ras(volume), expected, atol=1e-5)


def test_a_loaded_volume_is_shown_in_all_slice_views(app, tmp_path):
    import slicer

    slicer.util.saveNode(oblique_volume(), str(tmp_path / "shown.nrrd"))
    volume = slicer.util.loadVolume(str(tmp_path / "shown.nrrd"))
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert len(composites) == 3
    assert {each.GetBackgroundVolumeID() for each in composites} == {volume.GetID()}


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_an_oblique_volume_keeps_its_geometry_through_a_file(app, no_vtk_errors, tmp_path, ending):
    import slicer

    path = str(tmp_path / f"tilted{ending}")
    assert slicer.util.saveNode(oblique_volume(), path)
    again = slicer.util.loadVolume(path)
    np.testing.assert_allclose(ijk_to_ras(again), oblique_matrix(), atol=1e-4)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again).ravel(), np.arange(480))


def test_a_label_volume_is_a_label_map_node(app, tmp_path):
    import slicer

    slicer.util.saveNode(oblique_volume(), str(tmp_path / "labels.nrrd"))
    assert slicer.util.loadLabelVolume(str(tmp_path / "labels.nrrd")).IsA("vtkMRMLLabelMapVolumeNode")


def test_a_missing_file_raises_and_names_it(app, tmp_path):
    import slicer

    with pytest.raises(RuntimeError, match=r"nowhere\.nrrd"):
        slicer.util.loadVolume(str(tmp_path / "nowhere.nrrd"))


def test_tables_transforms_texts_and_markups_come_back_from_their_files(app, no_vtk_errors, tmp_path):
    import slicer

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(table, np.array([[0.5, 2.0], [1.5, 4.0]]), ["weight", "rank"])
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenter(1, 2, 3)
    roi.SetSize(10, 20, 30)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(oblique_matrix()))
    paths = {}
    for node, name in ((table, "t.csv"), (roi, "r.mrk.json"), (transform, "m.h5")):
        paths[name] = str(tmp_path / name)
        assert slicer.util.saveNode(node, paths[name])
    (tmp_path / "notes.txt").write_text("worst first", encoding="utf-8")
    np.testing.assert_allclose(slicer.util.arrayFromTableColumn(slicer.util.loadTable(paths["t.csv"]), "rank"), (2, 4))
    np.testing.assert_allclose(slicer.util.loadMarkups(paths["r.mrk.json"]).GetSize(), (10, 20, 30))
    again = slicer.util.loadTransform(paths["m.h5"])
    np.testing.assert_allclose(slicer.util.arrayFromTransformMatrix(again), oblique_matrix(), atol=1e-6)
    assert slicer.util.loadText(str(tmp_path / "notes.txt")).GetText() == "worst first"


def test_the_file_type_is_told_by_the_longest_ending(app):
    import slicer

    kinds = {"a.seg.nrrd": "SegmentationFile", "a.nrrd": "VolumeFile", "A.NII.GZ": "VolumeFile", "a.mrb": "SceneFile"}
    assert {name: slicer.app.coreIOManager().fileType(name) for name in kinds} == kinds
    with pytest.raises(RuntimeError, match="unknown.kind"):
        slicer.util.loadNodeFromFile("unknown.kind")


def test_a_scene_is_saved_into_a_folder_of_its_own(app, no_vtk_errors, tmp_path):
    import slicer

    oblique_volume("study")
    assert slicer.util.saveScene(str(tmp_path / "new folder"))
    assert {path.suffix for path in (tmp_path / "new folder").rglob("*") if path.is_file()} >= {".mrml", ".nrrd"}


def test_a_segmentation_file_keeps_names_colours_and_voxels(app, no_vtk_errors, tmp_path):
    import slicer

    volume = oblique_volume()
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[1:3, 2:5, 3:6], labels[4, 6, 7:9] = 1, 2
    node = shared_labelmap(volume, labels)
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    path = str(tmp_path / "result.seg.nrrd")
    assert slicer.util.saveNode(node, path)
    again = slicer.util.loadSegmentation(path)
    segmentation = again.GetSegmentation()
    assert [segmentation.GetNthSegment(n).GetName() for n in range(2)] == ["Liver", "Spleen"]
    np.testing.assert_allclose(segmentation.GetNthSegment(1).GetColor(), (0.2, 0.8, 0.2), atol=1e-6)
    again.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for value, name in ((1, "Liver"), (2, "Spleen")):
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(again, segmentation.GetSegmentIdBySegmentName(name), volume)
        np.testing.assert_array_equal(voxels > 0, labels == value)


def test_a_scene_bundle_brings_back_nodes_transform_and_hierarchy(app, no_vtk_errors, tmp_path):
    import slicer

    volume = oblique_volume("study")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    segmentation = shared_labelmap(volume, np.ones((6, 8, 10), np.uint8))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(segmentation), hierarchy.GetItemByDataNode(volume))
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    slicer.util.loadScene(path)
    volume, segmentation = slicer.util.getNode("study"), slicer.util.getNode("labels")
    assert volume.GetParentTransformNode().GetName() == "shift"
    np.testing.assert_allclose(ijk_to_ras(volume), oblique_matrix(), atol=1e-4)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(segmentation)
    assert hierarchy.GetItemDataNode(hierarchy.GetItemParent(item)).GetName() == "study"
    assert len(slicer.util.getNodesByClass("vtkMRMLSubjectHierarchyNode")) == 1


def test_a_parent_transform_moves_the_volume_in_the_world(app):
    import slicer
    import vtk

    volume = oblique_volume()
    before, after = [0.0] * 6, [0.0] * 6
    volume.GetRASBounds(before)
    shift = vtk.vtkMatrix4x4()
    shift.SetElement(0, 3, 10)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(shift)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    volume.GetRASBounds(after)
    np.testing.assert_allclose(np.subtract(after, before), (10, 10, 0, 0, 0, 0), atol=1e-4)


def test_each_node_gets_one_hierarchy_item_and_loses_it(app):
    import slicer

    volume = oblique_volume()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volume)
    assert item != hierarchy.GetInvalidItemID()
    assert hierarchy.GetItemOwnerPluginName(item) == "Volumes"
    hidden = slicer.vtkMRMLModelNode()
    hidden.HideFromEditorsOn()
    slicer.mrmlScene.AddNode(hidden)
    assert hierarchy.GetItemByDataNode(hidden) == hierarchy.GetInvalidItemID()
    slicer.mrmlScene.RemoveNode(volume)
    assert hierarchy.GetItemByDataNode(volume) == hierarchy.GetInvalidItemID()


def test_terminologies_are_loaded(app):
    import slicer

    names = slicer.modules.terminologies.logic()
    entry = slicer.vtkSlicerTerminologyEntry()
    text = (
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^85756007^Tissue~SCT^85756007^Tissue"
        "~^^~Anatomic codes - DICOM master list~^^~^^"
    )
    assert names.DeserializeTerminologyEntry(text, entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Tissue"


def test_vtk_errors_are_collected_and_fail_the_block(app):
    import slicer

    with pytest.raises(AssertionError, match="null node"), app.no_vtk_errors():
        slicer.mrmlScene.AddNode(None)
    assert len(app.vtk_errors) == 1


def test_an_exception_in_an_observer_is_collected(app):
    import slicer

    def broken(*_):
        raise ValueError("broken observer")

    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, broken)
    oblique_volume()
    slicer.mrmlScene.RemoveObserver(tag)
    assert any("broken observer" in each for each in app.slot_errors)


def test_dialogs_are_recorded_and_answered(app, caplog):
    import qt
    import slicer

    with caplog.at_level(logging.INFO):
        slicer.util.errorDisplay("No volume is chosen.", windowTitle="EfficientSeg")
    assert (app.dialogs[0].level, app.dialogs[0].text) == ("error", "No volume is chosen.")
    assert app.dialogs[0].options["windowTitle"] == "EfficientSeg"
    app.answers.extend([qt.QMessageBox.Yes, qt.QMessageBox.No])
    assert slicer.util.confirmYesNoDisplay("Download 30 MB?") is True
    assert slicer.util.confirmYesNoDisplay("Download 30 MB?") is False
    slicer.util.messageBox("would wait three seconds")
    slicer.util.delayDisplay("would wait one second")
    assert [each.text for each in app.dialogs[-2:]] == ["would wait three seconds", "would wait one second"]


def test_try_with_error_display_raises_in_testing_mode(app):
    import slicer

    with pytest.raises(ValueError, match="too small"), slicer.util.tryWithErrorDisplay("Failed.", waitCursor=True):
        raise ValueError("too small")


def test_outside_testing_mode_the_user_is_shown_the_error(app):
    import slicer

    app.testing = False
    with pytest.raises(ValueError), slicer.util.tryWithErrorDisplay("Segmentation failed."):
        raise ValueError("The volume has 2 channels.")
    assert app.dialogs[0].text == "Segmentation failed.\n\nThe volume has 2 channels."
    assert "ValueError" in app.dialogs[0].options["detailedText"]


def test_a_restart_is_counted_and_does_not_happen(app):
    import slicer

    slicer.util.restart()
    assert app.restarts == 1


def test_the_segment_editor_takes_a_segmentation_and_its_volume(app, no_vtk_errors):
    import slicer

    volume = oblique_volume()
    node = shared_labelmap(volume, np.ones((6, 8, 10), np.uint8))
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.util.getModuleWidget("SegmentEditor").editor
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("Spleen")
    state = slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode")
    assert len(state) == 1
    assert (state[0].GetSegmentationNode(), state[0].GetSourceVolumeNode()) == (node, volume)
    assert editor.currentSegmentID() == "Spleen"
    slicer.util.selectModule("Welcome")


def test_closing_the_application_is_announced(app):
    import slicer

    heard = []
    slicer.app.connect("aboutToQuit()", lambda: heard.append("quit"))
    app.announce_quit()
    assert heard == ["quit"]
    slicer.app.processEvents()


def test_what_slicer_does_not_have_is_refused(app):
    import slicer

    for owner in (
        slicer.app,
        slicer.modules,
        slicer.app.layoutManager(),
        slicer.app.coreIOManager(),
        slicer.app.moduleManager(),
        slicer.modules.segmentations,
    ):
        with pytest.raises(AttributeError):
            _ = owner.thisDoesNotExist
    with pytest.raises(ModuleNotFoundError):
        import PyTorchUtils  # noqa: F401
    with pytest.raises(RuntimeError, match="NoSuchModule"):
        slicer.util.getModule("NoSuchModule")


def test_qt_names_reach_the_application(app):
    import slicer

    calls = []
    slicer.app.processEvents()
    assert slicer.app.testingEnabled() is True
    assert slicer.app.connect("aboutToQuit()", calls.append)
    assert slicer.app.disconnect("aboutToQuit()", calls.append)
    assert slicer.app.applicationName == "Slicer"


def test_settings_lie_in_the_temporary_folder(app):
    import qt
    import slicer

    settings = qt.QSettings()
    assert "slicer-standin-" in settings.fileName()
    settings.setValue("EfficientSeg/Effort", 7)
    assert slicer.util.settingsValue("EfficientSeg/Effort", 1, converter=int) == 7
    assert slicer.util.settingsValue("EfficientSeg/Absent", 1, converter=int) == 1
    settings.remove("EfficientSeg")


def test_the_main_window_is_found_and_selects_modules(app):
    import slicer

    assert slicer.util.mainWindow().objectName == "qSlicerMainWindow"
    slicer.util.selectModule("Segmentations")
    assert slicer.util.selectedModule() == "Segmentations"
    assert "Volumes" in slicer.util.moduleNames()


def test_sample_data_is_registered_once_and_loaded_from_a_local_file(app, tmp_path):
    import SampleData
    import slicer

    path = tmp_path / "small scan.nrrd"
    slicer.util.saveNode(oblique_volume(), str(path))
    arguments = {
        "category": "EfficientSeg",
        "sampleName": "SmallScan",
        "uris": path.as_uri(),
        "fileNames": "small.nrrd",
        "nodeNames": "Small scan",
    }
    for _ in range(2):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(**arguments)
    assert len(slicer.modules.sampleDataSources["EfficientSeg"]) == 1
    assert SampleData.SampleDataLogic().downloadSample("SmallScan").GetName() == "Small scan"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        sampleName="Wrong", uris=path.as_uri(), fileNames="wrong.nrrd", nodeNames="x", checksums="SHA256:" + 64 * "0"
    )
    with pytest.raises(ValueError, match="checksum"):
        SampleData.SampleDataLogic().downloadSample("Wrong")
    slicer.modules.sampleDataSources.clear()


def test_packages_are_looked_up_but_never_installed(app):
    import slicer.packaging

    assert slicer.packaging.pip_check(["numpy>=1.20", "SimpleITK"])
    assert not slicer.packaging.pip_check("numpy>=999")
    slicer.packaging.pip_ensure("no-such-package-here", requester="EfficientSeg")
    assert slicer.packaging.requests == []
    slicer.util.pip_install(["no-such-package-here"])
    assert slicer.packaging.requests == [("pip_install", ["no-such-package-here"])]
