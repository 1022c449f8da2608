"""More studies with the real worker: loaded volumes, frames and a folder's file in one queue, known answers out."""

import os
import sys
import unittest
from pathlib import Path

import numpy as np
import slicer
from bench import labelsOf, makeFolder, makeVolume, requireTorch, waitUntil

from EfficientSegBridge import bundles, frame_results, nodes, run_folder
from EfficientSegBridge.interpreter import workerCommand
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.studies import Studies
from EfficientSegBridge.study_kinds import FolderStudy, FrameStudy, LoadedStudy
from EfficientSegBridge.worker_process import WorkerProcess
from EfficientSegLib.bundle import load
from EfficientSegLib.studies.case import Case

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from phantoms import torso


class TestRealQueue(unittest.TestCase):
    def setUp(self) -> None:
        requireTorch()
        slicer.mrmlScene.Clear(0)
        self.worker = WorkerProcess(workerCommand())
        self.addCleanup(self.worker.stop)

    def test_three_kinds_of_studies_give_the_same_known_answer(self) -> None:
        image, labels = torso(seed=3)
        volume = makeVolume(np.diag([4.0, 4.0, 4.0]), array=image)
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D")
        sequence.SetDataNodeAtValue(volume, "0")
        folder = makeFolder()
        file = nodes.writeVolume(volume, folder / "ct ä.nrrd")
        queue = Studies(lambda _python: self.worker)
        self.addCleanup(queue.forget)
        queue.add([LoadedStudy(volume), FrameStudy(sequence, 0), FolderStudy(Case("ct ä", str(file)), folder / "out")])
        bundle = load(bundles.SHIPPED / bundles.SELF_TEST)
        queue.start(Parameters(bundle=bundle, patches=2, device="cpu", threads=1))
        self.assertTrue(waitUntil(lambda: not queue.running, 180))
        self.assertEqual([entry.state for entry in queue.entries], ["done"] * 3, [e.error for e in queue.entries])
        volumes = [entry.volumes_ml for entry in queue.entries]
        self.assertEqual(volumes[0], volumes[1])
        self.assertEqual(volumes[0], volumes[2])
        label = bundle.shown_labels[0]
        found = labelsOf(queue.studies[0].segmentationNode, f"{bundle.name}_{label.value}", volume)
        truth = labels == label.value
        self.assertGreater(2 * (found & truth).sum() / (found.sum() + truth.sum()), 0.8)
        self.assertEqual(frame_results.results(sequence).GetNumberOfDataNodes(), 1)
        self.assertTrue((folder / "out" / "ct ä.seg.nrrd").is_file())
        self.assertEqual(list(run_folder.home().glob(f"{run_folder.PREFIX}{os.getpid()}-*")), [])


if __name__ == "__main__":
    unittest.main()
