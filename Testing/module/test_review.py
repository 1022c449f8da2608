"""The review list: its order and state without widgets, what rejecting writes, and clicks and keys in the panel."""

import sys
import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import GEOMETRIES, SHAPE, labelsOf, makeBundle, makeVolume, segmentNames, waitUntil
from test_statistics import makeSegmentation, through
from test_why import ReviewedCase

from EfficientSegBridge import changes, review_words, swap_labels
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.highlight import Highlight
from EfficientSegBridge.review import Review
from EfficientSegBridge.review_table import AMOUNT, SIGN, WHERE, WHY
from EfficientSegBridge.segment_parts import BINARY_LABELMAP
from EfficientSegBridge.swap_labels import Swapped
from EfficientSegBridge.volume_image import VolumeImage, asArray
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.protocol import Place, Reviewed, SegmentRefinement

BOX = PatchBox((0, 0, 0), (2, 2, 2))
PLACES = tuple(Place(BOX, value, "changed", 1 - n / 10, 1.0) for n, value in enumerate((2, 1, 2, 3)))


class TestReview(unittest.TestCase):
    def test_it_goes_through_the_places_in_the_order_given(self) -> None:
        review = Review(PLACES)
        self.assertEqual((review.current, review.seen, review.listed), (-1, 0, [0, 1, 2, 3]))
        review.goTo(review.following(1))
        review.goTo(review.following(1))
        self.assertEqual((review.current, review.seen), (1, 2))
        review.goTo(review.following(-1))
        self.assertEqual((review.current, review.following(-1), review.seen), (0, 0, 2))

    def test_the_next_open_one_is_below_and_then_from_the_top(self) -> None:
        review = Review(PLACES)
        review.goTo(2)
        review.decide("accepted")
        self.assertEqual(review.nextOpen(), 3)
        review.goTo(3)
        self.assertEqual(review.nextOpen(), 0)
        for index in (0, 1):
            review.goTo(index)
        self.assertEqual(review.nextOpen(), -1)

    def test_one_structure_alone(self) -> None:
        review = Review(PLACES)
        self.assertEqual(review.values, [2, 1, 3])
        review.goTo(1)
        review.show(2)
        self.assertEqual((review.listed, review.current, review.seen), ([0, 2], -1, 0))
        self.assertEqual((review.following(1), review.following(-1)), (0, 2))

    def test_its_state_comes_back_and_nonsense_does_not(self) -> None:
        review = Review(PLACES)
        review.goTo(2)
        review.decide("rejected")
        again = Review(PLACES, review.toJson())
        self.assertEqual((again.current, again.state(2), again.seen), (2, "rejected", 1))
        for nonsense in ({"states": ["seen"]}, {"states": 3, "current": 99}, {"current": "x"}, {"states": ["x"] * 4}):
            again = Review(PLACES, nonsense)
            self.assertEqual((again.current, again.seen), (-1, 0))

    def test_decisions_outlive_more_patches_where_nothing_is_new(self) -> None:
        first, second = (Place(BOX.shifted((n, 0, 0)), 1, "changed", 0.5, 1.0) for n in range(2))
        review = Review((first, second))
        for index in (0, 1):
            review.goTo(index)
            review.decide("accepted")
        more = Place(first.box, 1, "changed", 0.5, 2.5)
        less = Place(second.box, 1, "changed", 0.1, 1.0)  # less worth a look beside what has come, yet the same
        later = Review((more, Place(BOX, 2, "changed", 0.3, 1.0), less))
        later.takeOver(review)
        self.assertEqual([later.state(index) for index in range(3)], ["open", "open", "accepted"])

    def test_nothing_to_review(self) -> None:
        review = Review(())
        self.assertEqual((review.following(1), review.nextOpen(), review.place), (-1, -1, None))

    def test_the_figure_that_is_cited_was_measured_and_says_no_confidence(self) -> None:
        measured = review_words.MEASURED
        said = review_words.explanation() + review_words.explanationTip()
        self.assertIn(f"{round(100 * measured.found)}\u00a0%", said)
        self.assertIn(measured.source, said)
        self.assertNotIn("confiden", said.lower())
        source = Path(__file__).resolve().parents[2] / measured.source
        if not source.is_file():
            self.skipTest("The benchmarks' results are in the source tree only.")
        table = source.read_text(encoding="utf-8").partition("5 patches of about 87")[2].partition("30 patches:")[0]
        rows = {row.split("|")[1].strip(): row for row in table.splitlines() if row.startswith("| ")}
        self.assertIn(f"| {measured.area:.3f} |", rows["ours"])
        self.assertIn(f"of {measured.cases} | {round(100 * measured.found)}% |", rows["ours"])
        self.assertIn(f"| {measured.areaByChance:.3f} |", rows["chance"])
        self.assertIn(f"| {round(100 * measured.foundByChance)}% |", rows["chance"])


