"""What is said before a run: the worst first, one line and one cure each; and what the PyTorch probe tells apart."""

import os
import sys
import unittest
from typing import ClassVar
from unittest import mock

import numpy as np
import slicer
from bench import makeBundle, makeFolder, makeVolume, waitUntil

from EfficientSegBridge import packages, preflight, torch_probe
from EfficientSegBridge.interpreter import Command
from EfficientSegBridge.torch_probe import TorchProbe, TorchState
from EfficientSegLib import resources
from EfficientSegLib.environment import ROOT, worker_environment

WORKS = TorchState("ok", "2.9.0")


def bodyVolume(**arguments):
    """Something like a CT: a body in air."""
    array = np.full((40, 40, 30), -1000, np.int16)
    array[8:32, 8:32] = np.random.default_rng(0).integers(-120, 400, (24, 24, 30))
    return makeVolume(np.diag([-4.0, -4.0, 4.0]), array=array, **arguments)


class TestFindings(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.bundle = makeBundle()

    def check(self, volume, torch=WORKS, device="cpu", bundle=True):
        return preflight.check(volume, self.bundle if bundle else None, torch, device)

    def worst(self, *arguments, **named) -> preflight.Finding:
        return self.check(*arguments, **named)[0]

    def test_a_ct_is_told_in_one_line(self) -> None:
        findings = self.check(bodyVolume())
        self.assertEqual({finding.level for finding in findings} - {"warning"}, {"ok"})
        told = next(finding.text for finding in findings if finding.subject == "volume")
        self.assertIn("40×40×30 voxels of 4×4×4 mm", told)

    def test_the_modality_of_dicom_is_believed(self) -> None:
        volume = bodyVolume()
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(volume), "DICOM.Modality", "MR")
        self.assertEqual((self.worst(volume).level, self.worst(volume).subject), ("error", "modality"))
        self.assertIn("MR", self.worst(volume).text)

    def test_grey_values_without_air_are_no_ct(self) -> None:
        worst = self.worst(makeVolume(array=np.random.default_rng(0).integers(0, 900, (20, 20, 20)).astype(np.int16)))
        self.assertEqual((worst.level, worst.subject), ("error", "modality"))
        self.assertTrue(worst.cure)

    def test_constant_and_broken_values_are_refused(self) -> None:
        constant = makeVolume(array=np.full((20, 20, 20), -5, np.int16))
        nan = np.zeros((20, 20, 20), np.float32)
        nan[::2] = np.nan
        for volume in (constant, makeVolume(array=nan)):
            self.assertEqual(self.worst(volume).level, "error")

    def test_a_single_slice_is_refused(self) -> None:
        worst = self.worst(makeVolume(array=np.zeros((20, 20, 1), np.int16)))
        self.assertEqual((worst.level, worst.subject), ("error", "geometry"))

    def test_no_volume_and_no_model_are_waited_for(self) -> None:
        findings = self.check(None, bundle=False)
        self.assertEqual(findings[0].level, "wait")

    def test_every_state_of_torch_has_its_own_words(self) -> None:
        said = set()
        for state in ("missing", "partial", "broken"):
            worst = self.worst(bodyVolume(), TorchState(state, reason="libcudart.so"))
            self.assertEqual((worst.level, worst.subject), ("error", "torch"))
            self.assertTrue(worst.cure)
            said.add(worst.text)
        self.assertEqual(len(said), 3)

    def test_a_device_that_is_not_there(self) -> None:
        self.assertEqual(self.worst(bodyVolume(), device="cuda").subject, "device")
        there = self.check(bodyVolume(), TorchState("ok", "2.9.0", cuda="H200"), "cuda")
        self.assertIn("H200", [finding.text for finding in there])

    def test_too_little_memory_and_disk_are_said_with_numbers(self) -> None:
        with mock.patch.object(resources, "available_memory_mb", return_value=100.0):
            worst = self.worst(bodyVolume())
        self.assertEqual(worst.subject, "memory")
        self.assertRegex(worst.text, r"\d")
        with mock.patch.object(resources, "free_disk_mb", return_value=1.0):
            self.assertEqual(self.worst(bodyVolume()).subject, "disk")

    def test_a_broken_bundle_is_said(self) -> None:
        findings = preflight.check(bodyVolume(), None, WORKS, "cpu", "It has no licence.")
        self.assertEqual((findings[0].subject, findings[0].text), ("bundle", "It has no licence."))

    def test_a_large_volume_is_looked_at_in_a_moment(self) -> None:
        import time

        volume = makeVolume(array=np.zeros((256, 256, 200), np.int16))
        started = time.perf_counter()
        self.check(volume)
        self.assertLess(time.perf_counter() - started, 1.0)


