"""Coarse ⇄ refined, and the refined area: to look at, and never to alter what is kept."""

import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import GEOMETRIES, SHAPE, labelsOf, makeFolder, makeVolume, waitUntil
from chain import ChainCase, labels

from EfficientSegBridge import coverage, nodes, overlay_image, overlay_nodes
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, asArray
from EfficientSegLib.geometry import PatchBox, ScoredBox


class TestBlink(ChainCase):
    def blink(self) -> None:
        shown = self.logic.overlay.coarseIsShown
        self.ui.blinkButton.click()
        self.assertTrue(waitUntil(lambda: self.logic.overlay.coarseIsShown is not shown, 5))

    def shown(self) -> np.ndarray:
        """The liver that the views show."""
        coarse, refined = overlay_nodes.find("coarse"), self.result()
        visible = [node for node in (coarse, refined) if node is not None and node.GetDisplayNode().GetVisibility()]
        self.assertEqual(len(visible), 1)
        segmentId = "1" if visible[0] is coarse else self.logic.run.segments.segmentId(self.bundle.labels[0])
        return labelsOf(visible[0], segmentId, self.volume)

    def test_there_is_nothing_to_compare_before_a_run(self) -> None:
        self.assertFalse(self.ui.blinkButton.enabled)

    def test_it_shows_the_coarse_labels_and_the_refined_ones_again(self) -> None:
        self.begin(5)
        refined = labels([3, 2, 1, 4, 0]) == 1
        np.testing.assert_array_equal(self.shown(), refined)
        self.blink()
        np.testing.assert_array_equal(self.shown(), labels([]) == 1)
        self.assertTrue(self.ui.blinkButton.checked)
        self.blink()
        np.testing.assert_array_equal(self.shown(), refined)

    def test_nothing_that_the_user_edits_is_touched(self) -> None:
        self.begin(5)
        image = self.logic.run.segments._image.image
        self.blink()
        self.logic.run.segments._image.voxels.T[5, 3, 3] = 0
        edited, pointer = asArray(image).copy(), image.GetPointData().GetScalars()
        self.blink()
        np.testing.assert_array_equal(asArray(image), edited)
        self.assertIs(image.GetPointData().GetScalars(), pointer)

    def test_it_works_during_a_run_and_ends_with_the_next_one(self) -> None:
        self.slow = True
        self.segment()
        self.assertTrue(waitUntil(lambda: self.ui.blinkButton.enabled, 10))
        self.blink()
        self.logic.worker.slow = False
        self.ui.stopButton.click()
        self.waitForEnd()
        self.assertTrue(self.logic.overlay.coarseIsShown, "the end of a run does not change what is looked at")
        self.segment()  # More
        self.assertFalse(self.logic.overlay.coarseIsShown)
        self.assertFalse(self.ui.blinkButton.checked)
        self.waitForEnd()
        self.assertTrue(self.result().GetDisplayNode().GetVisibility())

    def test_names_colours_and_hidden_segments_are_the_same(self) -> None:
        self.begin(5)
        segmentId = self.logic.run.segments.segmentId(self.bundle.labels[0])
        self.result().GetSegmentation().GetSegment(segmentId).SetName("Leber")
        self.result().GetDisplayNode().SetSegmentVisibility(segmentId, False)
        self.blink()
        coarse = overlay_nodes.find("coarse")
        self.assertEqual(coarse.GetSegmentation().GetSegment("1").GetName(), "Leber")
        self.assertFalse(coarse.GetDisplayNode().GetSegmentVisibility("1"))

    def test_undo_and_close_show_the_refined_result(self) -> None:
        self.begin(5)
        self.segment()
        self.waitForEnd()
        self.blink()
        self.ui.undoButton.click()
        self.assertFalse(self.logic.overlay.coarseIsShown)
        self.assertTrue(self.result().GetDisplayNode().GetVisibility())
        self.blink()
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.ui.blinkButton.enabled)

    def test_deleting_the_result_while_coarse_is_shown(self) -> None:
        self.begin(5)
        self.blink()
        slicer.mrmlScene.RemoveNode(self.result())
        self.ui.blinkButton.click()
        self.assertFalse(self.logic.overlay.coarseIsShown)

    def test_a_segment_hidden_while_coarse_is_shown_is_hidden_there_too(self) -> None:
        self.begin(5)
        self.blink()
        segmentId = self.logic.run.segments.segmentId(self.bundle.labels[0])
        self.result().GetDisplayNode().SetSegmentVisibility(segmentId, False)
        coarse = overlay_nodes.find("coarse").GetDisplayNode()
        self.assertFalse(coarse.GetSegmentVisibility("1"))
        self.result().GetDisplayNode().SetSegmentVisibility(segmentId, True)
        self.assertTrue(coarse.GetSegmentVisibility("1"))
        self.blink()
        self.result().GetDisplayNode().SetSegmentVisibility(segmentId, False)
        self.assertTrue(coarse.GetSegmentVisibility("1"), "nobody looks at it any more")

    def test_a_segmentation_that_is_hidden_as_a_whole_does_not_pop_up(self) -> None:
        self.begin(5)
        self.result().GetDisplayNode().SetVisibility(False)
        self.blink()
        self.blink()
        self.assertFalse(self.result().GetDisplayNode().GetVisibility())


