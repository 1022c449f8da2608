"""Hidden and completed segments are respected whatever is run: hidden ones are refined and never pop up, completed ones
stay as they are; and the line under the progress bar says so.
"""

import unittest

import numpy as np
import slicer
from bench import labelsOf, waitUntil
from chain import ChainCase, box, labels

from EfficientSegBridge import studies_section


class RespectCase(ChainCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin(2)
        self.liverId = self.logic.run.segments.segmentId(self.bundle.labels[0])

    def visible(self) -> bool:
        return bool(self.logic.result.segments.node.GetDisplayNode().GetSegmentVisibility(self.liverId))

    def hide(self) -> None:
        self.result().GetDisplayNode().SetSegmentVisibility(self.liverId, False)

    def complete(self) -> None:
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        logic.SetSegmentStatus(self.result().GetSegmentation().GetSegment(self.liverId), logic.Completed)

    def more(self) -> None:
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done", self.logic.run.text)

    def anew(self) -> None:
        self.ui.anewButton.click()
        self.waitForEnd()

    def refineHere(self) -> None:
        self.logic.refineHere([box(5)])
        self.waitForEnd()

    def undo(self) -> None:
        self.ui.undoButton.click()


class TestHidden(RespectCase):
    def test_more_refine_here_undo_and_segment_anew_leave_it_hidden_and_refine_it(self) -> None:
        self.hide()
        for do, read in (
            (self.more, [3, 2, 1, 4, 0]),
            (self.refineHere, [3, 2, 1, 4, 0, 5]),
            (self.undo, [3, 2, 1, 4, 0]),
            (self.anew, [3, 2, 1, 4, 0]),
            (self.undo, [3, 2, 1, 4, 0]),
        ):
            with self.subTest(do.__name__):
                do()
                self.assertFalse(self.visible())
                np.testing.assert_array_equal(self.liver(), labels(read) == 1)

    def test_it_is_said(self) -> None:
        self.assertNotIn("hidden", self.ui.statusLabel.text)
        self.hide()
        self.more()
        self.assertIn("Updated, and still hidden: Liver.", self.ui.statusLabel.text)

    def test_it_does_not_pop_up_while_patches_are_read(self) -> None:
        self.hide()
        seen = set()
        self.logic.worker.slow = True
        self.segment()
        self.assertTrue(waitUntil(lambda: seen.add(self.visible()) or self.logic.run.segments.started))
        self.logic.worker.slow = False
        self.assertTrue(waitUntil(lambda: seen.add(self.visible()) or not self.logic.running))
        self.assertEqual(seen, {False})

    def test_one_hidden_during_a_run_stays_hidden(self) -> None:
        self.logic.worker.slow = True
        self.segment()
        self.waitForCoarse()
        self.hide()
        self.logic.worker.slow = False
        self.waitForEnd()
        self.assertFalse(self.visible())
        self.assertIn("still hidden: Liver.", self.ui.statusLabel.text)

    def test_a_segmentation_hidden_as_a_whole_stays_so(self) -> None:
        self.result().GetDisplayNode().SetVisibility(False)
        self.more()
        self.assertFalse(self.result().GetDisplayNode().GetVisibility())

    def test_3d_stays_on_after_undo_and_shows_what_stands(self) -> None:
        self.more()
        self.ui.show3DButton.checked = True
        segmentation = self.result().GetSegmentation()
        self.assertTrue(waitUntil(lambda: segmentation.ContainsRepresentation("Closed surface")))
        surface = segmentation.GetSegment(self.liverId).GetRepresentation("Closed surface")
        self.undo()
        self.assertTrue(self.ui.show3DButton.checked)
        self.assertTrue(waitUntil(lambda: segmentation.ContainsRepresentation("Closed surface")))
        self.assertIsNot(segmentation.GetSegment(self.liverId).GetRepresentation("Closed surface"), surface)

    def test_surfaces_leave_it_hidden(self) -> None:
        self.hide()
        self.ui.show3DButton.checked = True
        segmentation = self.result().GetSegmentation()
        self.assertTrue(waitUntil(lambda: segmentation.ContainsRepresentation("Closed surface")))
        self.more()
        self.assertTrue(segmentation.ContainsRepresentation("Closed surface"))
        self.assertFalse(self.visible())


class TestCompleted(RespectCase):
    def test_more_refine_here_undo_and_segment_anew_leave_it_alone(self) -> None:
        self.complete()
        for do in (self.more, self.refineHere, self.undo, self.anew, self.undo):
            with self.subTest(do.__name__):
                do()
                liver = labelsOf(self.logic.result.segments.node, self.liverId, self.volume)
                np.testing.assert_array_equal(liver, labels([3, 2]) == 1)

    def test_it_is_said(self) -> None:
        self.complete()
        self.more()
        self.assertIn("Left as they are, because they are Completed: Liver.", self.ui.statusLabel.text)

    def test_the_segment_editors_undo_is_told_before_anything_is_written(self) -> None:
        told = []

        class Editor:
            segmentationNode = lambda _self: self.result()  # noqa: E731
            saveStateForUndo = lambda _self: told.append(self.widths())  # noqa: E731

        class Widget:
            editor = Editor()

        before = getattr(slicer.modules, "SegmentEditorWidget", None)
        slicer.modules.SegmentEditorWidget = Widget
        try:
            widths = self.widths()
            self.more()
        finally:
            slicer.modules.SegmentEditorWidget = before
        self.assertEqual(told, [widths])


class TestQueue(RespectCase):
    def test_a_queue_touches_neither(self) -> None:
        self.hide()
        self.complete()
        mine, before = self.result(), self.liver()
        self.ui.studiesButton.collapsed = False
        self.ui.studiesSourceBox.currentIndex = studies_section.LOADED
        self.ui.studiesAddButton.click()
        self.ui.studiesStartButton.click()
        self.addCleanup(self.logic.studies.forget)
        self.assertTrue(waitUntil(lambda: not self.logic.studies.running))
        self.assertEqual([study.entry.state for study in self.logic.studies.studies], ["done"])
        self.assertFalse(self.visible())
        np.testing.assert_array_equal(labelsOf(mine, self.liverId, self.volume), before)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 3)  # mine, refined area, the new


if __name__ == "__main__":
    unittest.main()