class TestProbe(unittest.TestCase):
    """In a child process with a torch of our making."""

    def probe(self, files: dict[str, str]) -> TorchState:
        folder = makeFolder()
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        from bench import python

        # PythonSlicer puts Slicer's packages on the path itself; without them the only torch is ours.
        alone = (
            "import runpy, sys; sys.path[:] = [sys.argv[1]] + [p for p in sys.path if 'site-packages' not in p]; "
            "runpy.run_path(sys.argv[2], run_name='__main__')"
        )
        arguments = ("-c", alone, str(folder), str(torch_probe.SCRIPT))
        command = Command(python(), arguments, worker_environment(os.environ), str(folder))
        found = []
        prober = TorchProbe(found.append)
        prober._run(command)
        self.assertTrue(waitUntil(lambda: found))
        return found[0]

    META: ClassVar = {"torch-2.9.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.9.0\n"}

    def test_none(self) -> None:
        self.assertEqual(self.probe({}).state, "missing")

    def test_metadata_without_files(self) -> None:
        self.assertEqual(self.probe(self.META).state, "partial")

    def test_an_empty_package(self) -> None:
        self.assertEqual(self.probe({"torch/other.py": "", **self.META}).state, "partial")

    def test_one_that_does_not_import(self) -> None:
        state = self.probe({"torch/__init__.py": "raise OSError('libcudart.so.12 not found')", **self.META})
        self.assertEqual(state.state, "broken")
        self.assertIn("libcudart", state.reason)

    def test_one_that_takes_python_down(self) -> None:
        state = self.probe({"torch/__init__.py": "import os; os.abort()", **self.META})
        self.assertEqual(state.state, "broken")
        self.assertIn("crashed", state.reason)

    def test_a_python_that_is_not_there(self) -> None:
        found = []
        TorchProbe(found.append)._run(Command("/no/python here", (), dict(os.environ), str(ROOT)))
        self.assertTrue(waitUntil(lambda: found))
        self.assertEqual(found[0].state, "broken")

    def test_the_probe_leaves_torch_out_of_this_process(self) -> None:
        before = "torch" in sys.modules  # another extension, or another test, may have imported it
        found = []
        TorchProbe(found.append).ask()
        self.assertTrue(waitUntil(lambda: found, 60))
        self.assertEqual("torch" in sys.modules, before)


class TestPackages(unittest.TestCase):
    def test_the_file_names_torch_and_no_version_above_what_macs_have(self) -> None:
        self.assertEqual([packages.packageName(line) for line in packages.requirements()], ["torch"])

    def test_nothing_is_installed_without_a_yes(self) -> None:
        asked = []
        self.assertFalse(packages.install(lambda question: asked.append(question) or False, ["torch>=2.2"]))
        self.assertIn("torch", asked[0])

    def test_without_the_extension_its_name_is_told(self) -> None:
        said = self.assertRaisesRegex(packages.InstallError, "PyTorch extension.*Extensions Manager")
        with mock.patch.dict(sys.modules, {"PyTorchUtils": None}), said:
            packages.install(lambda question: True, ["torch>=2.2"])

    def test_the_extension_gets_the_version(self) -> None:
        logic = mock.Mock()
        module = mock.Mock(PyTorchUtilsLogic=mock.Mock(return_value=logic))
        with mock.patch.dict(sys.modules, {"PyTorchUtils": module}):
            self.assertTrue(packages.install(lambda question: True, ["torch>=2.2"]))
        logic.installTorch.assert_called_once_with(askConfirmation=False, torchVersionRequirement=">=2.2")


if __name__ == "__main__":
    unittest.main()
