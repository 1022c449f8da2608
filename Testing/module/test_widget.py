"""The panel as a user meets it: click Segment and see nodes, click Stop and keep the work, fail and lose nothing."""

import os
import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
from bench import GEOMETRIES, labelsOf, makeBundle, makeVolume, playing, segmentNames, waitUntil

from EfficientSegBridge import bundles, efforts, paces, run_folder
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.torch_probe import TorchState
from EfficientSegBridge.worker_process import WorkerProcess

# A run with a coarse result, two patches and class weights, which waits for "go" before its end where `slow` is set.
PLAY = """
def play(request):
    k = request["options"].get("top_k")
    labels = np.zeros((12, 10, 8), np.uint8)
    labels[2:6, 2:6, 2:6] = 1
    say("Progress", stage="coarse", fraction=0.1)
    boxes = [{"box": {"start": [2, 2, 2], "stop": [8, 8, 8]}, "score": 0.9, "rank": 1},
             {"box": {"start": [0, 0, 0], "stop": [6, 6, 6]}, "score": 0.4, "rank": 2}]
    say("Patches", boxes=boxes, candidates=7)
    say("ClassWeights", weights={"1": 0.83, "2": 0.2, "3": 0.5})
    partial(request, "partial_0000.npy", labels, [0, 0, 0], 0, 2)
    say("Pace", base_seconds=0.5, patch_seconds=2.0, candidates=7)
    say("Progress", stage="patches", fraction=0.5, done=1, total=2, seconds_left=62.0)
    labels[6:9, 2:6, 2:6] = 2
    partial(request, "partial_0001.npy", labels[2:9, 2:8, 2:8], [2, 2, 2], 1, 2)
    END
"""
QUICK = PLAY.replace("END", "finished(request, labels)")
WAITING = PLAY.replace(
    "END",
    "while not stopped(request):\n        time.sleep(0.02)\n    finished(request, labels, complete=False, read=1)",
)
CRASHING = PLAY.replace("END", "time.sleep(0.3); os.abort()")


def moduleWidget():
    """The panel: of the running application, with or without a main window, or loaded into the stand-in."""
    if not hasattr(slicer.modules, "efficientseg"):
        import standin

        return standin.start().load_module(Path(__file__).parents[2] / "EfficientSeg" / "EfficientSeg.py")
    if slicer.util.mainWindow() is not None:
        slicer.util.selectModule("EfficientSeg")
    return slicer.modules.efficientseg.widgetRepresentation().self()


class WidgetCase(unittest.TestCase):
    play = QUICK

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.widget = moduleWidget()
        self.ui, self.logic, self.panel = self.widget.ui, self.widget.logic, self.widget.panel
        self.bundle = makeBundle()
        qt.QSettings().setValue(paces.SETTING, "")
        self.panel._question._paces = paces.Paces()
        self.setting = qt.QSettings().value(bundles.SETTING) or ""
        bundles.add(Path(self.bundle.folder))
        self.panel._model.fill()
        self.panel._probe.stop()
        self.panel._probe.state = TorchState("ok", "2.9")
        self.logic.stop()
        self.makeWorker, self.logic._makeWorker = (
            self.logic._makeWorker,
            lambda python: WorkerProcess(playing(self.play)),
        )
        self.volume = makeVolume(GEOMETRIES["oblique"])
        self.panel.setParameterNode(self.logic.getParameterNode())
        self.node = self.panel._node
        self.node.volume = self.volume
        self.node.bundle = self.bundle.folder

    def tearDown(self) -> None:
        self.logic.stop()
        self.logic._makeWorker = self.makeWorker
        self.logic.forgetScene()
        qt.QSettings().setValue(bundles.SETTING, self.setting)
        qt.QSettings().setValue(paces.SETTING, "")
        self.panel._model.fill()

    def segment(self) -> None:
        self.ui.segmentButton.click()

    def waitForEnd(self):
        self.assertTrue(waitUntil(lambda: not self.logic.running))
        return self.logic.run

    def waitForCoarse(self) -> None:
        self.assertTrue(waitUntil(lambda: self.logic.run.segments.started), self.logic.run.text)

    def result(self):
        return self.logic.run.segments.node

    def leftOvers(self) -> list[Path]:
        """Folders of runs of this application; another one may be at work beside it."""
        return list(run_folder.home().glob(f"{run_folder.PREFIX}{os.getpid()}-*"))


