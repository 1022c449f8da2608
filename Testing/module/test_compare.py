"""Compare: real clicks on two ways of one volume; a worker that is played gives each another answer."""

import sys
import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
from bench import labelsOf, makeFolder, makeVolume, segmentNames, waitUntil
from test_widget import WidgetCase

from EfficientSegBridge import comparison_views, comparison_words, efforts

# Coarse only gives a cube of 64 voxels, patches give twice as much.
PLAY = """
def play(request):
    compared = request["output_dir"].endswith(("A", "B"))
    assert os.path.isfile(request["input"]) and request["keep"] != compared
    labels = np.zeros((12, 10, 8), np.uint8)
    labels[2:6, 2:6, 2:6] = 1
    if request["options"].get("top_k") != 0:
        labels[6:10, 2:6, 2:6] = 1
    say("Patches", boxes=[], candidates=7)
    say("Progress", stage="patches", fraction=0.5, done=1, total=2, seconds_left=62.0)
    if compared and request["options"].get("top_k") != 0:
        say("Pace", base_seconds=2.0, patch_seconds=3.0, candidates=7)
    SOMETHING
    read = min(request["options"].get("top_k", 7), 7)
    finished(request, labels, complete=not stopped(request), read=read, total=read)
"""
QUICK = PLAY.replace("SOMETHING", "")
WAITING = PLAY.replace("SOMETHING", "while not stopped(request):\n        time.sleep(0.02)")
SECOND_WAITS = PLAY.replace(
    "SOMETHING",
    'while request["output_dir"].endswith("B") and not stopped(request):\n        time.sleep(0.02)',
)
SECOND_FAILS = PLAY.replace(
    "SOMETHING",
    'if request["output_dir"].endswith("B"):\n'
    '        say("Failed", what="No memory.", why="2 GB are free.", mend="Close something.")\n        return',
)


class CompareCase(WidgetCase):
    play = QUICK

    def setUp(self) -> None:
        super().setUp()
        self.comparison = self.logic.comparison
        self.layout = slicer.app.layoutManager().layout if slicer.app.layoutManager() else None
        self.ui.compareSectionButton.collapsed = True
        self.ui.compareSectionButton.collapsed = False
        self.ui.compareEffortA.currentIndex, self.ui.compareEffortB.currentIndex = 0, efforts.USUAL
        self.addCleanup(self.restore)

    def restore(self) -> None:
        self.comparison.forget()
        if slicer.app.layoutManager():
            slicer.app.layoutManager().setLayout(self.layout)

    def compare(self) -> None:
        self.ui.compareStartButton.click()

    def wait(self) -> None:
        self.assertTrue(waitUntil(lambda: not self.comparison.running, 60), self.comparison.text)

    def rows(self) -> dict[str, tuple[str, ...]]:
        table = self.ui.compareTable
        rows = ([table.item(row, column).text() for column in range(4)] for row in range(table.rowCount))
        return {name: tuple(said) for name, *said in rows}

    def segmentations(self) -> set[str]:
        return {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}


