"""Dropped tokens: the map lies where the tokens do, its legend says what they are, it comes and goes with its run."""

import dataclasses
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import GEOMETRIES, SHAPE, labelsOf, makeFolder, makeVolume, python, waitUntil
from chain import ChainCase, Player, box
from test_widget import WidgetCase

from EfficientSegBridge import bundles as shelf
from EfficientSegBridge import efforts, overlay_image, overlay_nodes, tokens
from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Component
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.protocol import Finished, Tokens

STAGES = 3
TESTING = Path(__file__).resolve().parents[1]
MAKE = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from transformer_bundle import STP, write_nmsw_bundle
write_nmsw_bundle(Path(sys.argv[2]), "stp_unetr", STP)
"""


def depths(read) -> np.ndarray:
    """Of each patch that was read: the first quarter along J dropped first, the last computed to the end."""
    found = np.zeros(SHAPE, np.uint8)
    for number in read:
        place = found[box(number).slices()]
        for level in range(1, STAGES + 2):
            place[:, (level - 1) * 10 // 4 : level * 10 // 4] = level
    return found


class TokenPlayer(Player):
    """Tells where tokens were dropped, as the worker does where it is asked."""

    broken: np.ndarray | None = None  # told instead

    def _play(self, request):
        for event in super()._play(request):
            if isinstance(event, Finished) and request.tokens:
                read = next(iter(self.kept.values()))
                told = depths(read) if self.broken is None else self.broken
                yield Tokens(self._write(request, "tokens.npy", told), STAGES)
            yield event


class TokensCase(ChainCase):
    def setUp(self) -> None:
        super().setUp()
        token = dataclasses.replace(self.bundle, network=Component("nmsw", {"local_backbone": "stp_unetr"}))
        bundles.save(token, self.bundle.folder)
        self.bundle = bundles.load(self.bundle.folder)
        self.panel._model.fill()
        self.panel._onParameters()
        self.ui.whyButton.collapsed = False

    def makePlayer(self, _python: str) -> Player:
        self.players.append(TokenPlayer(self.slow))
        return self.players[-1]

    def shown(self) -> bool:
        node = overlay_nodes.find("tokens")
        return node is not None and bool(node.GetDisplayNode().GetVisibility())

    def map(self) -> np.ndarray:
        """The map as Slicer resolves it, (I, J, K)."""
        node = overlay_nodes.find("tokens")
        found = np.zeros(SHAPE, np.uint8)
        for level in range(1, STAGES + 2):
            found[labelsOf(node, f"level{level}", self.volume)] = level
        return found


class TestPanel(TokensCase):
    def test_it_is_off_until_it_is_ticked_and_then_says_what_the_colours_mean(self) -> None:
        self.assertTrue(self.ui.showTokensCheckBox.enabled)
        self.assertFalse(self.ui.showTokensCheckBox.checked)
        self.begin(2)
        self.assertFalse(self.shown())
        self.assertTrue(self.ui.tokensLabel.isHidden())
        self.ui.showTokensCheckBox.click()
        self.assertTrue(self.shown())
        said = self.ui.tokensLabel.text
        self.assertFalse(self.ui.tokensLabel.isHidden())
        places = [said.index(word) for word in ("dropped first", "step 2 of 3", "step 3 of 3", "computed to the end")]
        self.assertEqual(places, sorted(places))
        self.assertIn("dropped first:&nbsp;20%", said)
        self.assertEqual(said.count("color:#"), STAGES + 1)
        self.ui.showTokensCheckBox.click()
        self.assertFalse(self.shown())
        self.assertTrue(self.ui.tokensLabel.isHidden())

    def test_a_model_without_tokens_is_not_asked_and_says_so(self) -> None:
        bundles.save(dataclasses.replace(self.bundle, network=Component("nmsw", {})), self.bundle.folder)
        self.bundle = bundles.load(self.bundle.folder)
        self.panel._model.fill()
        self.panel._onParameters()
        self.assertFalse(self.ui.showTokensCheckBox.enabled)
        self.assertIn("drops no tokens", self.ui.showTokensCheckBox.toolTip)
        self.begin(2)
        self.assertFalse(self.players[0].requests[0].tokens)
        self.assertIsNone(overlay_nodes.find("tokens"))

    def test_it_lies_where_the_tokens_do_and_grows_with_more(self) -> None:
        self.ui.showTokensCheckBox.click()
        self.assertIn("end of the next run", self.ui.tokensLabel.text)
        self.begin(2)
        np.testing.assert_array_equal(self.map(), depths([3, 2]))
        self.segment()
        self.assertTrue(waitUntil(lambda: self.logic.run.patches))
        self.assertTrue(self.shown(), "what was seen before stays while more is read")
        self.waitForEnd()
        np.testing.assert_array_equal(self.map(), depths([3, 2, 1, 4, 0]))
        self.ui.undoButton.click()
        np.testing.assert_array_equal(self.map(), depths([3, 2]))
        self.assertTrue(self.shown())
        self.ui.undoButton.click()
        self.assertIsNone(overlay_nodes.find("tokens"))

    def test_ticked_during_a_run_it_is_seen_at_its_end(self) -> None:
        self.slow = True
        self.segment()
        self.waitForCoarse()
        self.ui.showTokensCheckBox.click()
        self.ui.showCoverageCheckBox.click()
        self.logic.worker.slow = False
        self.assertEqual(self.waitForEnd().state, "done")
        self.assertTrue(self.shown())
        self.assertTrue(overlay_nodes.find("coverage").GetDisplayNode().GetVisibility())

    def test_refine_here_and_a_run_from_the_beginning_have_maps_of_their_own(self) -> None:
        self.begin(2)
        self.logic.refineHere([PatchBox((10, 4, 4), (11, 5, 5))])  # in patch 5
        self.waitForEnd()
        np.testing.assert_array_equal(self.map(), depths([3, 2, 5]))
        self.ui.anewButton.click()
        self.waitForEnd()
        np.testing.assert_array_equal(self.map(), depths([3, 2]))

    def test_a_map_that_cannot_be_read_costs_only_the_map(self) -> None:
        for broken in (np.full(SHAPE, 9, np.uint8), np.zeros(5, np.uint8)):
            with self.subTest(broken.shape):
                self.addCleanup(setattr, TokenPlayer, "broken", None)
                TokenPlayer.broken = broken
                self.node.segmentation = None
                self.begin(2)
                self.assertIsNone(overlay_nodes.find("tokens"))

    def test_where_only_the_overview_was_used_there_is_no_map(self) -> None:
        self.ui.showTokensCheckBox.click()
        self.begin(0)
        self.assertIsNone(overlay_nodes.find("tokens"))
        self.assertIn("end of the next run", self.ui.tokensLabel.text)

    def test_a_saved_scene_shows_map_and_legend_again(self) -> None:
        self.ui.showTokensCheckBox.click()
        self.begin(2)
        said = self.ui.tokensLabel.text
        path = str(Path(makeFolder()) / "tokens.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(0)
        self.assertIsNone(overlay_nodes.find("tokens"))
        self.assertTrue(self.ui.tokensLabel.isHidden())
        slicer.util.loadScene(path)
        self.widget.enter()
        self.volume = slicer.util.getNode("CT")
        self.assertTrue(self.ui.showTokensCheckBox.checked)
        self.assertTrue(self.shown())
        self.assertEqual(self.ui.tokensLabel.text, said)
        np.testing.assert_array_equal(self.map(), depths([3, 2]))

    def test_it_is_no_place_for_a_result(self) -> None:
        self.begin(2)
        node = overlay_nodes.find("tokens")
        self.assertTrue(node.GetHideFromEditors())
        self.assertFalse(node.GetDisplayNode().GetVisibility3D())
        listed = [self.ui.segmentationSelector.nodeFromIndex(index) for index in range(3)]
        self.assertNotIn(node, listed)

    def test_comparisons_and_queues_do_not_ask_for_it(self) -> None:
        from EfficientSegBridge import study_kinds

        parameters = self.panel.parameters()
        self.assertTrue(parameters.request(makeFolder()).tokens)
        self.assertFalse(study_kinds.studyRequest(parameters, makeFolder()).tokens)


class TestMap(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def read(self, array: np.ndarray) -> tokens.TokenMap:
        path = Path(makeFolder()) / "tokens.npy"
        np.save(path, np.asfortranarray(array))
        work = tokens.reading(str(path), STAGES)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value

    def test_in_a_large_oblique_volume_each_large_voxel_is_that_of_its_middle(self) -> None:
        shape = (300, 20, 10)
        volume = makeVolume(GEOMETRIES["oblique"], shape=shape, array=np.zeros(shape, np.int16))
        array = np.zeros(shape, np.uint8)
        for index, level in enumerate((1, 2, 4, 0, 3)):
            array[60 * index : 60 * index + 60, 5:15] = level
        found = self.read(array)
        self.assertLessEqual(max(found.depths.shape), overlay_image.MOST)
        tokens.show(found, volume, True)
        for level in (1, 2, 3, 4):
            seen = labelsOf(overlay_nodes.find("tokens"), f"level{level}", volume)
            wrong = np.flatnonzero((seen != (array == level)).any(axis=(1, 2)))
            self.assertTrue(all(min(place % 60, 60 - place % 60) <= 2 for place in wrong), wrong)
            self.assertGreater(int(seen.sum()), 0.9 * int((array == level).sum()))

    def test_shares_are_of_what_was_read(self) -> None:
        array = np.zeros(SHAPE, np.uint8)
        array[:4] = 1
        array[4:5] = 4
        tokens.show(self.read(array), makeVolume(), False)
        self.assertEqual([round(level.share, 3) for level in tokens.legend()], [0.8, 0, 0, 0.2])

    def test_later_steps_are_brighter(self) -> None:
        for stages in (1, 3, 5):
            light = [sum(tokens.color(level, stages)) for level in range(1, stages + 2)]
            self.assertEqual(light, sorted(light))


@unittest.skipUnless((TESTING / "transformer_bundle.py").is_file(), "The maker of small bundles is not installed.")
class TestRealWorker(WidgetCase):
    """A small network of tokens with random weights, inside NMSW, through the real worker."""

    def setUp(self) -> None:
        super().setUp()
        self.logic._makeWorker = self.makeWorker
        folder = makeFolder() / "tokens"
        made = subprocess.run([python(), "-c", MAKE, str(TESTING), str(folder)], capture_output=True, text=True)
        if made.returncode:
            raise unittest.SkipTest(f"PyTorch does not work in Slicer's Python: {made.stderr[-300:]}")
        shelf.add(folder)
        self.panel._model.fill()
        slicer.mrmlScene.RemoveNode(self.volume)
        array = np.random.default_rng(0).integers(-1000, 1000, (72, 60, 66)).astype(np.int16)
        self.volume = makeVolume(np.diag([-1.6, -1.6, 1.6]), array=array, name="CT")
        self.node.volume, self.node.bundle, self.node.threads = self.volume, str(folder), 1
        self.node.effort = efforts.EFFORTS.index(2)

    def test_the_map_covers_what_was_read_and_all_steps_occur(self) -> None:
        self.ui.showTokensCheckBox.click()
        self.segment()
        self.assertTrue(waitUntil(lambda: not self.logic.running, 120))
        run = self.logic.run
        self.assertEqual(run.state, "done", run.text)
        node = overlay_nodes.find("tokens")
        self.assertTrue(node.GetDisplayNode().GetVisibility())
        levels = [labelsOf(node, f"level{level}", self.volume) for level in range(1, STAGES + 2)]
        self.assertTrue(all(level.any() for level in levels))
        self.assertAlmostEqual(sum(level.share for level in tokens.legend()), 1, 3)
        read = np.zeros(levels[0].shape, bool)
        for scored in run.patches[: run.patchesRead]:
            read[scored.box.slices()] = True
        differs = np.logical_or.reduce(levels) != read
        self.assertLess(differs.mean(), 0.05, "but for the rim, which the scan's own voxels round")
        self.assertTrue(run.record["tokens"])


@unittest.skipUnless("standin" in sys.modules, "Inside Slicer there are screenshots of one's own.")
class TestPicture(TokensCase):
    def test_it_is_seen_in_the_views_and_fits_the_panel(self) -> None:
        import qt

        import standin

        output = TESTING / "output"
        output.mkdir(exist_ok=True)
        application = standin.start()
        self.ui.showTokensCheckBox.click()
        self.ui.showBoxesCheckBox.checked = False
        self.begin(5)
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)
        for name, dark in (("light", False), ("dark", True)):
            application.screenshot_panel(self.widget.parent, output / f"tokens-{name}.png", width=350, dark=dark)
        self.assertLessEqual(self.widget.parent.minimumSizeHint.width(), 350)
        application.screenshot_views(output / "tokens-views.png")
        image = qt.QImage(str(output / "tokens-views.png")).convertToFormat(qt.QImage.Format.Format_RGB32)
        pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)[..., 2::-1]
        pixels = pixels.astype(int)
        orange = (pixels[..., 0] > pixels[..., 2] + 60) & (pixels[..., 0] > pixels[..., 1] + 20)
        self.assertGreater(int(orange.sum()), 200, "the map is not to be seen")


if __name__ == "__main__":
    unittest.main()
