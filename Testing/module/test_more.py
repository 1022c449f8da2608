"""More, and Undo as a chain of runs: nothing is read twice, and every fault leaves the last result."""

import unittest

import numpy as np
import slicer
from bench import GEOMETRIES, makeVolume, waitUntil
from chain import PLACE, ChainCase

from EfficientSegBridge import efforts
from EfficientSegLib.errors import OptionError


class TestMore(ChainCase):
    def test_segment_becomes_more_and_goes_on(self) -> None:
        self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")
        self.begin(2)
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.assertIn("Read patches 3 to 5 of 7", self.ui.segmentButton.toolTip)
        self.assertIn("nothing is read twice", self.ui.segmentButton.toolTip)
        self.assertIn("About 7 s", self.ui.segmentButton.toolTip)
        self.assertEqual(self.widths(), [0, 4, 4, 4, 5, 5, 5, 5, 4, 4, 4, 0])
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(self.said(), [[3, 2], [1, 4, 0]])
        self.assertEqual(efforts.EFFORTS[self.node.effort], 5)
        self.assertEqual(self.widths(), [0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 0])

    def test_when_all_is_read_it_is_segment_again(self) -> None:
        self.begin(2)
        self.node.effort = efforts.EFFORTS.index(None)
        self.segment()
        self.waitForEnd()
        self.assertEqual(self.logic.run.patchesRead, 7)
        self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")
        self.assertFalse(self.ui.anewButton.enabled)

    def test_another_volume_or_model_or_place_is_segment(self) -> None:
        self.begin(2)
        second = makeVolume(GEOMETRIES["axial"], name="second")
        self.node.volume = second
        self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")
        self.node.volume = self.volume
        self.node.segmentation = self.logic.result.segments.node
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.node.segmentation = None
        self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")

    def test_segment_anew_begins_from_nothing(self) -> None:
        self.begin(2)
        self.ui.anewButton.click()
        self.waitForEnd()
        self.assertEqual(self.said()[-1], [3, 2])
        self.assertFalse(self.logic.run.continues)

    def test_what_the_user_changed_stays_and_undo_goes_back_one_step_each(self) -> None:
        self.begin(2)
        image = self.logic.run.segments._image
        image.voxels.T[5, 2:7, 2:6] = 0  # erased by hand, inside a patch that was read
        self.segment()
        self.waitForEnd()
        self.assertEqual(self.widths(), [0, 5, 5, 5, 5, 0, 5, 5, 5, 5, 4, 0])
        self.ui.undoButton.click()
        self.assertEqual(self.widths(), [0, 4, 4, 4, 5, 0, 5, 5, 4, 4, 4, 0])
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.assertEqual(self.logic.overlay.boxesNode.GetPolyData().GetNumberOfCells(), 2 * 6)
        self.ui.undoButton.click()
        self.assertIsNone(self.ui.segmentsTable.segmentationNode())

    def test_after_the_workers_death_more_is_computed_anew_and_says_so(self) -> None:
        self.begin(2)
        self.logic.worker.stop()
        self.panel._showState()
        self.assertIn("computed anew", self.ui.segmentButton.toolTip)
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertIn("Everything is computed anew.", self.ui.statusLabel.text)
        self.assertEqual(self.widths(), [0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 0])

    def test_stop_during_more_keeps_and_more_goes_on(self) -> None:
        self.begin(2)
        self.logic.worker.slow = True
        self.segment()
        self.assertTrue(waitUntil(lambda: self.logic.run.segments.started))
        self.ui.stopButton.click()
        self.assertEqual(self.waitForEnd().state, "stopped")
        self.assertEqual(self.ui.segmentButton.text, "More")

    def test_without_a_result_there_is_nothing_to_go_on_from(self) -> None:
        with self.assertRaisesRegex(OptionError, "Click Segment first"):
            self.logic.more(5)


class TestFaults(ChainCase):
    """Every fault again, while More or Refine here is at work."""

    def setUp(self) -> None:
        super().setUp()
        self.begin(2)
        self.before = self.liver()
        self.earlier = self.result()
        self.logic.worker.slow = True
        self.segment()
        self.assertTrue(waitUntil(lambda: self.logic.run.segments.started), self.logic.run.text)

    def assertEarlierStands(self) -> None:
        np.testing.assert_array_equal(self.liver(), self.before)
        self.assertEqual(self.leftOvers(), [])
        self.assertEqual(self.earlier.GetDisplayNode().GetOpacity2DOutline(), 1.0)

    def test_the_worker_is_killed(self) -> None:
        self.logic.worker.die()
        self.assertEqual(self.waitForEnd().state, "failed")
        self.assertIn("memory", self.ui.statusLabel.text)
        self.assertEarlierStands()
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.assertIsNotNone(self.logic.overlay.boxesNode, "the boxes of the result that stands")
        self.logic.worker.slow = False
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done")

    def test_the_scene_is_closed(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.logic.running)
        self.assertIsNone(self.logic.result)
        self.assertEqual(self.leftOvers(), [])

    def test_the_volume_is_deleted(self) -> None:
        slicer.mrmlScene.RemoveNode(self.volume)
        self.assertFalse(self.logic.running)
        self.assertIsNone(self.logic.result)
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertEqual(self.leftOvers(), [])

    def test_the_segmentation_is_deleted(self) -> None:
        slicer.mrmlScene.RemoveNode(self.earlier)
        self.assertFalse(self.logic.running)
        self.assertIn("deleted", self.ui.statusLabel.text)
        self.assertIsNone(self.logic.result)
        self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")

    def test_the_module_is_left_and_entered_again(self) -> None:
        self.widget.exit()
        self.widget.enter()
        self.panel._probe.stop()
        self.assertTrue(self.logic.running)
        self.ui.stopButton.click()
        self.assertEqual(self.waitForEnd().state, "stopped")
        self.assertIs(self.node.segmentation, self.earlier)

    def test_another_volume_is_chosen_by_the_scene(self) -> None:
        other = makeVolume(GEOMETRIES["axial"], name="other")
        self.node.volume = other
        self.ui.stopButton.click()
        self.assertEqual(self.waitForEnd().state, "stopped")
        self.assertIsNone(self.node.segmentation, "the result belongs to the first volume")
        self.assertIs(self.logic.result.segments.node, self.earlier)
        self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")

    def test_a_segment_is_deleted_meanwhile(self) -> None:
        liver = self.logic.run.segments.segmentId(self.bundle.labels[0])
        self.earlier.GetSegmentation().RemoveSegment(liver)
        self.ui.stopButton.click()
        self.assertEqual(self.waitForEnd().state, "stopped")
        self.assertIsNone(self.earlier.GetSegmentation().GetSegment(liver))

    def test_the_user_paints_meanwhile(self) -> None:
        image = self.logic.run.segments._image
        image.voxels.T[6, 2:7, 2:6] = 0
        image.modified()
        self.ui.stopButton.click()
        self.waitForEnd()
        self.assertEqual(self.widths()[6], 0)

    def test_refine_here_while_the_worker_dies_is_dropped(self) -> None:
        run = self.logic.run
        self.logic.refineHere([PLACE])
        self.logic.run.abandon("gone")
        waitUntil(lambda: False, 0.1)
        self.assertIs(self.logic.run, run)
        self.assertEarlierStands()


if __name__ == "__main__":
    unittest.main()
