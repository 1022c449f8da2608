"""Pictures of the panel and the views in Testing/output, to be looked at; drawn by the stand-in, skipped in Slicer."""

import sys
import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import makeVolume, waitUntil

from EfficientSegBridge import bundles, efforts, sample_data
from EfficientSegBridge.torch_probe import TorchState

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from phantoms import torso

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "Testing" / "output"
DEMO = bundles.SHIPPED / bundles.DEMO
ORANGE = np.array([255, 140, 51])  # the patch that was read first


@unittest.skipUnless("standin" in sys.modules, "Inside Slicer there are screenshots of one's own.")
class TestPictures(unittest.TestCase):
    def setUp(self) -> None:
        import standin

        self.application = standin.start()
        slicer.mrmlScene.Clear(0)
        OUTPUT.mkdir(exist_ok=True)
        self.widget = self.application.load_module(ROOT / "EfficientSeg" / "EfficientSeg.py")
        self.addCleanup(self.application.unload_module, "EfficientSeg")
        self.segment()

    def segment(self) -> None:
        """Like a user: choose, click, wait, open "Why here?" and 3D."""
        ui, panel, logic = self.widget.ui, self.widget.panel, self.widget.logic
        panel._probe.stop()
        panel._probe.state = TorchState("ok", "2.9.0")
        panel._node.bundle, panel._node.volume = self.subject()
        panel._node.effort = efforts.EFFORTS.index(10 if DEMO.joinpath("bundle.json").is_file() else 2)
        slicer.util.setSliceViewerLayers(background=panel._node.volume, fit=True)
        ui.segmentButton.click()
        self.assertTrue(waitUntil(lambda: not logic.running, 300))
        self.assertEqual(logic.run.state, "done", logic.run.text)
        ui.show3DButton.checked = True
        segmentation = logic.run.segments.node.GetSegmentation()
        self.assertTrue(waitUntil(lambda: segmentation.ContainsRepresentation("Closed surface"), 60))
        ui.whyButton.collapsed = False
        panel._check()

    @staticmethod
    def subject() -> tuple[str, object]:
        """The demo bundle and the sample CT, where the demo bundle is there; else a drawn body."""
        if DEMO.joinpath("bundle.json").is_file():
            volume = slicer.util.loadVolume(str(sample_data.FILE), {"name": "CT"})
            bundle = DEMO
        else:
            volume = makeVolume(np.diag([4.0, 4.0, 4.0]), array=torso(seed=3)[0], name="Drawn body")
            bundle = bundles.SHIPPED / bundles.SELF_TEST
        volume.GetDisplayNode().SetAutoWindowLevel(False)
        volume.GetDisplayNode().SetWindowLevel(400, 40)
        return str(bundle), volume

    def read(self, path: Path) -> np.ndarray:
        """RGB, (rows, columns, 3)."""
        import qt

        image = qt.QImage(str(path)).convertToFormat(qt.QImage.Format.Format_RGB32)
        data = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)
        return data[..., 2::-1].astype(int)

    def test_pictures_show_what_they_should(self) -> None:
        for name, dark in (("panel-light", False), ("panel-dark", True)):
            path = OUTPUT / f"{name}.png"
            self.application.screenshot_panel(self.widget.parent, path, width=350, dark=dark)
            pixels = self.read(path)
            self.assertEqual(pixels.shape[1], 350)
            self.assertEqual(bool(np.median(pixels) < 128), dark)
        self.assertLessEqual(self.widget.parent.minimumSizeHint.width(), 350, "the panel is cut off at 350 pixels")
        self.application.screenshot_views(OUTPUT / "views.png")
        orange = np.abs(self.read(OUTPUT / "views.png") - ORANGE).max(axis=-1) < 40
        self.assertGreater(int(orange.sum()), 100, "the first box is not to be seen")
        self.application.screenshot_application(self.widget.parent, OUTPUT / "panel-and-views.png", (1600, 950))
        self.assertEqual(self.read(OUTPUT / "panel-and-views.png").shape, (950, 1600, 3))


if __name__ == "__main__":
    unittest.main()