class TestComparing(CompareCase):
    def test_two_efforts_of_a_model_become_two_segmentations_and_a_table(self) -> None:
        self.assertEqual(self.ui.compareBundleA.currentText, "Played bundle")
        self.assertEqual(self.ui.compareEffortA.currentText, "overview only")
        self.compare()
        self.assertTrue(
            waitUntil(lambda: self.ui.compareStatusLabel.text.startswith(("A: patch 1 of 2", "B:", "A and B")))
        )
        self.wait()
        self.assertEqual(self.comparison.state, "done", self.comparison.text)
        one, other = (side.node for side in self.comparison.sides)
        self.assertEqual(
            (one.GetName(), other.GetName()),
            ("A: Played bundle, nmsw, overview only", "B: Played bundle, nmsw, 30 patches"),
        )
        counts = [int(labelsOf(node, "played_1", self.volume).sum()) for node in (one, other)]
        self.assertEqual(counts, [64, 128])
        ml = abs(np.linalg.det(slicer.util.arrayFromVTKMatrix(self.ijkToRas())[:3, :3])) / 1000
        rows = self.rows()
        self.assertEqual(rows["Liver"], (f"{64 * ml:.1f} ml", f"{128 * ml:.1f} ml", f"{2 * 64 / 192:.3f}"))
        self.assertEqual(rows["Spleen"], ("not found", "not found", "–"))
        self.assertEqual(rows["Patches read"], ("0 of 7", "7 of 7", ""))
        self.assertEqual((rows["Time"], rows["Memory"]), (("2 s", "2 s", ""), ("100.0 MB", "100.0 MB", "")))
        self.assertEqual(self.leftOvers(), [])

    def ijkToRas(self):
        import vtk

        matrix = vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(matrix)
        return matrix

    def test_nothing_of_the_users_changes(self) -> None:
        self.segment()
        self.waitForEnd()
        mine = self.result()
        before = labelsOf(mine, "played_1", self.volume).copy()
        tag = mine.GetSegmentation().GetMTime()
        visible = mine.GetDisplayNode().GetVisibility()
        self.compare()
        self.wait()
        self.assertEqual(mine.GetSegmentation().GetMTime(), tag)
        np.testing.assert_array_equal(labelsOf(mine, "played_1", self.volume), before)
        self.assertEqual(segmentNames(mine), ["Liver"])
        self.assertIs(self.node.segmentation, mine)
        self.assertIs(self.logic.result, self.logic.run)
        self.ui.compareViewsButton.click()
        self.assertEqual(mine.GetDisplayNode().GetVisibility(), visible)
        self.assertEqual(mine.GetDisplayNode().GetNumberOfViewNodeIDs(), 0)

    def test_what_was_timed_is_remembered_for_the_next_run(self) -> None:
        self.assertEqual(self.ui.effortLabel.text, "30 patches")
        self.compare()
        self.wait()
        self.assertEqual(self.ui.effortLabel.text, "≈ 23 s")  # 2 s and seven patches of 3 s

    def test_another_method_reads_everything_and_has_no_effort(self) -> None:
        self.ui.compareStrategyB.currentIndex = self.ui.compareStrategyB.findText("sliding_window")
        self.assertTrue(self.ui.compareEffortA.enabled)
        self.assertFalse(self.ui.compareEffortB.enabled)
        self.compare()
        self.wait()
        self.assertEqual(self.comparison.sides[1].node.GetName(), "B: Played bundle, sliding_window")

    def test_the_same_twice_is_refused_in_words(self) -> None:
        self.ui.compareEffortB.currentIndex = self.ui.compareEffortA.currentIndex
        self.compare()
        self.assertIn("A and B are the same.", self.ui.compareStatusLabel.text)
        self.assertFalse(self.comparison.running)

    def test_a_run_and_a_comparison_refuse_each_other(self) -> None:
        self.play = WAITING
        self.compare()
        self.assertTrue(waitUntil(lambda: self.comparison.text.startswith("A: patch")))
        self.segment()
        self.assertFalse(self.logic.running)
        self.assertTrue(self.ui.statusLabel.text)
        self.ui.compareStopButton.click()
        self.wait()
        self.segment()
        self.assertTrue(waitUntil(lambda: self.logic.running))
        self.panel.runChanged()
        self.assertFalse(self.ui.compareStartButton.enabled)
        self.logic.stopSegmentation()
        self.waitForEnd()

    def test_stopping_a_leaves_nothing(self) -> None:
        self.play = WAITING
        before = self.segmentations()
        self.compare()
        self.assertTrue(waitUntil(lambda: self.comparison.text.startswith("A: patch")))
        self.ui.compareStopButton.click()
        self.wait()
        self.assertEqual(self.comparison.state, "stopped")
        self.assertEqual((self.segmentations(), self.leftOvers()), (before, []))
        self.assertIn("Stopped before both", self.ui.compareStatusLabel.text)

    def test_stopping_b_keeps_what_it_has(self) -> None:
        self.play = SECOND_WAITS
        self.compare()
        self.assertTrue(waitUntil(lambda: self.comparison.text.startswith("B: patch")), self.comparison.text)
        self.ui.compareStopButton.click()
        self.wait()
        self.assertEqual(self.comparison.state, "done")
        self.assertIn("B was stopped early", self.ui.compareStatusLabel.text)
        self.assertIn("Liver", self.rows())

    def test_a_failure_is_said_and_leaves_nothing(self) -> None:
        self.play = SECOND_FAILS
        before = self.segmentations()
        self.compare()
        self.wait()
        self.assertIn("B: No memory. 2 GB are free. Close something.", self.ui.compareStatusLabel.text)
        self.assertEqual((self.segmentations(), self.leftOvers()), (before, []))
        self.assertEqual(self.rows(), {})

    def test_the_volume_or_the_scene_may_go_meanwhile(self) -> None:
        self.play = SECOND_WAITS
        self.compare()
        self.assertTrue(waitUntil(lambda: self.comparison.text.startswith("B: patch")))
        slicer.mrmlScene.RemoveNode(self.volume)
        self.comparison.stop()
        self.wait()
        self.assertIn("The volume was deleted.", self.comparison.text)
        self.assertEqual(self.leftOvers(), [])
        self.node.volume = makeVolume(name="CT 2")
        self.compare()
        self.assertTrue(waitUntil(lambda: self.comparison.text.startswith("B: patch")))
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.comparison.running)
        self.assertEqual(self.leftOvers(), [])


