"""The whole way with the real worker and the self-test bundle: a drawn volume in, segments with a known answer out."""

import os
import signal
import sys
import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import labelsOf, makeFolder, makeVolume, requireTorch, rotation, waitUntil

from EfficientSegBridge import bundles, run_folder
from EfficientSegBridge.interpreter import workerCommand
from EfficientSegBridge.overlay import Overlay
from EfficientSegBridge.parameters import Listener, Parameters
from EfficientSegBridge.run import SegmentationRun
from EfficientSegBridge.worker_process import WorkerProcess
from EfficientSegLib.bundle import load
from EfficientSegLib.environment import is_running
from EfficientSegLib.errors import BundleError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from phantoms import torso

SPACING = np.diag([4.0, 4.0, 4.0])


def dice(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * float((found & true).sum()) / max(float(found.sum() + true.sum()), 1)


class Steps(Listener):
    """Keeps what it is told; at the first change that fits, calls `then`."""

    def __init__(self, then=None) -> None:
        self.progress: list[tuple[float, str]] = []
        self._then = then

    def runProgress(self, fraction: float, text: str) -> None:
        self.progress.append((fraction, text))
        if self._then is not None:
            self._then()


class TestEndToEnd(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        requireTorch()
        cls.bundle = load(bundles.SHIPPED / bundles.SELF_TEST)
        cls.worker = WorkerProcess(workerCommand())

    @classmethod
    def tearDownClass(cls) -> None:
        cls.worker.stop()

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.image, self.labels = torso(seed=3)
        self.overlay = Overlay()

    def tearDown(self) -> None:
        self.assertEqual(list(run_folder.home().glob(f"{run_folder.PREFIX}{os.getpid()}-*")), [])

    def segment(self, volume, listener=None, wait=True, **parameters) -> SegmentationRun:
        chosen = Parameters(self.bundle, **{"device": "cpu", "threads": 1, **parameters})
        run = SegmentationRun(volume, chosen, self.worker, self.overlay, listener or Listener())
        run.start()
        if wait:
            self.assertTrue(waitUntil(lambda: not run.running, 120), self.worker.log[-20:])
        return run

    def assertFound(self, run, volume, least: float) -> None:
        self.assertEqual(run.state, "done", run.text)
        for label in self.bundle.shown_labels:
            found = labelsOf(run.segments.node, run.segments.segmentId(label), volume)
            self.assertGreater(dice(found, self.labels == label.value), least, label.name)

    def test_a_drawn_body_is_found(self) -> None:
        volume = makeVolume(SPACING, array=self.image)
        steps = Steps()
        run = self.segment(volume, steps, patches=None)
        self.assertFound(run, volume, 0.85)
        self.assertEqual(run.device, "cpu")
        fractions = [fraction for fraction, _text in steps.progress]
        self.assertEqual(fractions, sorted(fractions))
        self.assertTrue(any(text.startswith("patch ") for _fraction, text in steps.progress))
        self.assertIsNotNone(self.overlay.boxesNode)
        self.assertEqual(set(run.classWeights), {label.value for label in self.bundle.shown_labels})
        self.assertIsNotNone(run.pace)

    def test_an_oblique_volume_under_a_transform(self) -> None:
        volume = makeVolume(rotation(15) @ SPACING, array=self.image)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[:3, :3] = rotation(70)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(transform.GetID())
        run = self.segment(volume, patches=None)
        self.assertFound(run, volume, 0.75)
        self.assertEqual(run.segments.node.GetTransformNodeID(), transform.GetID())

    def test_more_patches_than_there_are_means_all(self) -> None:
        volume = makeVolume(SPACING, array=self.image)
        self.assertFound(self.segment(volume, patches=5000), volume, 0.85)

    def test_coarse_only(self) -> None:
        run = self.segment(makeVolume(SPACING, array=self.image), patches=0)
        self.assertEqual(run.state, "done", run.text)
        self.assertIn("coarse only", run.text)
        self.assertIsNone(self.overlay.boxesNode)

    def test_a_volume_of_grey_values_is_refused_in_words(self) -> None:
        mr = np.clip(self.image + 1000, 0, None).astype(np.int16)
        nodes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
        run = self.segment(makeVolume(SPACING, array=mr))
        self.assertEqual(run.state, "failed")
        self.assertIn("Hounsfield", run.text)
        self.assertTrue(run.failure.mend)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), nodes)

    def test_a_bundle_with_other_weights_is_refused(self) -> None:
        import shutil

        folder = makeFolder() / "Dr. Jöhn Ωé"
        shutil.copytree(self.bundle.folder, folder)
        (folder / "weights.pt").write_bytes(b"something else")
        run = SegmentationRun(
            makeVolume(SPACING, array=self.image), Parameters(load(folder)), self.worker, self.overlay, Listener()
        )
        run.start()
        self.assertTrue(waitUntil(lambda: not run.running, 60))
        self.assertEqual(run.state, "failed")
        self.assertIn("checksum", run.text)

    def test_stop_is_heard_and_leaves_nothing_behind(self) -> None:
        volume = makeVolume(SPACING, array=self.image)
        run = self.segment(volume, wait=False, patches=None)
        self.assertTrue(waitUntil(lambda: run.device, 60))
        run.stop()
        self.assertTrue(waitUntil(lambda: not run.running, 30))
        self.assertIn(run.state, ("stopped", "done"))

    @unittest.skipIf(os.name == "nt", "Windows has no SIGKILL.")
    def test_a_killed_worker_is_said_and_the_next_run_works(self) -> None:
        volume = makeVolume(SPACING, array=self.image)
        run = self.segment(volume, wait=False, patches=None)
        self.assertTrue(waitUntil(lambda: run.device or not run.running, 60))
        pids = self.worker.pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.assertTrue(waitUntil(lambda: not run.running, 20))
        self.assertEqual(run.state, "failed")
        self.assertIn("memory", run.text)
        self.assertIsNone(run.segments.node)
        self.assertTrue(waitUntil(lambda: not any(map(is_running, pids)), 5))
        self.assertFound(self.segment(volume, patches=None), volume, 0.85)

    def test_a_folder_that_is_no_bundle(self) -> None:
        with self.assertRaises(BundleError):
            bundles.add(Path(slicer.app.temporaryPath))


if __name__ == "__main__":
    unittest.main()