class TestSegment(WidgetCase):
    def test_a_click_gives_an_editable_segmentation(self) -> None:
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(segmentNames(self.result()), ["Liver", "Left kidney"])
        self.assertEqual(int(labelsOf(self.result(), "played_1", self.volume).sum()), 64)
        self.assertIs(self.node.segmentation, self.result())
        self.assertIs(self.ui.segmentsTable.segmentationNode(), self.result())
        self.assertTrue(self.ui.editButton.enabled)
        self.assertIn("Done in 2 s: 2 of 7 patches read, the rest coarse. Not found: Spleen.", self.ui.statusLabel.text)
        self.assertEqual(self.leftOvers(), [])

    def test_effort_reaches_the_worker_and_then_speaks_time(self) -> None:
        self.play = QUICK.replace(
            'k = request["options"].get("top_k")', 'assert request["options"] == {"top_k": 5, "clip_top_k": True}'
        )
        self.ui.effortSlider.value = efforts.EFFORTS.index(5)
        self.assertEqual(self.ui.effortLabel.text, "5 patches")
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(self.ui.effortLabel.text, "≈ 6 s")  # More: 3 of 5 patches are left

    def test_progress_speaks_patches_and_time_left(self) -> None:
        self.play = WAITING
        self.segment()
        self.assertTrue(waitUntil(lambda: "patch 1 of 2, 1 min 02 s left" in self.ui.statusLabel.text))
        self.assertEqual(self.ui.progressBar.value, 500)
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertTrue(self.ui.stopButton.enabled)

    def test_two_clicks_are_one_run(self) -> None:
        self.play = WAITING
        self.segment()
        run = self.logic.run
        self.panel.onSegment()
        self.assertIs(self.logic.run, run)
        again = self.logic.startSegmentation(self.volume, run.parameters)
        self.assertIs(again, run)
        self.assertEqual(len(self.leftOvers()), 1)

    def test_the_coarse_result_is_there_while_patches_are_read(self) -> None:
        self.play = WAITING
        self.segment()
        self.waitForCoarse()
        self.assertTrue(self.logic.running)
        self.assertTrue(waitUntil(lambda: labelsOf(self.result(), "played_2", self.volume).any()))
        self.assertLess(self.result().GetDisplayNode().GetOpacity2DOutline(), 1)

    def test_the_overlay_shows_boxes_weights_and_words(self) -> None:
        self.segment()
        self.waitForEnd()
        overlay = self.logic.overlay
        self.assertEqual(overlay.boxesNode.GetPolyData().GetNumberOfCells(), 12)
        self.assertEqual(self.ui.weightsTable.rowCount, 3)
        self.assertEqual(
            self.ui.weightsLabel.text,
            "Trust the detail patches: Liver. Listen to both: Spleen. Trust the overview: Left kidney.",
        )
        self.assertIn("2 of 7 patches", self.ui.patchesLabel.text)
        self.ui.showBoxesCheckBox.checked = False
        self.assertFalse(overlay.boxesNode.GetDisplayNode().GetVisibility())

    def test_edit_opens_the_segment_editor_with_both(self) -> None:
        if slicer.util.mainWindow() is None:
            self.skipTest("Another module can be opened in a main window only.")
        self.segment()
        self.waitForEnd()
        self.ui.editButton.click()
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        self.assertIs(editor.segmentationNode(), self.result())
        self.assertIs(editor.sourceVolumeNode(), self.volume)
        slicer.util.selectModule("EfficientSeg")

    def test_show_3d_makes_surfaces_and_takes_them_away(self) -> None:
        self.segment()
        self.waitForEnd()
        segmentation = self.result().GetSegmentation()
        self.ui.show3DButton.checked = True
        self.assertTrue(waitUntil(lambda: segmentation.ContainsRepresentation("Closed surface")))
        self.assertTrue(self.result().GetDisplayNode().GetVisibility3D())
        self.ui.show3DButton.checked = False
        self.assertFalse(segmentation.ContainsRepresentation("Closed surface"))
        self.ui.show3DButton.checked = True
        self.panel.runChanged()
        self.assertTrue(self.ui.show3DButton.checked, "it stays down while they are being made")
        self.ui.show3DButton.checked = False
        self.assertFalse(waitUntil(lambda: segmentation.ContainsRepresentation("Closed surface"), 0.3))


