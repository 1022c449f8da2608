"""More, Refine here, and Undo as chains of runs: nothing is read twice, and every fault leaves the last result."""

import os
import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
from bench import GEOMETRIES, SHAPE, labelsOf, makeVolume, waitUntil
from test_widget import WidgetCase

from EfficientSegBridge import efforts, exit_words, nodes, places
from EfficientSegBridge.parameters import Parameters
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.geometry import PatchBox, ScoredBox, whole
from EfficientSegLib.protocol import Finished, Pace, Partial, Patches, Started, Warned

ORDER = (3, 2, 1, 4, 0, 5, 6)  # in which the seven patches are read


def box(number: int) -> PatchBox:
    """Six patches are slabs of two voxels along I; the seventh is the first slice."""
    return PatchBox((2 * number, 0, 0), (2 * number + 2, 10, 8)) if number < 6 else PatchBox((0, 0, 0), (12, 10, 1))


def labels(read) -> np.ndarray:
    """A liver, 4 voxels wide along J, and 5 where a patch was read."""
    liver = np.zeros(SHAPE, np.uint8, order="F")
    liver[1:11, 2:6, 2:6] = 1
    for number in read:
        if number < 6:
            wide = slice(max(2 * number, 1), min(2 * number + 2, 11))
            liver[wide, 6, 2:6] = 1
    return liver


class Player:
    """A worker in this process, at the border of WorkerProcess, which keeps what it has read.

    Args:
        slow: it reads no patch before it is asked to stop.
    """

    def __init__(self, slow: bool = False) -> None:
        self.slow = slow
        self.log, self.onLog = [], None
        self.pids: set[int] = set()
        self.kept: dict[str, list[int]] = {}
        self.requests = []
        self._stopped = False
        self._events = None
        self._timer = qt.QTimer()
        self._timer.setInterval(1)
        self._timer.timeout.connect(self._next)

    @property
    def running(self) -> bool:
        return bool(self.pids)

    @property
    def busy(self) -> bool:
        return self._timer.isActive()

    def start(self, request, onEvent) -> None:
        self.requests.append(request)
        self.pids = {4711}
        self._stopped, self._say, self._events = False, onEvent, self._play(request)
        self._timer.start()

    def cancel(self) -> None:
        self._stopped = True

    def stop(self) -> None:
        self._timer.stop()
        self._events = None
        self.pids, self.kept = set(), {}

    def die(self) -> None:
        """As WorkerProcess tells of a worker that was killed."""
        self.stop()
        self._say(exit_words.ended(-9, True, [], 900.0))

    def _next(self) -> None:
        try:
            event = next(self._events)
        except StopIteration:
            self._timer.stop()
            return
        if isinstance(event, Finished):
            self._timer.stop()
        if event is not None:
            self._say(event)

    def _write(self, request, name: str, array: np.ndarray) -> str:
        path = os.path.join(request.output_dir, name)
        np.save(path, np.asfortranarray(array))
        return path

    def _play(self, request):
        earlier = self.kept.get(request.continue_from, [])
        yield Started(4711, "cpu", 1)
        if request.continue_from and not earlier:
            yield Warned("Everything is computed anew.")
        first = [n for n in ORDER if any(box(n).intersection(wish) for wish in request.first) and n not in earlier]
        budget = max((7 if request.options["top_k"] is None else request.options["top_k"]) - len(earlier), 0)
        usual = [n for n in ORDER if n not in earlier][:budget]
        wanted = first + ([] if request.only_first and earlier else [n for n in usual if n not in first])
        chosen = [*earlier, *wanted]
        yield Patches(tuple(ScoredBox(box(n), 1 - 0.1 * rank, rank + 1) for rank, n in enumerate(chosen)), 7)
        first = Partial(self._write(request, "partial_0.npy", labels(earlier)), whole(SHAPE), len(earlier), len(chosen))
        yield first
        read = list(earlier)
        for number in wanted:
            while self.slow and not self._stopped:
                yield None
            if self._stopped:
                break
            read.append(number)
            cut = labels(read)[box(number).slices()]
            path = self._write(request, f"partial_{len(read)}.npy", cut)
            yield Partial(path, box(number), len(read), len(chosen))
        self.kept = {f"run-{len(self.requests)}": read}
        yield Pace(1.0, 2.0, 7)
        path = self._write(request, "labels.npy", labels(read))
        complete = len(read) == len(chosen)
        self.log.append(read[len(earlier) :])
        yield Finished(path, "", "", 1.5, 100.0, complete, len(read), len(chosen), *self.kept)


class ChainCase(WidgetCase):
    slow = False

    def setUp(self) -> None:
        super().setUp()
        self.players: list[Player] = []
        self.logic._makeWorker = self.makePlayer

    def makePlayer(self, _python: str) -> Player:
        self.players.append(Player(self.slow))
        return self.players[-1]

    def begin(self, patches: int = 2) -> None:
        self.node.effort = efforts.EFFORTS.index(patches)
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done", self.logic.run.text)

    def said(self) -> list[list[int]]:
        """Which patches each run has read."""
        waitUntil(lambda: False, 0.02)
        return [read for player in self.players for read in player.log]

    def liver(self) -> np.ndarray:
        return labelsOf(self.result(), self.logic.result.segments.segmentId(self.bundle.labels[0]), self.volume)

    def widths(self) -> list[int]:
        """How wide the liver is at each voxel along I: 5 where a patch was read."""
        return [int(plane.any(axis=1).sum()) for plane in self.liver()]


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


class TestRefineHere(ChainCase):
    BOX = PatchBox((10, 4, 4), (11, 5, 5))  # over patch 5, which would be read sixth

    def test_on_a_result_only_its_patches_are_read(self) -> None:
        self.begin(2)
        self.logic.refineHere([self.BOX])
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
        self.logic.refineHere([self.BOX])
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(self.said()[-1], [5])

    def test_during_a_run_it_stops_and_goes_on_with_them(self) -> None:
        self.slow = True
        self.node.effort = efforts.EFFORTS.index(5)
        self.segment()
        self.waitForCoarse()
        first = self.logic.run
        self.logic.refineHere([self.BOX])
        self.assertTrue(waitUntil(lambda: self.logic.run is not first and self.logic.run.segments.started))
        self.assertEqual(first.state, "stopped")
        self.assertTrue(self.logic.run.continues)
        self.assertEqual([scored.box.start[0] for scored in self.logic.run.patches[:1]], [10])
        self.assertEqual(len(self.logic.run.patches), 1 + 5)

    def test_without_a_result_the_next_run_begins_there(self) -> None:
        self.node.effort = efforts.EFFORTS.index(2)
        self.panel._onPlace(self.BOX)
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(self.said(), [[5, 3, 2]])

    def test_more_afterwards_reads_nothing_twice(self) -> None:
        self.begin(2)
        self.logic.refineHere([self.BOX])
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
        request = parameters.withWishes(first=(self.BOX,), structures=(1,)).request(Path(self.bundle.folder))
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
        self.logic.refineHere([TestRefineHere.BOX])
        self.logic.run.abandon("gone")
        waitUntil(lambda: False, 0.1)
        self.assertIs(self.logic.run, run)
        self.assertEarlierStands()


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
