"""Structures first, structures left out, and the region, from the panel's widgets to the worker's request."""

import unittest

import numpy as np
import qt
import slicer
from chain import ChainCase

from EfficientSegBridge import nodes
from EfficientSegBridge.structures_list import FIRST, KEEP


class TestStructures(ChainCase):
    def tick(self, row: int, column: int, ticked: bool) -> None:
        state = qt.Qt.CheckState.Checked if ticked else qt.Qt.CheckState.Unchecked
        self.ui.structuresTable.item(row, column).setCheckState(state)

    def request(self):
        return self.logic.worker.requests[-1]

    def test_the_models_labels_are_listed_and_found(self) -> None:
        table = self.ui.structuresTable
        self.assertEqual(
            [table.item(row, 0).text() for row in range(table.rowCount)], ["Liver", "Left kidney", "Spleen"]
        )
        self.ui.structuresSearch.setText("KID")
        self.assertEqual([table.isRowHidden(row) for row in range(3)], [True, False, True])
        self.ui.structuresSearch.setText("")

    def test_ticked_structures_come_first(self) -> None:
        self.tick(1, FIRST, True)
        self.tick(2, FIRST, True)
        self.tick(2, FIRST, False)
        self.assertEqual(list(self.node.structuresFirst), [2])
        self.begin(2)
        self.assertEqual(self.request().structures, (2,))

    def test_structures_that_are_not_kept_become_no_segments(self) -> None:
        self.tick(0, KEEP, False)
        self.segment()
        self.waitForEnd()
        self.assertEqual(self.result().GetSegmentation().GetNumberOfSegments(), 0)
        self.assertNotIn("Liver", self.ui.statusLabel.text)

    def test_the_scene_remembers_and_shows_them(self) -> None:
        self.node.structuresFirst = [3]
        self.node.structuresLeftOut = [1]
        table = self.ui.structuresTable
        checked = qt.Qt.CheckState.Checked
        self.assertEqual([table.item(row, FIRST).checkState() == checked for row in range(3)], [False, False, True])
        self.assertEqual([table.item(row, KEEP).checkState() == checked for row in range(3)], [False, True, True])

    def test_a_region_reaches_the_worker_and_bounds_what_is_written(self) -> None:
        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        matrix = nodes.ijkToRas(self.volume)
        roi.AddControlPointWorld([float(value) for value in (matrix @ [1.5, 4.5, 3.5, 1])[:3]])
        roi.SetSize(2.0, 2.0, 2.0)
        self.node.region = roi
        self.begin(2)
        region = self.request().region
        self.assertTrue(all(a <= middle < b for a, middle, b in zip(region.start, (1, 4, 3), region.stop)))
        found = np.argwhere(self.liver())
        self.assertTrue(np.all(found >= region.start) and np.all(found < region.stop))

    def test_a_region_outside_the_volume_is_said_before_anything_happens(self) -> None:
        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "far away")
        roi.AddControlPointWorld([5000.0, 0.0, 0.0])
        roi.SetSize(2.0, 2.0, 2.0)
        self.node.region = roi
        self.segment()
        self.assertFalse(self.logic.running)
        self.assertIn("far away lies outside CT", self.ui.statusLabel.text)


if __name__ == "__main__":
    unittest.main()