@unittest.skipUnless(slicer.app.layoutManager(), "There are no views without a main window.")
class TestViews(CompareCase):
    def setUp(self) -> None:
        super().setUp()
        self.manager = slicer.app.layoutManager()
        self.other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "of the user")
        self.other.CreateDefaultDisplayNodes()
        self.compare()
        self.wait()

    def views(self, node) -> list[str]:
        display = node.GetDisplayNode()
        ids = [display.GetNthViewNodeID(number) for number in range(display.GetNumberOfViewNodeIDs())]
        return [slicer.mrmlScene.GetNodeByID(view).GetLayoutName() for view in ids]

    def test_each_has_linked_views_of_its_own_and_the_users_segmentation_keeps_to_its_own(self) -> None:
        self.assertEqual(self.manager.layout, comparison_views.LAYOUT)
        one, other = (side.node for side in self.comparison.sides)
        self.assertEqual(self.views(one), ["EfficientSegA1", "EfficientSegA2"])
        self.assertEqual(self.views(other), ["EfficientSegB1", "EfficientSegB2"])
        self.assertIn("Red", self.views(self.other))
        self.assertFalse([name for name in self.views(self.other) if name.startswith("EfficientSeg")])
        for side in comparison_views.SIDES:
            for name, orientation in zip(comparison_views.names(side), ("Axial", "Coronal")):
                widget = self.manager.sliceWidget(name)
                composite = widget.sliceLogic().GetSliceCompositeNode()
                self.assertEqual(composite.GetBackgroundVolumeID(), self.volume.GetID())
                self.assertTrue(composite.GetLinkedControl())
                self.assertEqual(widget.mrmlSliceNode().GetOrientation(), orientation)
                self.assertEqual(widget.mrmlSliceNode().GetViewGroup(), comparison_views.GROUP)

    def test_a_second_click_brings_the_users_own_views_back(self) -> None:
        self.assertEqual(self.ui.compareViewsButton.text, "My own views")
        self.ui.compareViewsButton.click()
        self.assertEqual(self.manager.layout, self.layout)
        self.assertEqual(self.views(self.other), [])
        one = self.comparison.sides[0].node
        self.assertEqual((self.views(one), one.GetDisplayNode().GetVisibility()), ([], 0))
        self.ui.compareViewsButton.click()
        self.assertEqual(self.manager.layout, comparison_views.LAYOUT)
        self.assertEqual(one.GetDisplayNode().GetVisibility(), 1)

    def test_choosing_another_layout_ends_it_too(self) -> None:
        self.manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        self.assertEqual(self.views(self.other), [])
        self.panel.runChanged() if self.logic.run else None
        self.assertEqual(self.manager.layout, slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)

    def test_closing_the_scene_brings_the_users_own_views_back(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.assertTrue(waitUntil(lambda: self.manager.layout == self.layout))
        self.assertFalse(self.ui.compareViewsButton.enabled)

    def test_a_scene_saved_meanwhile_is_loaded_with_the_users_own_views(self) -> None:
        path = str(Path(makeFolder()) / "compared.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        self.assertEqual(self.manager.layout, comparison_views.LAYOUT, "saving changes nothing of what is seen")
        slicer.mrmlScene.Clear(0)
        self.assertTrue(waitUntil(lambda: self.manager.layout == self.layout))
        before = {node.GetLayoutName() for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
        slicer.util.loadScene(path)
        self.widget.onSceneEndImport(None, None)
        waitUntil(lambda: False, 0.1)
        self.assertEqual(self.manager.layout, self.layout)
        after = {node.GetLayoutName() for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
        self.assertEqual(after, before, "views of ours were saved")
        other = slicer.util.getNode("of the user")
        self.assertEqual((self.views(other), other.GetDisplayNode().GetVisibility()), ([], 1))
        for letter in comparison_views.SIDES:
            (node,) = slicer.util.getNodes(f"{letter}: Played*").values()
            self.assertEqual((self.views(node), node.GetDisplayNode().GetVisibility()), ([], 0))

    def test_the_users_layout_is_saved_with_a_scene_again_afterwards(self) -> None:
        layoutNode = self.manager.layoutLogic().GetLayoutNode()
        self.assertFalse(layoutNode.GetSaveWithScene())
        self.ui.compareViewsButton.click()
        self.assertTrue(layoutNode.GetSaveWithScene())

    def test_deleted_results_are_not_shown(self) -> None:
        self.ui.compareViewsButton.click()
        slicer.mrmlScene.RemoveNode(self.comparison.sides[0].node)
        self.ui.compareViewsButton.click()
        self.assertIn("not in the scene any more", self.ui.compareStatusLabel.text)


@unittest.skipUnless("standin" in sys.modules, "Inside Slicer there are screenshots of one's own.")
class TestPicture(CompareCase):
    def test_it_fits_350_pixels(self) -> None:
        import standin

        self.compare()
        self.wait()
        output = Path(__file__).resolve().parents[1] / "output"
        output.mkdir(exist_ok=True)
        for name, dark in (("light", False), ("dark", True)):
            path = output / f"compare-{name}.png"
            standin.start().screenshot_panel(self.widget.parent, path, width=350, dark=dark)
            self.assertEqual(qt.QImage(str(path)).width(), 350)
        self.assertLessEqual(self.widget.parent.minimumSizeHint.width(), 350)


class TestWords(unittest.TestCase):
    def test_efforts_are_named_as_on_the_slider(self) -> None:
        said = comparison_words.effortChoices()
        self.assertEqual((said[0], said[efforts.USUAL], said[-1]), ("overview only", "30 patches", "every patch"))


if __name__ == "__main__":
    unittest.main()