class TestSwap(unittest.TestCase):
    """Refinement turned liver into kidney at the border, added liver in front, and took the spleen away."""

    place = PatchBox((0, 0, 0), (8, 10, 8))

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.bundle = makeBundle()
        self.coarse = np.zeros(SHAPE, np.uint8)
        self.coarse[2:7, 2:6, 2:6] = 1
        self.coarse[7:9, 2:6, 2:6] = 2
        self.coarse[0:2, 8:10, 6:8] = 3
        self.refined = self.coarse.copy()
        self.refined[6, 2:6, 2:6] = 2
        self.refined[2:6, 0:2, 2:6] = 1
        self.refined[self.refined == 3] = 0
        segments = tuple(SegmentRefinement(v, float((self.refined == v).sum()), 1.0, 1.0) for v in (1, 2, 3))
        self.findings = Findings("played", "CT", "CT", self.bundle.labels, reviewed=Reviewed((), segments, ()))
        self.changes = through(changes.between(self.coarse, self.refined))
        self.make()

    def make(self, axes=None) -> None:
        self.volume = makeVolume(GEOMETRIES["oblique"] if axes is None else axes)
        self.node = makeSegmentation(self.volume, self.bundle, self.refined)

    def swap(self, value: int, back: bool = True) -> Swapped:
        moves = self.changes.inside(self.place, value)
        return swap_labels.swap(self.node, self.volume, self.findings, moves if back else moves.reversed())

    def labels(self, value: int) -> np.ndarray:
        return labelsOf(self.node, f"played_{value}", self.volume)

    def test_only_the_places_changed_voxels_of_that_structure_go_back_and_forth(self) -> None:
        self.assertEqual(self.swap(2), Swapped(16, 0, 0))
        np.testing.assert_array_equal(self.labels(2), self.coarse == 2)
        expected = self.refined == 1
        expected[6, 2:6, 2:6] = True
        np.testing.assert_array_equal(self.labels(1), expected)
        self.assertEqual(self.swap(2), Swapped(0, 0, 0))
        self.assertEqual(self.swap(2, back=False), Swapped(16, 0, 0))
        np.testing.assert_array_equal(self.labels(1), self.refined == 1)
        np.testing.assert_array_equal(self.labels(2), self.refined == 2)

    def test_every_geometry_and_a_cropped_image(self) -> None:
        for name, axes in GEOMETRIES.items():
            with self.subTest(name):
                self.make(axes)
                image = self.node.GetSegmentation().GetNthSegment(0).GetRepresentation(BINARY_LABELMAP)
                image.Crop((2, 8, 0, 5, 2, 5))
                self.swap(1)
                np.testing.assert_array_equal(self.labels(1), self.coarse == 1)

    def test_a_structure_that_refinement_took_away_comes_back(self) -> None:
        self.assertEqual(segmentNames(self.node), ["Liver", "Left kidney"])
        self.assertEqual(self.swap(3), Swapped(8, 0, 0))
        self.assertEqual(segmentNames(self.node), ["Liver", "Left kidney", "Spleen"])
        np.testing.assert_array_equal(self.labels(3), self.coarse == 3)
        np.testing.assert_array_equal(self.labels(1), self.refined == 1)

    def test_what_the_user_edited_since_stays(self) -> None:
        image = self.node.GetSegmentation().GetNthSegment(0).GetRepresentation(BINARY_LABELMAP)
        voxels = asArray(image)
        voxels[2, 2, 6] = 0  # erased by the user
        voxels[3, 2, 6] = 1  # and given to the liver
        image.Modified()
        self.assertEqual(self.swap(2), Swapped(14, 1, 0))
        self.assertFalse(self.labels(2)[6, 2, 2] or self.labels(1)[6, 2, 2])

    def test_a_segment_that_the_user_drew_in_our_image_stays(self) -> None:
        image = self.node.GetSegmentation().GetNthSegment(0).GetRepresentation(BINARY_LABELMAP)
        segment = slicer.vtkSegment()
        segment.SetName("Mine")
        segment.SetLabelValue(9)
        segment.AddRepresentation(BINARY_LABELMAP, image)
        self.node.GetSegmentation().AddSegment(segment, "mine")
        asArray(image)[6, 8, 0:2] = 9  # where the spleen was
        image.Modified()
        self.assertEqual(self.swap(3), Swapped(6, 2, 0))
        self.assertEqual(int(labelsOf(self.node, "mine", self.volume).sum()), 2)

    def test_a_completed_segment_gives_and_takes_nothing(self) -> None:
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        logic.SetSegmentStatus(self.node.GetSegmentation().GetSegment("played_1"), logic.Completed)
        self.assertEqual(self.swap(2), Swapped(0, 0, 16))
        self.assertEqual(self.swap(1), Swapped(0, 0, 48))
        np.testing.assert_array_equal(self.labels(1), self.refined == 1)

    def test_a_segment_that_the_user_deleted_does_not_come_back(self) -> None:
        self.node.GetSegmentation().RemoveSegment("played_1")
        self.swap(2)
        np.testing.assert_array_equal(self.labels(2), self.coarse == 2)
        self.assertEqual(segmentNames(self.node), ["Left kidney"])

    def test_surfaces_stand_again_and_only_changed_ones_are_made_anew(self) -> None:
        own = VolumeImage(self.volume, 255)
        own.voxels[:] = 0
        own.voxels[1:4, 1:4, 1:4] = 1
        segment = slicer.vtkSegment()
        segment.SetName("Mine")
        segment.AddRepresentation(BINARY_LABELMAP, own.image)
        self.node.GetSegmentation().AddSegment(segment, "mine")
        self.node.CreateClosedSurfaceRepresentation()
        get = lambda name: self.node.GetSegmentation().GetSegment(name).GetRepresentation("Closed surface")  # noqa: E731
        before = {name: get(name) for name in ("mine", "played_1", "played_2")}
        self.swap(2)
        self.assertIs(get("mine"), before["mine"])
        self.assertIsNot(get("played_2"), before["played_2"])
        self.assertGreater(get("played_1").GetNumberOfPoints(), 0)

    def test_the_segment_editors_undo_is_told(self) -> None:
        told = []

        class Editor:
            segmentationNode = lambda _self: self.node  # noqa: E731
            saveStateForUndo = lambda _self: told.append(int(self.labels(2).sum()))  # noqa: E731

        class Widget:
            editor = Editor()

        before = getattr(slicer.modules, "SegmentEditorWidget", None)
        slicer.modules.SegmentEditorWidget = Widget
        try:
            self.swap(2)
        finally:
            slicer.modules.SegmentEditorWidget = before
        self.assertEqual(told, [int((self.refined == 2).sum())])