class TestStopAndFail(WidgetCase):
    def setUp(self) -> None:
        super().setUp()
        self.segment()
        self.earlier = self.waitForEnd().segments.node
        self.before = labelsOf(self.earlier, "played_1", self.volume)
        self.logic.stop()

    def assertEarlierStands(self) -> None:
        self.assertEqual(segmentNames(self.earlier), ["Liver", "Left kidney"])
        np.testing.assert_array_equal(labelsOf(self.earlier, "played_1", self.volume), self.before)
        self.assertEqual(self.leftOvers(), [])

    def test_stop_keeps_what_is_done(self) -> None:
        self.node.segmentation = None
        self.play = WAITING
        self.segment()
        self.waitForCoarse()
        self.ui.stopButton.click()
        self.assertEqual(self.waitForEnd().state, "stopped")
        self.assertIn("What was done is kept", self.ui.statusLabel.text)
        self.assertTrue(labelsOf(self.result(), "played_1", self.volume).any())
        self.assertEqual(self.leftOvers(), [])

    def test_a_crash_after_the_coarse_result_leaves_the_earlier_segmentation(self) -> None:
        self.play = CRASHING
        self.segment()
        self.assertEqual(self.waitForEnd().state, "failed")
        self.assertIn("crashed", self.ui.statusLabel.text)
        self.assertEarlierStands()

    def test_a_failed_run_into_a_new_segmentation_leaves_the_earlier_one_on_show(self) -> None:
        before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
        self.play = CRASHING
        self.logic.startSegmentation(self.volume, Parameters(self.bundle), self.panel)
        self.assertEqual(self.waitForEnd().state, "failed")
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), before)
        self.assertIs(self.ui.segmentsTable.segmentationNode(), self.earlier)
        self.assertEarlierStands()
        self.assertIs(self.logic.result.segments.node, self.earlier)

    def test_a_failure_says_what_why_and_mend(self) -> None:
        self.play = (
            'def play(request):\n    say("Failed", what="It is an MR.", why="Trained on CT.", mend="Choose a CT.")'
        )
        self.segment()
        self.assertEqual(self.waitForEnd().state, "failed")
        self.assertIn("It is an MR. Trained on CT. Choose a CT.", self.ui.statusLabel.text)
        self.assertEarlierStands()

    def test_a_sheared_volume_is_refused_before_anything_happens(self) -> None:
        axes = np.diag([1.0, 1.0, 2.0])
        axes[1, 2] = 0.4
        self.node.volume = makeVolume(axes, name="tilted")
        self.segment()
        self.assertIn("sheared", self.ui.statusLabel.text)
        self.assertFalse(self.logic.running)
        self.assertEarlierStands()

    def test_undo_brings_the_earlier_result_back(self) -> None:
        self.play = QUICK.replace("labels[2:6, 2:6, 2:6] = 1", "labels[0:2] = 1")
        self.segment()
        self.waitForEnd()
        self.assertFalse(np.array_equal(labelsOf(self.earlier, "played_1", self.volume), self.before))
        self.ui.undoButton.click()
        self.assertEarlierStands()
        self.assertTrue(self.ui.undoButton.enabled, "the first run can be undone as well")
        self.ui.undoButton.click()
        self.assertFalse(self.ui.undoButton.enabled)
        self.assertIsNone(self.node.segmentation)

    def test_deleting_the_volume_ends_the_run_and_writes_nothing(self) -> None:
        self.play = WAITING
        self.segment()
        self.waitForCoarse()
        slicer.mrmlScene.RemoveNode(self.volume)
        self.assertFalse(self.logic.running)
        self.assertEqual(segmentNames(self.earlier), ["Liver", "Left kidney"])
        self.assertIsNone((self.logic.worker and self.logic.worker.running) or None)
        self.assertEqual(self.leftOvers(), [])

    def test_closing_the_scene_ends_the_run(self) -> None:
        self.play = WAITING
        self.segment()
        self.waitForCoarse()
        worker = self.logic.worker
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.logic.running)
        self.assertFalse(worker.running)
        self.assertEqual(self.leftOvers(), [])
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])

    def test_deleting_the_segmentation_ends_the_run(self) -> None:
        self.play = WAITING
        self.segment()
        self.waitForCoarse()
        slicer.mrmlScene.RemoveNode(self.result())
        self.assertFalse(self.logic.running)
        self.assertIn("deleted", self.ui.statusLabel.text)

    def test_another_volume_gets_a_segmentation_of_its_own(self) -> None:
        self.node.volume = makeVolume(GEOMETRIES["axial"], name="second")
        self.assertIsNone(self.node.segmentation)
        self.segment()
        self.waitForEnd()
        self.assertIsNot(self.result(), self.earlier)
        self.assertEqual(self.result().GetName(), "second segmentation")


class TestQuit(WidgetCase):
    play = WAITING

    def test_cleanup_ends_the_worker(self) -> None:
        self.segment()
        self.waitForCoarse()
        worker = self.logic.worker
        self.logic.stop()
        self.assertFalse(worker.running)
        self.assertFalse(self.logic.running)
        self.assertEqual(self.leftOvers(), [])

    def test_left_overs_of_a_crashed_session_are_swept(self) -> None:
        gone = run_folder.home() / f"{run_folder.PREFIX}99999999-1"
        gone.mkdir()
        (gone / "input.nrrd").write_bytes(b"x")
        self.assertIn(gone, run_folder.sweep())
        self.assertFalse(gone.exists())


class TestLogicAlone(WidgetCase):
    def test_it_needs_no_panel(self) -> None:
        logic = type(self.logic)(lambda python: WorkerProcess(playing(QUICK)))
        try:
            run = logic.startSegmentation(self.volume, Parameters(self.bundle, patches=2), waitForCompletion=True)
            self.assertEqual(run.state, "done")
            self.assertEqual(segmentNames(run.segments.node), ["Liver", "Left kidney"])
        finally:
            logic.stop()


if __name__ == "__main__":
    unittest.main()
