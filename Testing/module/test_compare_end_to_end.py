"""Two efforts compared by the real worker: the table says what the two segmentations hold; a picture of both."""

import sys
import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
import test_pictures
from bench import labelsOf, requireTorch, waitUntil
from test_widget import moduleWidget

from EfficientSegBridge import efforts
from EfficientSegBridge.comparison_views import SIDES, names
from EfficientSegBridge.paces import millilitres
from EfficientSegBridge.torch_probe import TorchState

OUTPUT = Path(__file__).resolve().parents[1] / "output"


class TestComparedByTheWorker(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        requireTorch()

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.widget = moduleWidget()
        self.ui, self.logic, self.panel = self.widget.ui, self.widget.logic, self.widget.panel
        self.panel._probe.stop()
        self.panel._probe.state = TorchState("ok", "2.9")
        self.panel.setParameterNode(self.logic.getParameterNode())
        node = self.panel.parameterNode
        node.bundle, node.volume = test_pictures.TestPictures.subject()
        self.volume = node.volume
        manager = slicer.app.layoutManager()
        layout = manager.layout if manager else None
        self.addCleanup(self.logic.stop)
        self.addCleanup(lambda: manager.setLayout(layout) if manager else None)

    def test_the_table_says_what_the_segmentations_hold(self) -> None:
        ui, comparison = self.ui, self.logic.comparison
        ui.compareSectionButton.collapsed = True
        ui.compareSectionButton.collapsed = False
        ui.compareEffortA.currentIndex, ui.compareEffortB.currentIndex = 0, efforts.EFFORTS.index(10)
        ui.compareStartButton.click()
        self.assertTrue(waitUntil(lambda: not comparison.running, 400), comparison.text)
        self.assertEqual(comparison.state, "done", comparison.text)
        one, other = comparison.sides
        self.assertEqual(one.finished.patches_read, 0)
        self.assertGreater(other.finished.patches_read, 0)
        self.assertGreater(min(one.finished.seconds, one.finished.peak_memory_mb), 0)
        voxelMl = millilitres(self.volume) / slicer.util.arrayFromVolume(self.volume).size
        differing = 0
        for label, found in zip(one.parameters.bundle.shown_labels, comparison.agreements):
            masks = [self.mask(side, label) for side in comparison.sides]
            self.assertAlmostEqual(found.one_ml, masks[0].sum() * voxelMl, places=3)
            self.assertAlmostEqual(found.other_ml, masks[1].sum() * voxelMl, places=3)
            total = int(masks[0].sum() + masks[1].sum())
            if total:
                self.assertAlmostEqual(found.dice, 2 * int((masks[0] & masks[1]).sum()) / total)
                differing += found.dice < 1
        self.assertGreater(differing, 0, "patches have changed nothing")
        if "standin" in sys.modules:
            self.picture()

    def mask(self, side, label) -> np.ndarray:
        segmentId = f"{side.parameters.bundle.name}_{label.value}"
        if side.node.GetSegmentation().GetSegment(segmentId) is None:
            return np.zeros(slicer.util.arrayFromVolume(self.volume).T.shape, bool)
        return labelsOf(side.node, segmentId, self.volume)

    def picture(self) -> None:
        """The four views and the panel, as they stand on the screen."""
        import standin
        from standin import screenshots

        OUTPUT.mkdir(exist_ok=True)
        places = {name: (column, row) for column, side in enumerate(SIDES) for row, name in enumerate(names(side))}
        before, screenshots.FOUR_UP = screenshots.FOUR_UP, places
        self.addCleanup(setattr, screenshots, "FOUR_UP", before)
        path = OUTPUT / "compare-views.png"
        standin.start().screenshot_views(path, (1000, 800))
        image = qt.QImage(str(path))
        spots = [(x, y) for x in range(5, 490, 7) for y in range(30, 390, 7)]
        columns = [[image.pixelColor(left + x, y) for x, y in spots] for left in (0, 502)]
        colours = [[(color.red(), color.blue()) for color in column] for column in columns]
        self.assertNotEqual(*colours, "both columns show the same segmentation")
        self.assertTrue(any(red != blue for red, blue in colours[0]), "no label is to be seen")


if __name__ == "__main__":
    unittest.main()
