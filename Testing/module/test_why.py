"""Why here: a row of the patches jumps the views, a click in a view finds the row, and a loaded scene shows it all."""

import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import makeFolder, waitUntil
from test_widget import WidgetCase

from EfficientSegBridge import world
from EfficientSegBridge.highlight import Highlight
from EfficientSegBridge.patch_table import CHANGED, NUMBER, PRIORITY, WHERE

# Two of three patches are read; the first changed the liver and added the left kidney.
PLAY = """
def play(request):
    labels = np.zeros((12, 10, 8), np.uint8)
    labels[2:6, 2:6, 2:6] = 1
    boxes = [{"box": {"start": [2, 2, 2], "stop": [9, 8, 8]}, "score": 0.9, "rank": 1},
             {"box": {"start": [0, 0, 0], "stop": [6, 6, 6]}, "score": 0.4, "rank": 2},
             {"box": {"start": [8, 6, 0], "stop": [12, 10, 4]}, "score": 0.1, "rank": 3}]
    say("Patches", boxes=boxes, candidates=7)
    say("ClassWeights", weights={"1": 0.83, "2": 0.2})
    partial(request, "partial_0000.npy", labels, [0, 0, 0], 0, 3)
    labels[6:9, 2:6, 2:6] = 2
    labels[2:3, 2:6, 2:6] = 0
    partial(request, "partial_0001.npy", labels, [0, 0, 0], 2, 3)
    WAIT
    say("Reviewed",
        patches=[{"rank": 1, "changed_ml": {"2": 0.0482, "1": 12.4}}, {"rank": 2, "changed_ml": {"1": 0.016}}],
        segments=[{"value": 1, "ml": 0.048, "surface_refined": 0.75, "changed_ml": 0.016},
                  {"value": 2, "ml": 0.048, "surface_refined": 1.0, "changed_ml": 0.048}],
        places=[{"box": {"start": [6, 2, 2], "stop": [9, 6, 6]}, "value": 2, "kind": "changed", "worth": 0.9,
                 "ml": 0.048},
                {"box": {"start": [2, 2, 2], "stop": [3, 6, 6]}, "value": 1, "kind": "disagreement", "worth": 0.5,
                 "ml": 0.016},
                {"box": {"start": [8, 6, 0], "stop": [12, 10, 4]}, "value": 1, "kind": "unvisited", "worth": 0.1,
                 "ml": 1.5}])
    finished(request, labels, complete=False, read=2, total=3)
"""
REVIEWED = PLAY.replace("    WAIT\n", "")
WAITING = PLAY.replace("WAIT", "while not stopped(request):\n        time.sleep(0.02)")


class ReviewedCase(WidgetCase):
    """A run that was reviewed, with "Why here?" open."""

    play = REVIEWED

    def setUp(self) -> None:
        super().setUp()
        self.ui.whyButton.collapsed = False
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)

    def tearDown(self) -> None:
        self.ui.whyButton.collapsed = True
        super().tearDown()

    def run_(self):
        self.segment()
        run = self.waitForEnd()
        self.assertIn(run.state, ("done", "stopped"), run.text)
        self.assertTrue(waitUntil(lambda: not run.keeper.busy))
        return run

    def cell(self, row: int, column: int) -> str:
        return self.ui.patchesTable.item(row, column).text()

    def click(self, ras, view: str = "Red") -> None:
        """Press and release at a point of the world in a slice view that shows it."""
        widget = slicer.app.layoutManager().sliceWidget(view)
        node, interactor = widget.mrmlSliceNode(), widget.sliceView().interactor()
        node.JumpSliceByOffsetting(*ras)
        toView = slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())
        x, y = (np.linalg.inv(toView) @ [*ras, 1.0])[:2]
        interactor.SetEventInformation(round(x), round(y), 0, 0, "\0", 0, None)
        interactor.InvokeEvent("LeftButtonPressEvent")
        interactor.InvokeEvent("LeftButtonReleaseEvent")

    def reload(self) -> None:
        path = str(Path(makeFolder()) / "Dr. Jöhn Ωé.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(path)
        self.widget.enter()
        self.volume = slicer.util.getNode("CT")

    def at(self, voxel):
        return world.toWorld(self.volume, np.array([voxel], float))[0]


class TestPatches(ReviewedCase):
    def test_the_table_tells_rank_priority_place_and_change(self) -> None:
        self.run_()
        table = self.ui.patchesTable
        self.assertTrue(waitUntil(lambda: self.cell(2, WHERE) != "…", 5))
        self.assertEqual([self.cell(row, NUMBER) for row in range(table.rowCount)], ["1", "2", "3"])
        self.assertEqual(self.cell(0, PRIORITY), "0.90")
        self.assertTrue(self.cell(1, WHERE).startswith("Liver"), self.cell(1, WHERE))
        self.assertEqual(self.cell(2, WHERE), "outside all structures")
        self.assertEqual([self.cell(row, CHANGED) for row in range(3)], ["12 ml", "nothing", "not read"])
        self.assertFalse(self.ui.patchDetailLabel.visible)

    def test_a_row_jumps_the_views_and_lights_its_box(self) -> None:
        self.run_()
        self.ui.patchesTable.selectRow(2)
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        place = self.at((9.5, 7.5, 1.5))
        normal = np.array([red.GetSliceToRAS().GetElement(axis, 2) for axis in range(3)])
        origin = np.array([red.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)])
        self.assertAlmostEqual(float((place - origin) @ normal), 0, 5)
        bounds = np.zeros(6)
        Highlight().node.GetRASBounds(bounds)
        np.testing.assert_allclose((bounds[::2] + bounds[1::2]) / 2, place, atol=1e-6)
        self.assertIn("Patch 3 of 3, priority 0.10: ", self.ui.patchDetailLabel.text)
        self.assertIn("was not read", self.ui.patchDetailLabel.text)
        self.ui.patchesTable.selectRow(0)
        self.assertIn("Gained or lost: Liver 12 ml", self.ui.patchDetailLabel.text)
        self.assertNotIn("confiden", self.ui.patchDetailLabel.text)

    def test_a_click_in_a_view_finds_the_row_and_the_next_click_the_next(self) -> None:
        self.run_()
        table = self.ui.patchesTable
        for expected in (0, 1, 0):
            self.click(self.at((4, 4, 4)))
            self.assertEqual(table.currentRow(), expected)
        self.click(self.at((10, 8, 2)), "Green")
        self.assertEqual(table.currentRow(), 2)
        self.assertIsNotNone(Highlight().node)

    def test_a_click_is_nobodys_while_a_point_is_placed_or_the_part_is_closed(self) -> None:
        self.run_()
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.click(self.at((10, 8, 2)))
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self.assertEqual(self.ui.patchesTable.selectionModel().selectedRows(), ())
        self.ui.whyButton.collapsed = True
        self.click(self.at((10, 8, 2)))
        self.assertEqual(self.ui.patchesTable.selectionModel().selectedRows(), ())
        self.assertIsNone(Highlight().node)

    def test_patches_are_there_while_they_are_read(self) -> None:
        self.play = WAITING
        self.segment()
        self.assertTrue(waitUntil(lambda: self.ui.patchesTable.rowCount == 3))
        self.assertTrue(waitUntil(lambda: self.cell(1, CHANGED) == "…"), "the second is read, its change not yet told")
        self.assertEqual(self.cell(2, CHANGED), "not read")
        self.ui.stopButton.click()
        self.waitForEnd()
        self.assertEqual(self.cell(0, CHANGED), "12 ml")


