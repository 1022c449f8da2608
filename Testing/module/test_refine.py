"""Refine here: places of the world become boxes of the volume, and only their patches are read."""

import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import GEOMETRIES, makeVolume, waitUntil
from chain import PLACE, ChainCase

from EfficientSegBridge import efforts, nodes, places
from EfficientSegBridge.parameters import Parameters
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import PatchBox


class TestRefineHere(ChainCase):
    def test_on_a_result_only_its_patches_are_read(self) -> None:
        self.begin(2)
        self.logic.refineHere([PLACE])
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(self.said(), [[3, 2], [5]])
        self.assertEqual(self.widths()[10], 5)

    def test_on_a_stopped_result_a_worker_that_has_forgotten_reads_no_more_than_was_read(self) -> None:
        self.slow = True
        self.node.effort = efforts.EFFORTS.index(None)
        self.segment()
        self.waitForCoarse()
        self.ui.stopButton.click()
        self.assertEqual(self.waitForEnd().state, "stopped")
        self.logic.worker.stop()
        self.logic.worker.slow = False
        self.logic.refineHere([PLACE])
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(self.said()[-1], [5])

    def test_during_a_run_it_stops_and_goes_on_with_them(self) -> None:
        self.slow = True
        self.node.effort = efforts.EFFORTS.index(5)
        self.segment()
        self.waitForCoarse()
        first = self.logic.run
        self.logic.refineHere([PLACE])
        self.assertTrue(waitUntil(lambda: self.logic.run is not first and self.logic.run.segments.started))
        self.assertEqual(first.state, "stopped")
        self.assertTrue(self.logic.run.continues)
        self.assertEqual([scored.box.start[0] for scored in self.logic.run.patches[:1]], [10])
        self.assertEqual(len(self.logic.run.patches), 1 + 5)

    def test_without_a_result_the_next_run_begins_there(self) -> None:
        self.node.effort = efforts.EFFORTS.index(2)
        self.panel._onPlace(PLACE)
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(self.said(), [[5, 3, 2]])

    def test_more_afterwards_reads_nothing_twice(self) -> None:
        self.begin(2)
        self.logic.refineHere([PLACE])
        self.waitForEnd()
        self.segment()
        self.waitForEnd()
        self.assertEqual(self.said()[-1], [1, 4])

    def test_a_model_that_reads_everything_says_so(self) -> None:
        parameters = Parameters(self.bundle, strategy="sliding_window")
        self.assertFalse(parameters.hasOrder)
        self.node.strategy = "sliding_window"
        self.assertFalse(self.ui.effortSlider.enabled)
        self.assertEqual(self.ui.effortLabel.text, "whole volume")
        self.assertFalse(self.ui.refineHereButton.enabled)
        self.assertIn("every place", self.ui.refineHereButton.toolTip)
        request = parameters.withWishes(first=(PLACE,), structures=(1,)).request(Path(self.bundle.folder))
        self.assertEqual((request.first, request.structures, request.keep), ((), (), False))


class TestClick(ChainCase):
    """Slicer's own place mode, played by its nodes."""

    def interaction(self):
        return slicer.app.applicationLogic().GetInteractionNode()

    def place(self, button, *points) -> None:
        """Click the button, then the points of the world in a view."""
        button.click()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        self.assertEqual(self.interaction().GetCurrentInteractionMode(), self.interaction().Place)
        node = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
        for point in points:
            node.AddControlPointWorld(list(point))
        if node.IsA("vtkMRMLMarkupsROINode"):
            node.SetSize(1.5, 1.5, 1.5)
        self.interaction().SetCurrentInteractionMode(self.interaction().ViewTransform)

    def world(self, *voxel) -> np.ndarray:
        return (nodes.ijkToRas(self.volume) @ [*voxel, 1])[:3]

    def test_a_click_reads_the_patches_there(self) -> None:
        self.begin(2)
        before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")
        self.place(self.ui.refineHereButton, self.world(10, 4, 4))
        self.assertTrue(waitUntil(lambda: self.logic.running))
        self.assertEqual(self.logic.run.parameters.wishes.first, (PatchBox((10, 4, 4), (11, 5, 5)),))
        self.waitForEnd()
        self.assertFalse(self.ui.refineHereButton.checked)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode"), before)

    def test_a_box_reads_the_patches_it_touches(self) -> None:
        self.begin(2)
        self.place(self.ui.refineBoxButton, self.world(5, 4, 4))
        self.assertTrue(waitUntil(lambda: self.logic.run.continues))
        box = self.logic.run.parameters.wishes.first[0]
        self.assertTrue(all(a <= 5 - (5 - 4) * (axis > 0) < b for axis, (a, b) in enumerate(zip(box.start, box.stop))))
        self.waitForEnd()

    def test_esc_leaves_everything_as_it_was(self) -> None:
        self.begin(2)
        run = self.logic.run
        self.place(self.ui.refineHereButton)
        self.assertTrue(waitUntil(lambda: not self.panel._refine.placing))
        self.assertIs(self.logic.run, run)
        self.assertFalse(self.ui.refineHereButton.checked)

    def test_a_second_click_on_the_button_leaves_place_mode(self) -> None:
        self.begin(2)
        self.ui.refineHereButton.click()
        self.ui.refineHereButton.click()
        self.assertNotEqual(self.interaction().GetCurrentInteractionMode(), self.interaction().Place)
        self.assertFalse(self.panel._refine.placing)

    def test_a_place_outside_the_volume_is_said(self) -> None:
        self.begin(2)
        run = self.logic.run
        self.place(self.ui.refineHereButton, self.world(100, 4, 4))
        self.assertTrue(waitUntil(lambda: not self.panel._refine.placing))
        self.assertIs(self.logic.run, run)
        self.assertIn("lies outside CT", self.ui.statusLabel.text)

    def test_closing_the_scene_leaves_place_mode(self) -> None:
        self.begin(2)
        self.ui.refineHereButton.click()
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.panel._refine.placing)
        self.assertFalse(self.ui.refineHereButton.checked)


class TestPlaces(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def test_a_box_of_the_world_is_one_of_the_volume(self) -> None:
        for name, axes in GEOMETRIES.items():
            with self.subTest(name):
                volume = makeVolume(axes)
                world = (nodes.ijkToRas(volume) @ [3, 4, 5, 1])[:3]
                self.assertEqual(places.pointBox(world, volume), PatchBox((3, 4, 5), (4, 5, 6)))
                roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
                roi.AddControlPointWorld([float(value) for value in world])
                with self.assertRaisesRegex(VolumeError, "empty"):
                    roi.SetSize(0, 0, 0)
                    places.roiBox(roi, volume)
                roi.SetSize(0.2, 0.2, 0.2)
                self.assertEqual(places.roiBox(roi, volume), PatchBox((3, 4, 5), (4, 5, 6)))

    def test_a_transform_of_the_volume_is_followed(self) -> None:
        volume = makeVolume(GEOMETRIES["axial"])
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[:3, 3] = (100, 0, 0)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(transform.GetID())
        world = (nodes.ijkToRas(volume) @ [3, 4, 5, 1])[:3] + np.array((100, 0, 0))
        self.assertEqual(places.pointBox(world, volume), PatchBox((3, 4, 5), (4, 5, 6)))


if __name__ == "__main__":
    unittest.main()
