"""More on a result that was loaded with its scene: what was read is read again while the result stands, then more is
added, and it all equals a straight run; what the user has edited stays.
"""

import dataclasses
import json
import sys
import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import SHAPE, labelsOf, makeFolder, makeVolume, requireTorch, waitUntil
from chain import ChainCase, Player, labels

from EfficientSegBridge import bundles, efforts, overlay_nodes, segment_layers
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.protocol import Failed, Finished, Partial, Reviewed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from phantoms import torso


class RecordingPlayer(Player):
    """Writes a run record as the worker does."""

    bundle = None
    pausing = False  # waits before each first result
    failing = False  # when asked to go on
    precision = "fp32"

    def _play(self, request):
        for event in super()._play(request):
            while self.pausing and isinstance(event, Partial) and not self._stopped:
                yield None
            if self.failing and request.continue_from and isinstance(event, Partial) and event.patches_read > 2:
                self._timer.stop()
                yield Failed("The disk is full.", "", "")
                return
            if hasattr(event, "precision"):
                event = dataclasses.replace(event, precision=self.precision)
            if isinstance(event, Finished):
                event = dataclasses.replace(event, record=self._record(request, event))
                yield Reviewed((), (), ())
            yield event

    def _record(self, request, event: Finished) -> str:
        content = {
            "bundle": {
                "name": self.bundle.name,
                "version": self.bundle.version,
                "weights_sha256": self.bundle.weights.sha256,
            },
            "strategy": {"name": "nmsw", "options": request.options},
            "wishes": {
                "first": [dataclasses.asdict(place) for place in request.first],
                "only_first": request.only_first,
                "structures": list(request.structures),
                "region": None if request.region is None else dataclasses.asdict(request.region),
            },
            "complete": event.complete,
            "precision": self.precision,
        }
        path = Path(request.output_dir) / "run.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)