class TestLoaded(ChainCase):
    """After the scene was saved and loaded there is no run that holds the coarse labels; the record does."""

    def setUp(self) -> None:
        super().setUp()
        self.begin(5)
        self.assertTrue(waitUntil(lambda: not self.logic.run.keeper.busy))

    def reload(self) -> None:
        path = str(Path(makeFolder()) / "Dr. Jöhn Ωé.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.ui.blinkButton.enabled)
        slicer.util.loadScene(path)
        self.widget.enter()
        self.volume = slicer.util.getNode("CT")
        self.node = self.panel.parameterNode

    def liverOf(self, node, segmentId: str) -> np.ndarray:
        return labelsOf(node, segmentId, self.volume)

    def blink(self) -> None:
        shown = self.logic.overlay.coarseIsShown
        self.ui.blinkButton.click()
        self.assertTrue(waitUntil(lambda: self.logic.overlay.coarseIsShown is not shown, 5))

    def test_it_shows_the_coarse_labels_of_before(self) -> None:
        self.reload()
        self.assertIsNone(self.logic.result)
        self.assertTrue(self.ui.blinkButton.enabled)
        self.blink()
        refined, coarse = self.node.segmentation, overlay_nodes.find("coarse")
        np.testing.assert_array_equal(self.liverOf(coarse, "1"), labels([]) == 1)
        self.assertFalse(refined.GetDisplayNode().GetVisibility())
        self.blink()
        self.assertTrue(refined.GetDisplayNode().GetVisibility())
        np.testing.assert_array_equal(self.liverOf(refined, "played_1"), labels([3, 2, 1, 4, 0]) == 1)

    def test_a_scene_saved_while_coarse_is_shown_is_loaded_refined(self) -> None:
        self.blink()
        self.reload()
        self.assertFalse(self.logic.overlay.coarseIsShown)
        self.assertIsNone(overlay_nodes.find("coarse"))
        self.assertTrue(self.node.segmentation.GetDisplayNode().GetVisibility())
        names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")]
        self.assertEqual(len(names), 2, names)  # the result's and the refined area's

    def test_what_the_user_has_edited_stays_and_is_seen_in_both(self) -> None:
        self.logic.run.segments._image.voxels.T[5, 3, 3] = 0
        self.reload()
        self.blink()
        expected = labels([]) == 1
        expected[5, 3, 3] = False
        np.testing.assert_array_equal(self.liverOf(overlay_nodes.find("coarse"), "1"), expected)

    def test_a_record_that_does_not_hold_it_says_why(self) -> None:
        node = self.result().GetNodeReference("EfficientSeg.Changes")
        node.SetText(node.GetText().replace('"kept": "all"', '"kept": "places"'))
        self.reload()
        self.assertFalse(self.ui.blinkButton.enabled)
        self.assertIn("changed so much", self.ui.blinkButton.toolTip)

    def test_a_damaged_record_is_said_and_harms_nothing(self) -> None:
        self.reload()
        node = self.node.segmentation.GetNodeReference("EfficientSeg.Changes")
        node.SetText(node.GetText().replace('"shape": [12', '"shape": [24'))
        self.panel.runChanged()
        self.ui.blinkButton.click()
        self.assertTrue(waitUntil(lambda: "another volume" in self.ui.statusLabel.text, 5))
        self.assertFalse(self.ui.blinkButton.checked)
        self.assertTrue(self.node.segmentation.GetDisplayNode().GetVisibility())


class TestCoverage(ChainCase):
    def covered(self) -> np.ndarray:
        node = overlay_nodes.find("coverage")
        return labelsOf(node, coverage.SEGMENT, self.volume)

    def test_it_grows_with_what_was_read(self) -> None:
        self.begin(2)
        expected = np.zeros(SHAPE, bool)
        expected[4:8] = True  # patches 3 and 2
        np.testing.assert_array_equal(self.covered(), expected)
        self.segment()
        self.waitForEnd()
        expected[:10] = True
        np.testing.assert_array_equal(self.covered(), expected)
        self.ui.undoButton.click()
        expected[:4], expected[8:] = False, False
        np.testing.assert_array_equal(self.covered(), expected)

    def test_the_box_shows_it_in_slices_and_not_in_3d(self) -> None:
        self.begin(2)
        display = overlay_nodes.find("coverage").GetDisplayNode()
        self.assertFalse(display.GetVisibility())
        self.ui.showCoverageCheckBox.click()
        self.assertTrue(display.GetVisibility())
        self.assertFalse(display.GetVisibility3D())
        self.assertLess(display.GetOpacity2DFill(), 0.3)
        self.ui.showCoverageCheckBox.click()
        self.assertFalse(display.GetVisibility())

    def test_it_is_no_place_for_a_result(self) -> None:
        self.begin(2)
        self.assertTrue(overlay_nodes.find("coverage").GetHideFromEditors())
        listed = [self.ui.segmentationSelector.nodeFromIndex(index) for index in range(3)]
        self.assertNotIn(overlay_nodes.find("coverage"), listed)


class TestLargeVolume(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def test_larger_voxels_lie_where_the_volumes_are(self) -> None:
        shape = (300, 20, 10)
        volume = makeVolume(GEOMETRIES["oblique"], shape=shape, array=np.zeros(shape, np.int16))
        scored = ScoredBox(PatchBox((60, 5, 2), (151, 15, 8)), 0.5, 1)
        coverage.show([scored], volume, True)
        node = overlay_nodes.find("coverage")
        image = node.GetSegmentation().GetSegment(coverage.SEGMENT).GetRepresentation(BINARY_LABELMAP)
        self.assertLessEqual(max(image.GetDimensions()), overlay_image.MOST)
        found = labelsOf(node, coverage.SEGMENT, volume)
        exact = np.zeros(shape, bool)
        exact[scored.box.slices()] = True
        differs = np.flatnonzero((found != exact).any(axis=(1, 2)))
        self.assertTrue(all(min(abs(i - 60), abs(i - 151)) <= 2 for i in differs), differs)
        self.assertEqual(nodes.shape(volume), shape)

    def test_every_voxel_is_its_own_where_there_are_few(self) -> None:
        mask = coverage.covered([ScoredBox(PatchBox((1, 2, 3), (4, 6, 8)), 0.5, 1)], (10, 11, 12))
        self.assertEqual(int(mask.sum()), 3 * 4 * 5)
        self.assertTrue(mask[3:8, 2:6, 1:4].all())


if __name__ == "__main__":
    unittest.main()
