"""Pictures of the panel and the views, to be looked at: Testing/output/. Drawn by the stand-in; skipped inside Slicer."""

import sys
import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import makeVolume, waitUntil

from EfficientSegBridge import bundles, sample_data, words
from EfficientSegBridge.interpreter import workerCommand
from EfficientSegBridge.torch_probe import TorchState
from EfficientSegBridge.worker_process import WorkerProcess

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from phantoms import torso

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "Testing" / "output"
DEMO = bundles.SHIPPED / bundles.DEMO
ORANGE = np.array([255, 140, 51])  # the patch that was read first


@unittest.skipUnless("standin" in sys.modules, "Inside Slicer there are screenshots of one's own.")
class TestPictures(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        import standin

        cls.application = standin.start()
        slicer.mrmlScene.Clear(0)
        OUTPUT.mkdir(exist_ok=True)
        cls.widget = cls.application.load_module(ROOT / "EfficientSeg" / "EfficientSeg.py")
        ui, panel, logic = cls.widget.ui, cls.widget.panel, cls.widget.logic
        logic._makeWorker = lambda python: WorkerProcess(workerCommand())
        panel._probe.stop()
        panel._probe.state = TorchState("ok", "2.9.0")
        panel.setParameterNode(logic.getParameterNode())
        panel._node.bundle, panel._node.volume = cls.subject()
        panel._node.effort = words.EFFORTS.index(10 if DEMO.joinpath("bundle.json").is_file() else 3)
        slicer.util.setSliceViewerLayers(background=panel._node.volume, fit=True)
        ui.segmentButton.click()
        assert waitUntil(lambda: not logic.running, 300), logic.worker.log[-20:]
        assert logic.run.state == "done", logic.run.text
        ui.show3DButton.checked = True
        ui.whyButton.collapsed = False
        panel._check()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.widget.logic.stop()
        cls.application.unload_module("EfficientSeg")

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

    def test_the_panel_in_the_light_and_the_dark_theme(self) -> None:
        for name, dark in (("panel-light", False), ("panel-dark", True)):
            path = OUTPUT / f"{name}.png"
            self.application.screenshot_panel(self.widget.parent, path, width=350, dark=dark)
            pixels = self.read(path)
            self.assertEqual(pixels.shape[1], 350)
            self.assertEqual(bool(np.median(pixels) < 128), dark)

    def test_nothing_is_cut_off_at_350_pixels(self) -> None:
        self.assertLessEqual(self.widget.parent.minimumSizeHint.width(), 350)

    def test_the_views_show_boxes_and_structures(self) -> None:
        path = OUTPUT / "views.png"
        self.application.screenshot_views(path)
        pixels = self.read(path)
        self.assertGreater(int((np.abs(pixels - ORANGE).max(axis=-1) < 40).sum()), 100)

    def test_panel_and_views_together(self) -> None:
        path = OUTPUT / "panel-and-views.png"
        self.application.screenshot_application(self.widget.parent, path, (1600, 950))
        self.assertEqual(self.read(path).shape, (950, 1600, 3))


if __name__ == "__main__":
    unittest.main()