class LoadedCase(ChainCase):
    def makePlayer(self, _python: str) -> Player:
        player = RecordingPlayer(self.slow)
        player.bundle = self.bundle
        self.players.append(player)
        return player

    def reload(self) -> None:
        """Save, close and load the scene, in an application whose worker is another one."""
        self.assertTrue(waitUntil(lambda: not self.logic.run.keeper.busy))
        path = str(Path(makeFolder()) / "Dr. Jöhn Ωé.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(0)
        self.logic.stop()
        slicer.util.loadScene(path)
        self.widget.enter()
        self.volume, self.node = slicer.util.getNode("CT"), self.panel.parameterNode
        self.assertIsNone(self.logic.result)

    def more(self, patches: int = 5) -> None:
        self.node.effort = efforts.EFFORTS.index(patches)
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.segment()
        self.assertEqual(self.waitForEnd().state, "done", self.logic.run.text)

    def liver(self) -> np.ndarray:
        return labelsOf(self.node.segmentation, "played_1", self.volume)

    def assertLiver(self, read) -> None:
        np.testing.assert_array_equal(self.liver(), labels(read) == 1)

    def boxes(self) -> int:
        return self.logic.overlay.boxesNode.GetPolyData().GetNumberOfCells() // 6


class TestLoaded(LoadedCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin(2)
        self.reload()

    def test_more_is_offered_with_the_right_words_and_time(self) -> None:
        self.node.effort = efforts.EFFORTS.index(5)
        tip = self.ui.segmentButton.toolTip
        self.assertIn("Read patches 3 to 5 of 7", tip)
        self.assertIn("loaded with its scene, so what was read is read again first; your changes stay", tip)
        self.assertIn("About 11 s.", tip)  # 1 s and five patches of 2 s, as a run from the beginning
        self.assertEqual(self.ui.effortLabel.text, "≈ 11 s")
        self.assertIn("before more is added, it is read again", self.ui.patchesLabel.text)
        self.assertTrue(self.ui.anewButton.enabled)

    def test_it_equals_a_straight_run(self) -> None:
        self.more()
        self.assertEqual(self.said()[-2:], [[3, 2], [1, 4, 0]])
        self.assertLiver([3, 2, 1, 4, 0])
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 2)  # and the refined area
        self.assertEqual(self.boxes(), 5)
        self.assertIn("5 of 7 patches read", self.ui.statusLabel.text)
        self.node.effort = efforts.EFFORTS.index(10)
        self.assertIn("nothing is read twice", self.ui.segmentButton.toolTip)
        self.segment()
        self.waitForEnd()
        self.assertEqual(self.said()[-1], [5, 6])

    def test_what_the_user_edits_after_loading_stays(self) -> None:
        (layer,) = segment_layers.layers(self.node.segmentation, self.volume)
        layer.part(PatchBox((5, 3, 3), (6, 4, 4)))[:] = 0
        layer.image.Modified()
        self.more()
        expected = labels([3, 2, 1, 4, 0]) == 1
        expected[5, 3, 3] = False
        np.testing.assert_array_equal(self.liver(), expected)
        self.ui.undoButton.click()
        self.assertFalse(self.liver()[5, 3, 3])

    def test_a_deleted_segment_does_not_come_back_and_a_hidden_one_stays_hidden(self) -> None:
        self.node.segmentation.GetDisplayNode().SetSegmentVisibility("played_1", False)
        self.more()
        self.assertFalse(self.node.segmentation.GetDisplayNode().GetSegmentVisibility("played_1"))
        self.ui.undoButton.click()
        self.node.segmentation.GetSegmentation().RemoveSegment("played_1")
        self.more()
        self.assertEqual(self.node.segmentation.GetSegmentation().GetNumberOfSegments(), 0)

    def test_the_loaded_result_its_overlay_and_record_stand_until_more_is_read(self) -> None:
        self.ui.whyButton.collapsed = False
        self.assertEqual(self.ui.patchesTable.rowCount, 2)
        seen = set()

        def look() -> bool:
            run = self.logic.run
            if run is not None and run.running and run.isRereading:
                table = self.ui.patchesTable.rowCount
                seen.add((table, self.boxes(), int(self.liver().sum()), self.ui.blinkButton.enabled))
            return run is not None and not run.running

        self.logic._makeWorker = lambda python: self.pausing(python)
        self.segment()
        self.assertTrue(waitUntil(lambda: look() or "Reading again" in self.ui.statusLabel.text or len(seen) > 0, 5))
        self.logic.worker.pausing = False
        self.assertTrue(waitUntil(look))
        self.assertEqual(seen, {(2, 2, int((labels([3, 2]) == 1).sum()), True)})
        self.assertEqual(self.logic.run.state, "done", self.logic.run.text)
        self.ui.whyButton.collapsed = True

    def pausing(self, python: str) -> Player:
        player = self.makePlayer(python)
        player.pausing = True
        return player

    def test_undo_brings_the_loaded_result_and_its_overlay_back_and_more_works_again(self) -> None:
        self.more()
        self.ui.undoButton.click()
        self.assertLiver([3, 2])
        self.assertEqual(self.boxes(), 2)
        self.assertIsNotNone(overlay_nodes.find("coverage"))
        self.assertFalse(self.ui.undoButton.enabled)
        self.more()
        self.assertLiver([3, 2, 1, 4, 0])

    def test_stopped_while_it_is_read_again_nothing_has_changed(self) -> None:
        self.logic._makeWorker = lambda python: self.pausing(python)
        self.segment()
        self.assertTrue(waitUntil(lambda: self.logic.worker.requests))
        self.ui.stopButton.click()
        self.assertEqual(self.waitForEnd().state, "stopped")
        self.assertIn("as it was loaded", self.ui.statusLabel.text)
        self.assertLiver([3, 2])
        self.assertEqual(self.boxes(), 2)
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.assertEqual(self.leftOvers(), [])

    def test_killed_in_either_part_it_stands_as_it_was_loaded(self) -> None:
        self.logic._makeWorker = lambda python: self.pausing(python)
        self.segment()
        self.assertTrue(waitUntil(lambda: self.logic.worker.requests))
        waitUntil(lambda: False, 0.05)
        self.logic.worker.die()
        self.assertEqual(self.waitForEnd().state, "failed")
        self.assertLiver([3, 2])
        self.assertEqual(self.boxes(), 2)
        self.logic.worker.pausing, self.logic.worker.failing = False, True
        self.segment()
        self.assertEqual(self.waitForEnd().state, "failed")
        self.assertIn("The disk is full.", self.ui.statusLabel.text)
        self.assertLiver([3, 2])
        self.assertEqual(self.boxes(), 2)
        self.assertEqual(self.leftOvers(), [])

    def test_refine_here_reads_it_again_and_then_only_that_place(self) -> None:
        self.panel._onPlace(PatchBox((10, 4, 4), (11, 5, 5)))
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertEqual(self.said()[-2:], [[3, 2], [5]])
        self.assertLiver([3, 2, 5])

    def test_numbers_of_another_kind_are_said_and_nothing_of_it_is_taken_for_an_edit(self) -> None:
        self.addCleanup(setattr, RecordingPlayer, "precision", "fp32")
        RecordingPlayer.precision = "bf16"
        self.more()
        self.assertIn("Undo brings it back", self.ui.statusLabel.text)
        self.assertLiver([3, 2, 1, 4, 0])

    def test_another_model_volume_or_method_is_segment(self) -> None:
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.node.strategy = "sliding_window"
        self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")
        self.node.strategy = "auto"
        record = self.node.segmentation.GetNodeReference("EfficientSeg.Record")
        text = record.GetText()
        for wrong in (text.replace('"version": "1.0.0"', '"version": "9"'), text.replace('"precision"', '"x"'), "{"):
            record.SetText(wrong)
            self.panel._showState()
            self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")
        record.SetText(text)
        self.panel._showState()
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.node.volume = makeVolume(name="other")
        self.assertEqual(self.ui.segmentButton.text.replace("&", ""), "Segment")


class TestHistory(LoadedCase):
    """Results that came about in several steps are read again in one."""

    def test_more_and_refine_here_before_saving(self) -> None:
        self.begin(2)
        self.logic.refineHere([PatchBox((10, 4, 4), (11, 5, 5))])
        self.waitForEnd()
        self.reload()
        self.more(5)
        self.assertEqual(sorted(self.said()[-2]), [2, 3, 5])
        self.assertEqual(sorted([*self.said()[-2], *self.said()[-1]]), [1, 2, 3, 4, 5])
        self.assertNotIn("Undo brings it back", self.ui.statusLabel.text)

    def test_what_the_user_had_edited_before_saving_stays(self) -> None:
        self.begin(2)
        self.logic.run.segments._image.voxels.T[5, 3, 3] = 0
        self.reload()
        self.more()
        expected = labels([3, 2, 1, 4, 0]) == 1
        expected[5, 3, 3] = False
        np.testing.assert_array_equal(self.liver(), expected)

    def test_a_run_that_was_stopped(self) -> None:
        self.slow = True
        self.node.effort = efforts.EFFORTS.index(5)
        self.segment()
        self.waitForCoarse()
        self.ui.stopButton.click()
        self.assertEqual(self.waitForEnd().state, "stopped")
        self.slow = False
        self.reload()
        self.more(2)
        self.assertEqual(self.said()[-2:], [[], [3, 2]])
        self.assertLiver([3, 2])


class TestRealWorker(LoadedCase):
    """With the real worker: the same patches and the same labels as a straight run."""

    @classmethod
    def setUpClass(cls) -> None:
        requireTorch()

    def setUp(self) -> None:
        super().setUp()
        self.logic._makeWorker = self.makeWorker
        slicer.mrmlScene.RemoveNode(self.volume)
        self.volume = makeVolume(np.diag([4.0, 4.0, 4.0]), array=torso(seed=3)[0], name="CT")
        self.node.volume = self.volume
        self.node.bundle, self.node.threads = str(bundles.SHIPPED / bundles.SELF_TEST), 1

    def run_(self, patches: int):
        self.node.effort = efforts.EFFORTS.index(patches)
        self.segment()
        self.assertTrue(waitUntil(lambda: not self.logic.running, 120))
        self.assertEqual(self.logic.run.state, "done", self.logic.run.text)
        return self.logic.run

    def labels(self) -> np.ndarray:
        node, found = self.node.segmentation, np.zeros(SHAPE, np.uint8)
        segmentation = node.GetSegmentation()
        found = np.zeros(slicer.util.arrayFromVolume(self.volume).T.shape, np.uint8)
        for index in range(segmentation.GetNumberOfSegments()):
            name = segmentation.GetNthSegmentID(index)
            found[labelsOf(node, name, self.volume)] = int(name.rpartition("_")[2])
        return found

    def test_more_after_loading_equals_a_straight_run(self) -> None:
        straight = self.run_(5)
        order = [scored.box for scored in straight.patches]
        expected = self.labels()
        self.node.segmentation = None
        self.run_(2)
        few = self.labels()
        self.assertGreater(int((few != expected).sum()), 0, "more must change something here")
        self.reload()
        self.assertEqual(self.ui.segmentButton.text, "More")
        run = self.run_(5)
        self.assertTrue(run.continues)
        self.assertEqual([scored.box for scored in run.patches], order)
        np.testing.assert_array_equal(self.labels(), expected)
        self.assertNotIn("Undo brings it back", run.text)


if __name__ == "__main__":
    unittest.main()