class TestPanel(ReviewedCase):
    def setUp(self) -> None:
        super().setUp()
        self.ui.reviewButton.collapsed = False

    def tearDown(self) -> None:
        self.ui.reviewButton.collapsed = True
        super().tearDown()

    def row(self, row: int) -> list[str]:
        return [self.ui.reviewTable.item(row, column).text() for column in (SIGN, WHERE, WHY, AMOUNT)]

    def test_places_in_their_order_with_words(self) -> None:
        self.assertIn("After a run", self.ui.reviewExplanationLabel.text)
        self.run_()
        self.assertEqual(self.ui.reviewTable.rowCount, 3)
        self.assertTrue(waitUntil(lambda: "," in self.row(0)[1], 5))
        self.assertEqual(self.row(0)[2:], ["changed", "< 0.1 ml"])
        self.assertTrue(self.row(0)[1].startswith("Left kidney, "))
        self.assertEqual([self.row(row)[2] for row in range(3)], ["changed", "disputed", "coarse only"])
        self.assertEqual(self.ui.reviewProgressLabel.text, "0 of 3 seen")
        self.assertFalse(self.ui.acceptButton.enabled)

    def test_next_and_previous_jump_and_count(self) -> None:
        self.run_()
        self.ui.reviewNextButton.click()
        self.assertEqual(self.ui.reviewProgressLabel.text, "1 of 3 seen")
        self.assertEqual(self.ui.reviewTable.currentRow(), 0)
        bounds = np.zeros(6)
        Highlight().node.GetRASBounds(bounds)
        np.testing.assert_allclose((bounds[::2] + bounds[1::2]) / 2, self.at((7, 3.5, 3.5)), atol=1e-6)
        self.ui.reviewNextButton.click()
        self.ui.reviewPreviousButton.click()
        self.assertEqual((self.ui.reviewTable.currentRow(), self.ui.reviewProgressLabel.text), (0, "2 of 3 seen"))
        self.assertIn("refinement changed < 0.1 ml here", self.ui.reviewDetailLabel.text)

    def test_reject_brings_the_coarse_labels_back_and_accept_the_refined_ones(self) -> None:
        run = self.run_()
        node, volume = run.segments.node, self.volume
        self.ui.reviewTable.selectRow(1)
        self.assertFalse(labelsOf(node, "played_1", volume)[2, 2:6, 2:6].any())
        self.ui.rejectButton.click()
        self.assertTrue(labelsOf(node, "played_1", volume)[2, 2:6, 2:6].all())
        self.assertEqual(self.row(1)[0], "✕")
        self.assertEqual(self.ui.reviewTable.currentRow(), 2, "on to the next that was not seen")
        self.ui.reviewTable.selectRow(1)
        self.ui.acceptButton.click()
        self.assertFalse(labelsOf(node, "played_1", volume)[2, 2:6, 2:6].any())
        self.assertEqual(self.row(1)[0], "✓")

    def test_reject_is_not_offered_where_nothing_was_changed(self) -> None:
        self.run_()
        self.ui.reviewTable.selectRow(2)
        self.assertFalse(self.ui.rejectButton.enabled)
        self.assertIn("coarse already", self.ui.rejectButton.toolTip)
        self.assertTrue(self.ui.acceptButton.enabled)

    def test_one_structure_alone(self) -> None:
        self.run_()
        selector = self.ui.reviewStructureSelector
        names = [selector.itemText(index) for index in range(selector.count)]
        self.assertEqual(names, ["All structures", "Left kidney (1)", "Liver (2)"])
        selector.setCurrentIndex(2)
        self.assertEqual((self.ui.reviewTable.rowCount, self.ui.reviewProgressLabel.text), (2, "0 of 2 seen"))

    def test_edit_opens_the_segment_editor_at_the_place(self) -> None:
        if slicer.util.mainWindow() is None:
            self.skipTest("Another module can be opened in a main window only.")
        self.run_()
        self.ui.reviewTable.selectRow(0)
        self.ui.editHereButton.click()
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        self.assertIs(editor.segmentationNode(), self.result())
        self.assertEqual(editor.currentSegmentID(), "played_2")
        self.assertIsNone(Highlight().node)
        slicer.util.selectModule("EfficientSeg")
        self.assertEqual(self.row(0)[0], "✎")

    def test_its_state_comes_back_with_the_scene_and_reject_still_works(self) -> None:
        self.run_()
        self.ui.reviewTable.selectRow(0)
        self.ui.acceptButton.click()
        self.reload()
        self.assertTrue(waitUntil(lambda: self.ui.reviewTable.rowCount == 3, 5))
        self.assertEqual(self.ui.reviewProgressLabel.text, "2 of 3 seen")
        self.assertEqual(self.row(0)[0], "✓")
        self.ui.reviewTable.selectRow(1)
        self.ui.rejectButton.click()
        node = self.logic.getParameterNode().segmentation
        self.assertTrue(labelsOf(node, "played_1", self.volume)[2, 2:6, 2:6].all())

    def test_without_its_volume_nothing_is_decided_and_nothing_breaks(self) -> None:
        self.run_()
        self.ui.reviewTable.selectRow(0)
        slicer.mrmlScene.RemoveNode(self.volume)
        self.panel.runChanged()
        self.ui.reviewNextButton.click()
        for button in (self.ui.acceptButton, self.ui.rejectButton, self.ui.editHereButton):
            self.assertFalse(button.enabled)
        self.assertFalse(self.ui.statisticsButton.enabled)

    def test_during_a_run_nothing_is_decided(self) -> None:
        self.run_()
        self.ui.reviewTable.selectRow(0)
        self.play = "def play(request):\n    while not stopped(request):\n        time.sleep(0.02)"
        self.logic.stop()
        self.logic.startSegmentation(self.volume, self.logic.run.parameters, self.panel)
        for button in (self.ui.acceptButton, self.ui.rejectButton, self.ui.editHereButton):
            self.assertFalse(button.enabled)

    @unittest.skipUnless("standin" in sys.modules, "Key presses are made by PySide6's test module.")
    def test_keys_work_while_the_part_is_to_be_seen(self) -> None:
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        self.run_()
        window = slicer.util.mainWindow()
        window.show()
        window.activateWindow()
        try:
            self.assertTrue(waitUntil(lambda: window.isActiveWindow, 2))
            for key, expected in ((Qt.Key.Key_N, 0), (Qt.Key.Key_N, 1), (Qt.Key.Key_P, 0), (Qt.Key.Key_A, 2)):
                QTest.keyClick(window, key)
                self.assertEqual(self.ui.reviewTable.currentRow(), expected)
            self.assertEqual(self.row(0)[0], "✓")
            self.ui.reviewTable.selectRow(1)
            QTest.keyClick(window, Qt.Key.Key_X)
            self.assertEqual(self.row(1)[0], "✕")
            self.ui.reviewTable.selectRow(0)
            self.ui.reviewButton.collapsed = True
            QTest.keyClick(window, Qt.Key.Key_N)
            self.ui.reviewButton.collapsed = False
            self.assertEqual(self.ui.reviewTable.currentRow(), 0, "closed, it does not listen")
            slicer.util.selectModule("SegmentEditor")
            QTest.keyClick(window, Qt.Key.Key_N)
            slicer.util.selectModule("EfficientSeg")
            self.assertEqual(self.ui.reviewTable.currentRow(), 0, "in another module it does not listen")
        finally:
            window.hide()


if __name__ == "__main__":
    unittest.main()
