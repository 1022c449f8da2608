"""The overlay: boxes at the right corners in one node, class weights in the scene, all gone as one."""

import unittest

import numpy as np
import slicer
from bench import GEOMETRIES, makeBundle, makeFolder, makeVolume
from vtk.util.numpy_support import vtk_to_numpy

from EfficientSegBridge import nodes
from EfficientSegBridge.overlay import PRIORITY, Overlay, boxSurface
from EfficientSegLib.geometry import PatchBox, ScoredBox

BOXES = (
    ScoredBox(PatchBox((2, 1, 3), (6, 5, 7)), 0.9, 1),
    ScoredBox(PatchBox((0, 0, 0), (4, 4, 4)), 0.5, 2),
    ScoredBox(PatchBox((8, 6, 4), (12, 10, 8)), 0.1, 3),
)


class TestBoxes(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.overlay = Overlay()

    def test_known_voxels_have_the_right_world_corners(self) -> None:
        for name, axes in GEOMETRIES.items():
            with self.subTest(name):
                volume = makeVolume(axes)
                points = vtk_to_numpy(boxSurface(BOXES[:1], volume).GetPoints().GetData())
                matrix = nodes.ijkToRas(volume)
                expected = {
                    tuple(np.round((matrix @ [i, j, k, 1])[:3], 6))
                    for i in (1.5, 5.5)
                    for j in (0.5, 4.5)
                    for k in (2.5, 6.5)
                }
                self.assertEqual({tuple(np.round(point, 6)) for point in points}, expected)

    def test_each_box_is_closed_by_six_sides_of_its_own_size(self) -> None:
        volume = makeVolume(GEOMETRIES["oblique"])
        surface = boxSurface(BOXES[:1], volume)
        spacing = np.linalg.norm(GEOMETRIES["oblique"], axis=0)
        a, b, c = np.array(BOXES[0].box.shape) * spacing
        measured = sum(surface.GetCell(index).GetBounds() is not None for index in range(6))
        self.assertEqual(measured, 6)
        areas = []
        for index in range(6):
            corners = vtk_to_numpy(surface.GetCell(index).GetPoints().GetData())
            areas.append(np.linalg.norm(np.cross(corners[1] - corners[0], corners[3] - corners[0])))
        np.testing.assert_allclose(sorted(areas), sorted([a * b, a * b, a * c, a * c, b * c, b * c]), rtol=1e-6)

    def test_one_node_for_all_boxes_coloured_by_rank(self) -> None:
        self.overlay.showPatches(BOXES, makeVolume())
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLModelNode")) - self._slices(), 1)
        priorities = vtk_to_numpy(self.overlay.boxesNode.GetPolyData().GetCellData().GetArray(PRIORITY))
        np.testing.assert_allclose(priorities, np.repeat([0.0, 0.5, 1.0], 6))
        self.assertTrue(self.overlay.boxesNode.GetDisplayNode().GetVisibility2D())
        self.assertFalse(self.overlay.boxesNode.GetSelectable())

    def test_boxes_follow_the_volumes_transform(self) -> None:
        volume = makeVolume()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        volume.SetAndObserveTransformNodeID(transform.GetID())
        self.overlay.showPatches(BOXES, volume)
        self.assertEqual(self.overlay.boxesNode.GetTransformNodeID(), transform.GetID())

    def test_hiding_and_showing(self) -> None:
        self.overlay.showPatches(BOXES, makeVolume(), visible=False)
        self.assertFalse(self.overlay.boxesNode.GetDisplayNode().GetVisibility())
        self.overlay.setBoxesVisible(True)
        self.assertTrue(self.overlay.boxesNode.GetDisplayNode().GetVisibility())

    def test_no_boxes_no_node(self) -> None:
        before = slicer.mrmlScene.GetNumberOfNodes()
        self.overlay.showPatches((), makeVolume())
        self.assertIsNone(self.overlay.boxesNode)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLColorTableNode")), self._tables())
        self.assertGreaterEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def _slices(self) -> int:
        return sum("Volume Slice" in node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLModelNode"))

    def _tables(self) -> int:
        return len(
            [
                node
                for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode")
                if node.GetName() != "EfficientSeg priority"
            ]
        )


class TestWeights(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.overlay, self.volume, self.bundle = Overlay(), makeVolume(), makeBundle()
        self.before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}

    def test_table_and_chart_hold_the_weights_by_name(self) -> None:
        self.overlay.showClassWeights({1: 0.83, 3: 0.2}, self.bundle.shown_labels, self.volume)
        table = self.overlay.tableNode.GetTable()
        self.assertEqual([table.GetValue(row, 0).ToString() for row in range(2)], ["Liver", "Spleen"])
        self.assertEqual([table.GetValue(row, 1).ToDouble() for row in range(2)], [0.83, 0.2])
        series = self.overlay.chartNode.GetNthPlotSeriesNode(0)
        self.assertEqual(series.GetPlotType(), series.PlotTypeBar)
        self.assertIs(series.GetTableNode(), self.overlay.tableNode)

    def test_everything_lies_in_one_folder_and_goes_as_one(self) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        items = hierarchy.GetNumberOfItems()
        self.overlay.showPatches(BOXES, self.volume)
        self.overlay.showClassWeights({1: 0.83}, self.bundle.shown_labels, self.volume)
        shown = (self.overlay.boxesNode, self.overlay.tableNode, self.overlay.chartNode)
        parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in shown}
        self.assertEqual(len(parents), 1)
        self.assertEqual(hierarchy.GetItemLevel(parents.pop()), "Folder")
        self.overlay.clear()
        self.assertEqual({node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}, self.before)
        self.assertEqual(hierarchy.GetNumberOfItems(), items)

    def test_what_the_user_removed_is_passed_over(self) -> None:
        self.overlay.showPatches(BOXES, self.volume)
        slicer.mrmlScene.RemoveNode(self.overlay.boxesNode)
        self.overlay.setBoxesVisible(True)
        self.overlay.clear()
        self.assertIsNone(self.overlay.boxesNode)

    def test_an_overlay_saved_with_a_scene_is_found_again(self) -> None:
        self.overlay.showPatches(BOXES, self.volume)
        self.overlay.showClassWeights({1: 0.83}, self.bundle.shown_labels, self.volume)
        path = makeFolder() / "scene.mrb"
        self.assertTrue(slicer.util.saveScene(str(path)))
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(str(path))
        loaded = Overlay()
        self.assertEqual(loaded.boxesNode.GetPolyData().GetNumberOfCells(), 18)
        loaded.setBoxesVisible(False)
        self.assertFalse(loaded.boxesNode.GetDisplayNode().GetVisibility())
        loaded.clear()
        self.assertIsNone(loaded.boxesNode)
        self.assertIsNone(loaded.chartNode)

    def test_a_second_run_begins_anew(self) -> None:
        for _turn in range(2):
            self.overlay.clear()
            self.overlay.showPatches(BOXES, self.volume)
            self.overlay.showClassWeights({1: 0.83}, self.bundle.shown_labels, self.volume)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode")), 1)


if __name__ == "__main__":
    unittest.main()