class TestRecord(ReviewedCase):
    def test_a_loaded_scene_shows_patches_weights_and_words(self) -> None:
        self.run_()
        said = self.ui.patchesLabel.text
        self.assertIn("2 of 7 patches", said)
        self.assertNotIn("anew", said)
        self.reload()
        self.assertTrue(waitUntil(lambda: self.ui.patchesTable.rowCount == 3, 5))
        self.assertEqual(self.cell(0, CHANGED), "12 ml")
        self.assertTrue(self.ui.patchesLabel.text.startswith(said))
        self.assertIn("it is read again", self.ui.patchesLabel.text)
        self.assertIn("Trust the detail patches: Liver.", self.ui.weightsLabel.text)
        self.assertFalse(self.ui.chartButton.isHidden())
        self.assertTrue(waitUntil(lambda: self.cell(1, WHERE).startswith("Liver"), 5))
        self.ui.patchesTable.selectRow(1)
        self.assertIsNotNone(Highlight().node)

    def test_nothing_of_the_highlight_is_saved(self) -> None:
        self.run_()
        self.ui.patchesTable.selectRow(1)
        self.reload()
        self.assertIsNone(Highlight().node)

    def test_undo_takes_the_record_back(self) -> None:
        self.run_()
        node = self.result()
        self.play = self.play.replace('0.9, "rank": 1', '0.77, "rank": 1')
        self.logic.stop()
        self.logic.startSegmentation(
            self.volume, self.logic.run.parameters.__class__(self.bundle, segmentation=node), self.panel
        )
        run = self.waitForEnd()
        self.assertTrue(waitUntil(lambda: not run.keeper.busy))
        self.assertEqual(self.cell(0, PRIORITY), "0.77")
        self.ui.undoButton.click()
        self.assertEqual(self.cell(0, PRIORITY), "0.90")
        self.ui.undoButton.click()
        self.assertEqual(self.ui.patchesTable.rowCount, 0)
        texts = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLTextNode")]
        self.assertFalse([name for name in texts if "Record" in name or "changed" in name])

    def test_a_damaged_record_is_said_and_harms_nothing(self) -> None:
        self.run_()
        for text in ("{", "[]", '{"findings": {"patches": 3}}', '{"findings": [1]}', '{"review": 5}'):
            with self.subTest(text):
                self.result().GetNodeReference("EfficientSeg.Record").SetText(text)
                self.panel.runChanged()
                self.assertEqual(self.ui.patchesTable.rowCount, 0)
        self.result().GetNodeReference("EfficientSeg.Record").SetText("{")
        self.panel.runChanged()
        self.assertIn("cannot be read", self.ui.patchesLabel.text)


if __name__ == "__main__":
    unittest.main()
