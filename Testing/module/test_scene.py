"""What a saved scene brings back: the segmentation, the boxes, the class weights and the panel's settings."""

import tempfile
from pathlib import Path

import numpy as np
import slicer
from bench import labelsOf, segmentNames, waitUntil
from test_widget import QUICK, WidgetCase

from EfficientSegBridge.overlay_nodes import ROLE


def results() -> list:
    """The segmentations in the scene, without the tint of what was refined, which is one as well."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if not node.GetAttribute(ROLE)]


class TestSavedScene(WidgetCase):
    play = QUICK

    def setUp(self) -> None:
        super().setUp()
        self.segment()
        self.waitForEnd()
        self.before = labelsOf(self.result(), "played_1", self.volume).copy()
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self) -> None:
        super().tearDown()
        self.folder.cleanup()

    def reload(self) -> None:
        path = str(Path(self.folder.name) / "Dr. Jöhn Ωé.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(path)

    def test_it_comes_back_whole_with_the_panel_open(self) -> None:
        names = segmentNames(self.result())
        tables = len(slicer.util.getNodesByClass("vtkMRMLTableNode"))
        charts = len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode"))
        models = len(slicer.util.getNodesByClass("vtkMRMLModelNode"))
        self.reload()
        (segmentation,) = results()
        (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        self.assertEqual(segmentNames(segmentation), names)
        np.testing.assert_array_equal(labelsOf(segmentation, "played_1", volume), self.before)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLTableNode")), tables)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode")), charts)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLModelNode")), models)
        node = self.logic.getParameterNode()
        self.assertIs(node.volume, volume)
        self.assertIs(node.segmentation, segmentation)
        self.assertEqual(node.bundle, self.bundle.folder)
        if self.widget.isOpen:  # otherwise it is shown when the module is opened
            self.assertTrue(waitUntil(lambda: self.ui.segmentsTable.segmentationNode() is segmentation, 5))
            self.assertIs(self.ui.volumeSelector.currentNode(), volume)
            self.assertTrue(self.ui.editButton.enabled)

    def test_a_run_after_the_reload_goes_into_the_same_segmentation(self) -> None:
        self.reload()
        self.widget.enter()
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(len(results()), 1)
