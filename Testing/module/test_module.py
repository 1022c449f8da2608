"""The module around the panel: what Slicer shows of it, sample data, settings, installing, reloading."""

import sys
import unittest
from pathlib import Path
from unittest import mock

import qt
import slicer
from bench import makeBundle, makeFolder, makeVolume, waitUntil
from test_widget import QUICK, WidgetCase

from EfficientSegBridge import bundles, packages, python_row, sample_data
from EfficientSegBridge.torch_probe import TorchState


class TestModule(WidgetCase):
    def test_the_models_tool_tip_has_lines(self) -> None:
        tip = self.ui.bundleSelector.toolTip
        self.assertIn("Played bundle<br>", tip)
        self.assertIn("Finds: Liver, Left kidney, Spleen.", tip)

    def test_slicer_can_show_it(self) -> None:
        module = slicer.modules.efficientseg
        self.assertEqual(module.title, "EfficientSeg")
        self.assertEqual(list(module.categories), ["Segmentation"])
        self.assertFalse(module.icon.isNull())
        self.assertIn("Research only", module.helpText)

    def test_every_text_field_has_a_tool_tip_and_every_button_a_word(self) -> None:
        for name in (
            "volumeSelector",
            "bundleSelector",
            "effortSlider",
            "segmentButton",
            "stopButton",
            "deviceSelector",
        ):
            self.assertTrue(getattr(self.ui, name).toolTip, name)

    def test_the_sample_ct_can_be_loaded(self) -> None:
        import SampleData

        sample_data.register()
        sample_data.register()
        sources = [
            source
            for category in slicer.modules.sampleDataSources.values()
            for source in category
            if source.sampleName == sample_data.NAME
        ]
        self.assertEqual(len(sources), 1)
        node = SampleData.SampleDataLogic().downloadSamples(sample_data.NAME)[0]
        self.assertEqual(node.GetName(), sample_data.NAME)  # what Sample Data writes below the picture
        self.assertEqual(node.GetImageData().GetNumberOfScalarComponents(), 1)

    def test_the_class_weights_open_as_a_chart(self) -> None:
        if slicer.app.layoutManager() is None:
            self.skipTest("A chart can be shown in a main window only.")
        self.segment()
        self.waitForEnd()
        self.ui.chartButton.click()
        shown = [view.GetPlotChartNodeID() for view in slicer.util.getNodesByClass("vtkMRMLPlotViewNode")]
        self.assertIn(self.logic.overlay.chartNode.GetID(), shown)

    def test_a_bundle_that_cannot_be_used_is_listed_with_its_trouble(self) -> None:
        broken = makeBundle(makeFolder())
        (Path(broken.folder) / "weights.pt").unlink()
        choice = bundles.read(Path(broken.folder))
        self.assertIsNone(choice.bundle)
        self.assertIn("weights.pt is missing", choice.trouble)

    def test_another_python_is_remembered_and_used(self) -> None:
        used = []
        original = self.logic._makeWorker
        self.logic._makeWorker = lambda python: used.append(python) or original(python)
        before = qt.QSettings().value(python_row.SETTING) or ""
        try:
            with mock.patch.object(self.panel._probe, "ask") as ask:
                self.ui.pythonPathEdit.currentPath = sys.executable[:-1]  # as if it was being typed
                self.ui.pythonPathEdit.currentPath = sys.executable
                self.assertTrue(waitUntil(lambda: ask.called, 5))
            ask.assert_called_once_with(sys.executable, False)
            self.assertEqual(qt.QSettings().value(python_row.SETTING), sys.executable)
            self.segment()
            self.waitForEnd()
            self.assertEqual(used, [sys.executable])
        finally:
            self.ui.pythonPathEdit.currentPath = ""
            self.panel._python.stop()
            qt.QSettings().setValue(python_row.SETTING, before)


class TestInstall(WidgetCase):
    play = QUICK

    def setUp(self) -> None:
        super().setUp()
        self.panel._probe.state = TorchState("missing")

    def test_no_means_nothing_happens(self) -> None:
        with mock.patch.object(packages, "install", return_value=False) as install:
            self.segment()
        self.assertEqual(install.call_count, 1)
        self.assertFalse(self.logic.running)

    def test_yes_installs_looks_again_and_starts(self) -> None:
        with (
            mock.patch.object(packages, "install", return_value=True),
            mock.patch.object(self.panel._probe, "ask") as ask,
        ):
            self.segment()
            self.assertFalse(self.logic.running)
            ask.assert_called_once_with("", True)
        self.panel._probe.state = TorchState("ok", "2.9")
        self.panel._onTorch(self.panel._probe.state)
        self.assertEqual(self.waitForEnd().state, "done")

    def test_a_failed_installation_is_said_under_the_button(self) -> None:
        error = packages.InstallError("PyTorch could not be installed.", why="No network.", mend="Try again.")
        with mock.patch.object(packages, "install", side_effect=error):
            self.segment()
        self.assertIn("PyTorch could not be installed. No network. Try again.", self.ui.statusLabel.text)

    def test_a_second_click_while_it_lasts_installs_nothing(self) -> None:
        def install(*_arguments) -> bool:
            self.assertFalse(self.ui.segmentButton.enabled)
            self.panel.onSegment()
            self.panel._onAction("install")
            return False

        with mock.patch.object(packages, "install", side_effect=install) as installing:
            self.segment()
        self.assertEqual(installing.call_count, 1)
        self.assertTrue(self.ui.segmentButton.enabled)

    def test_the_line_below_the_volume_says_so(self) -> None:
        self.panel._check()
        self.assertIn("PyTorch is not installed", self.ui.preflightLabel.text)
        self.panel._preflight._onLink("more")
        self.assertTrue(waitUntil(lambda: "It can be installed now" in self.ui.preflightDetails.text, 2))
        self.panel._preflight._onLink("more")
        with mock.patch.object(packages, "install", return_value=False) as install:
            self.ui.preflightLabel.linkActivated("install")
        self.assertEqual(install.call_count, 1)


class TestScene(WidgetCase):
    def test_what_was_chosen_is_saved_with_the_scene(self) -> None:
        self.ui.effortSlider.value = 5
        stored = self.node.parameterNode
        self.assertEqual(stored.GetParameter("effort"), "5")
        self.assertIs(stored.GetNodeReference("volume"), self.volume)

    def test_after_closing_the_scene_the_panel_begins_anew(self) -> None:
        self.segment()
        self.waitForEnd()
        slicer.mrmlScene.Clear(0)
        makeVolume(name="next")
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
        self.assertIsNone(self.logic.overlay.boxesNode)
        self.assertFalse(self.ui.editButton.enabled)
        self.assertIsNone(self.ui.segmentsTable.segmentationNode())
        self.assertTrue(self.ui.weightsTable.isHidden())

    def test_a_volume_that_is_there_is_chosen(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.panel.setParameterNode(None)  # loaded while another module was open
        labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        volume = makeVolume(name="next")
        self.panel.setParameterNode(self.logic.getParameterNode())
        self.assertIsNot(self.panel._node.volume, labels)
        self.assertIs(self.panel._node.volume, volume)


if __name__ == "__main__":
    unittest.main()
