"""The Result part: statistics that come by themselves, as table node, as CSV; the run record as JSON."""

import csv
import json
import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import makeFolder, waitUntil
from test_why import ReviewedCase

from EfficientSegBridge import save_dialog, statistics_table
from EfficientSegBridge.segment_parts import BINARY_LABELMAP
from EfficientSegBridge.volume_image import asArray


class TestStatistics(ReviewedCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(makeFolder()) / "Dr. Jöhn Ωé"
        self.folder.mkdir()
        self.asked = []
        self.askPath = save_dialog.askPath
        save_dialog.askPath = self.answer

    def tearDown(self) -> None:
        save_dialog.askPath = self.askPath
        super().tearDown()

    def answer(self, title: str, name: str, ending: str, kind: str) -> str:
        self.asked.append(name + ending)
        return str(self.folder / f"saved{ending}")

    def measured(self) -> None:
        table = self.ui.statisticsTable
        self.assertTrue(waitUntil(lambda: table.rowCount and table.item(0, 2).text() != "…"))

    def cells(self, row: int) -> list[str]:
        return [self.ui.statisticsTable.item(row, column).text() for column in range(5)]

    def menu(self, start: str) -> None:
        """Click an entry of the button's menu."""
        actions = [action for action in self.ui.statisticsButton.menu().actions() if action.text.startswith(start)]
        actions[0].trigger()

    def test_they_come_by_themselves_and_equal_numpys(self) -> None:
        self.assertFalse(self.ui.statisticsButton.enabled)
        self.run_()
        self.measured()
        values = slicer.util.arrayFromVolume(self.volume).T[3:6, 2:6, 2:6]
        ml = 48 * 0.7 * 0.9 * 2 / 1000
        self.assertEqual(
            self.cells(0), ["Liver", f"{ml:.1f}", f"{values.mean():.0f}", f"{values.std(ddof=1):.0f}", "75 % refined"]
        )
        self.assertEqual(self.cells(1)[4], "100 % refined")
        self.assertTrue(self.ui.statisticsButton.enabled)
        self.assertIn("HU", self.ui.statisticsTable.item(0, 2).toolTip())
        self.assertIsNone(statistics_table.tableNode(self.result()), "the scene is not filled without being asked")

    def test_they_follow_a_rejected_place_and_the_users_edits(self) -> None:
        self.run_()
        self.measured()
        layout = slicer.app.layoutManager().layout
        self.menu("Show as table")
        slicer.app.layoutManager().setLayout(layout)
        table = statistics_table.tableNode(self.result()).GetTable
        self.assertAlmostEqual(table().GetValue(0, 1).ToDouble(), 0.06, 2)
        self.ui.reviewButton.collapsed = False
        self.ui.reviewTable.selectRow(1)
        self.ui.rejectButton.click()
        self.measured()
        self.assertAlmostEqual(table().GetValue(0, 1).ToDouble(), 0.081, 3)
        image = self.result().GetSegmentation().GetNthSegment(0).GetRepresentation(BINARY_LABELMAP)
        asArray(image)[asArray(image) == 1] = 0
        image.Modified()
        self.panel.setParameterNode(self.logic.getParameterNode())  # as when the module is opened again
        self.measured()
        self.assertEqual(self.cells(0)[:2], ["Liver", "0.0"])
        self.ui.reviewButton.collapsed = True

    def test_nothing_of_them_is_shown_while_a_run_changes_the_labels(self) -> None:
        self.run_()
        self.measured()
        self.play = "def play(request):\n    while not stopped(request):\n        time.sleep(0.02)"
        self.logic.stop()
        self.logic.startSegmentation(self.volume, self.logic.run.parameters, self.panel)
        self.assertTrue(self.ui.statisticsTable.isHidden())
        self.assertFalse(self.ui.statisticsButton.enabled)

    def test_a_table_node_is_made_once_and_shown(self) -> None:
        layout = slicer.app.layoutManager().layout
        self.run_()
        self.menu("Show as table")
        self.measured()
        node = statistics_table.tableNode(self.result())
        self.assertIsNotNone(node)
        self.assertEqual(slicer.app.applicationLogic().GetSelectionNode().GetActiveTableID(), node.GetID())
        self.menu("Show as table")
        self.assertIs(statistics_table.tableNode(self.result()), node)
        slicer.app.layoutManager().setLayout(layout)

    def test_csv_even_while_it_still_measures(self) -> None:
        self.run_()
        self.menu("Save as CSV")
        self.measured()
        self.assertEqual(self.asked, ["CT segmentation statistics.csv"])
        with open(self.folder / "saved.csv", encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["Structure"] for row in rows], ["Liver", "Left kidney"])
        self.assertAlmostEqual(float(rows[0]["Volume (ml)"]), 48 * 0.7 * 0.9 * 2 / 1000, 3)
        self.assertEqual((rows[0]["Patches read"], rows[0]["Model"]), ("2 of 7", "played"))
        self.assertEqual(rows[0]["Surface refined (%)"], "75.0")
        self.assertIn("saved to", self.ui.statusLabel.text)

    def test_a_folder_that_cannot_be_written_is_said_in_words(self) -> None:
        self.run_()
        self.measured()
        (self.folder / "saved.csv").mkdir()
        self.menu("Save as CSV")
        self.assertIn("saved.csv", self.ui.statusLabel.text)

    def test_the_run_record_as_json_holds_the_review(self) -> None:
        self.run_()
        self.ui.reviewButton.collapsed = False
        self.ui.reviewTable.selectRow(0)
        self.menu("Save run record")
        self.ui.reviewButton.collapsed = True
        content = json.loads((self.folder / "saved.json").read_text(encoding="utf-8"))
        self.assertEqual(content["volume"], "CT")
        self.assertEqual(content["review"]["states"], ["seen", "open", "open"])
        self.assertEqual(content["reviewed"]["segments"][0]["surface_refined"], 0.75)
        self.assertIn("2 of 7 patches", content["result"])

    def test_a_segmentation_without_record_says_so(self) -> None:
        self.run_()
        self.measured()
        node = self.result()
        slicer.mrmlScene.RemoveNode(node.GetNodeReference("EfficientSeg.Record"))
        self.panel.runChanged()
        self.menu("Save run record")
        self.assertIn("There is no run record", self.ui.statusLabel.text)
        self.assertEqual(self.cells(0)[4], "", "how much was refined is not known any more")

    def test_they_come_back_with_the_scene(self) -> None:
        self.run_()
        self.menu("Show as table")
        self.measured()
        before = self.cells(0)
        self.reload()
        self.assertTrue(waitUntil(lambda: self.ui.statisticsTable.rowCount == 2, 5))
        self.measured()
        self.assertEqual(self.cells(0), before)
        node = self.logic.getParameterNode().segmentation
        self.assertEqual(statistics_table.tableNode(node).GetTable().GetNumberOfRows(), 2)

    def test_file_names_bear_any_name(self) -> None:
        self.assertEqual(save_dialog.fileName("CT 5/6: Ωé?"), "CT 5 6  Ωé")
        self.assertEqual(save_dialog.fileName("..."), "...")
        self.assertEqual(save_dialog.fileName("/"), "EfficientSeg")

    def test_edit_opens_the_segment_editor(self) -> None:
        if slicer.util.mainWindow() is None:
            self.skipTest("Another module can be opened in a main window only.")
        self.run_()
        self.ui.editButton.click()
        self.assertIs(slicer.util.getModuleWidget("SegmentEditor").editor.segmentationNode(), self.result())
        slicer.util.selectModule("EfficientSeg")

    def test_numbers_that_are_right_whatever_the_segments_lie_on(self) -> None:
        """The same segments in two images, as after the user has let them overlap."""
        self.run_()
        self.measured()
        before = [self.cells(row) for row in range(2)]
        self.result().GetSegmentation().SeparateSegmentLabelmap("played_2")
        self.panel.runChanged()
        self.measured()
        self.assertEqual([self.cells(row) for row in range(2)], before)
        self.assertEqual(np.unique([row[0] for row in before]).size, 2)


if __name__ == "__main__":
    unittest.main()
