"""Set-up: it opens where something is missing, installs from a folder, measures devices, and explains."""

import importlib.metadata
import os
import re
import unittest
from pathlib import Path
from unittest import mock

import qt
import slicer
from bench import makeFolder, played, waitUntil
from test_widget import WidgetCase

from EfficientSegBridge import device_choice, help_pages, packages, python_row, setup_checks, wheel_installer
from EfficientSegBridge.device_test import line
from EfficientSegBridge.interpreter import Command
from EfficientSegBridge.setup_section import SetUpSection
from EfficientSegBridge.torch_probe import TorchState
from EfficientSegBridge.wheel_installer import WheelInstaller, pipArguments
from EfficientSegBridge.worker_process import WorkerProcess
from EfficientSegLib import resources
from EfficientSegLib.protocol import DeviceSpeed

# A worker that measures: `devices` is what it answers; with "wait" in its bundle's path it waits to be stopped.
MEASURING = """
say("Ready", pid=os.getpid(), version="0")
for line in sys.stdin:
    request = json.loads(line)
    if request.get("shutdown"):
        break
    assert request["measure"] is True, request
    while WAIT and not os.path.exists(request["cancel_file"]):
        time.sleep(0.02)
    if WAIT:
        say("Failed", what="Stopped", why="", mend="", cancelled=True)
        continue
    say("Measured", devices=DEVICES)
    say("Finished", labels="", segmentation="", record="", seconds=1.0, peak_memory_mb=0.0, complete=True,
        patches_read=0, patches_total=0)
"""
CPU = {"device": "cpu", "title": "Ten cores", "seconds": 0.5, "unit": "patch", "precision": "fp32", "trouble": ""}
GPU = {**CPU, "device": "cuda", "title": "Old GPU", "seconds": 2.0}


class SetUpCase(WidgetCase):
    def setUp(self) -> None:
        super().setUp()
        self.section = next(part for part in self.panel._sections if isinstance(part, SetUpSection))
        # Real probes would change the state behind the test's back.
        self.probe = mock.patch.object(self.panel._probe, "ask")
        self.asked = self.probe.start()
        self.addCleanup(self.probe.stop)
        self.addCleanup(device_choice.forget)
        self.addCleanup(self.closeHelp)
        device_choice.forget()
        self.ui.setUpButton.collapsed = True

    def closeHelp(self) -> None:
        self.ui.tutorialButton.checked = self.ui.troubleshootingButton.checked = False

    def say(self, *state, **more) -> None:
        self.panel._probe.state = TorchState(*state, **more)
        self.panel._check()


class TestFirstRun(SetUpCase):
    def test_it_opens_by_itself_where_pytorch_is_missing_or_broken(self) -> None:
        for state in ("missing", "partial", "broken"):
            self.say("ok", "2.9")
            self.ui.setUpButton.collapsed = True
            self.say(state, reason="libcudart.so")
            self.assertFalse(self.ui.setUpButton.collapsed, state)
            self.assertFalse(self.ui.installTorchButton.isHidden())
            self.assertIn("✕", self.ui.setUpChecks.text)

    def test_it_stays_closed_where_all_is_there(self) -> None:
        self.say("ok", "2.9")
        self.assertTrue(self.ui.setUpButton.collapsed)
        self.assertTrue(self.ui.installTorchButton.isHidden())
        self.assertTrue(self.ui.deviceTestButton.enabled)

    def test_closed_by_the_user_it_stays_closed(self) -> None:
        self.say("missing")
        self.ui.setUpButton.collapsed = True
        self.panel._check()
        self.assertTrue(self.ui.setUpButton.collapsed)

    def test_install_asks_and_says_what_is_missing(self) -> None:
        self.say("missing")
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=True) as asked:
            self.ui.installTorchButton.click()
        self.assertIn("Install now?", asked.call_args.args[0])
        self.assertIn("PyTorch cannot be installed yet.", self.ui.statusLabel.text)

    def test_check_again_asks_anew(self) -> None:
        self.ui.checkAgainButton.click()
        self.assertEqual(self.asked.call_args.args[1], True)

    def test_another_python_leads_to_its_field(self) -> None:
        self.ui.advancedButton.collapsed = True
        self.ui.otherPythonButton.click()
        self.assertFalse(self.ui.advancedButton.collapsed)

    def test_the_help_opens_at_its_place(self) -> None:
        self.ui.troubleshootingButton.click()
        self.assertFalse(self.ui.helpBrowser.isHidden())
        self.assertIn("When something does not work", self.ui.helpBrowser.toPlainText())
        self.ui.troubleshootingButton.click()
        self.assertTrue(self.ui.helpBrowser.isHidden())

    def test_the_tutorial_takes_the_viewer_over_and_gives_it_back(self) -> None:
        self.ui.troubleshootingButton.click()
        self.ui.tutorialButton.click()
        self.assertFalse(self.ui.troubleshootingButton.checked)
        self.assertIn("From a click", self.ui.helpBrowser.toPlainText())
        self.section.showHelp(topic="memory")
        self.assertTrue(self.ui.troubleshootingButton.checked)
        self.assertFalse(self.ui.tutorialButton.checked)
        self.assertIn("When something does not work", self.ui.helpBrowser.toPlainText())
        self.ui.troubleshootingButton.click()
        self.assertTrue(self.ui.helpBrowser.isHidden())

    def test_every_picture_of_the_tutorial_is_found_by_the_viewer(self) -> None:
        self.section.showHelp(help_pages.TUTORIAL)
        sources = re.findall(r'<img src="([^"]+)"', help_pages.pageText(help_pages.TUTORIAL))
        self.assertGreater(len(sources), 3)
        for source in sources:
            picture = self.ui.helpBrowser.document.resource(qt.QTextDocument.ImageResource, qt.QUrl(source))
            self.assertTrue(picture, source)


class TestChecks(unittest.TestCase):
    def found(self, state: TorchState, python: str = "", folder: Path | None = None) -> dict[str, str]:
        return {finding.subject: finding.level for finding in setup_checks.check(state, python, folder)}

    def test_a_folder_that_may_not_be_written_is_told_before_it_is_tried(self) -> None:
        with mock.patch.object(os, "access", return_value=False):  # a mode would not keep an administrator out
            self.assertEqual(self.found(TorchState("missing"))["rights"], "warning")
        self.assertNotIn("rights", self.found(TorchState("missing"), folder=makeFolder()))

    def test_too_little_room_is_told(self) -> None:
        with mock.patch.object(resources, "free_disk_mb", return_value=500.0):
            self.assertEqual(self.found(TorchState("missing"))["room"], "warning")
            self.assertNotIn("room", self.found(TorchState("ok")))

    def test_a_python_that_is_not_there(self) -> None:
        self.assertEqual(self.found(TorchState("broken"), "/nowhere/python")["python"], "error")

    def test_missing_packages_of_slicer(self) -> None:
        with mock.patch.object(packages, "missing", return_value=["torch>=2.2", "einops"]):
            self.assertEqual(self.found(TorchState("missing"))["packages"], "error")

    def test_complete_means_the_worker_can_run(self) -> None:
        self.assertTrue(setup_checks.isComplete(TorchState("ok")))
        self.assertTrue(setup_checks.isComplete(TorchState("unknown")))
        self.assertFalse(setup_checks.isComplete(TorchState("ok", missing=("SimpleITK",))))


def makeWheel(folder: Path, name: str = "efficientseg_played", version: str = "1.0") -> Path:
    """A package with nothing in it, which pip accepts."""
    import zipfile

    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", "")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return path


class TestWheels(SetUpCase):
    """With the real pip, into a folder of our own."""

    def setUp(self) -> None:
        super().setUp()
        self.folder, self.target = makeFolder() / "Dr. Jöhn Ωé", makeFolder()
        self.folder.mkdir()
        self.say("missing")

    def install(self, wanted: list[str]) -> None:
        def arguments(folder, _wanted, _spoilt, _constraints):
            return [(*pipArguments(folder, wanted, False, None)[0], "--target", str(self.target))]

        with mock.patch.object(wheel_installer, "pipArguments", arguments):
            self.section.installFrom(self.folder)
            self.assertTrue(waitUntil(lambda: not self.section._wheels.running, 90))

    def test_packages_come_from_the_folder_and_torch_is_looked_for_again(self) -> None:
        makeWheel(self.folder)
        self.install(["efficientseg_played"])
        self.assertTrue((self.target / "efficientseg_played.py").is_file(), self.ui.setUpLog.plainText)
        self.assertIn("Installed.", self.ui.setUpLabel.text)
        self.assertEqual(self.asked.call_args.args[1], True)
        self.assertEqual(self.leftOvers(), [])

    def test_what_is_not_in_the_folder_is_told_in_words(self) -> None:
        makeWheel(self.folder)
        self.install(["efficientseg_absent"])
        self.assertIn("The packages could not be installed.", self.ui.setUpLabel.text)
        self.assertIn("fits this Python", self.ui.setUpLabel.text)
        self.assertFalse(self.ui.setUpLog.isHidden())

    def test_an_empty_folder_is_refused_with_the_way_to_fill_it(self) -> None:
        self.section.installFrom(self.folder)
        self.assertIn("holds no packages", self.ui.setUpLabel.text)
        self.assertIn("pip download", self.ui.setUpLabel.text)
        self.assertFalse(self.section._wheels.running)

    def test_a_program_that_cannot_start_is_told(self) -> None:
        makeWheel(self.folder)
        found = []
        installer = WheelInstaller(found.append, found.append)
        command = Command(str(self.folder / "no python"), (), dict(os.environ))
        with mock.patch.object(wheel_installer, "pythonCommand", return_value=command):
            installer.start(self.folder, TorchState("missing"), command.program)
        self.assertTrue(waitUntil(lambda: not installer.running))
        self.assertIn("could not be installed", str(found[-1]))


class TestArguments(unittest.TestCase):
    def test_nothing_is_fetched_from_the_network_and_slicers_numpy_stays(self) -> None:
        (command,) = pipArguments(Path("/wheels"), ["torch>=2.2"], False, Path("/limits.txt"))
        self.assertIn("--no-index", command)
        self.assertEqual(command[command.index("--find-links") + 1], str(Path("/wheels")))
        self.assertEqual(command[command.index("--constraint") + 1], str(Path("/limits.txt")))

    def test_an_installation_that_broke_off_is_laid_over(self) -> None:
        first, second = pipArguments(Path("/wheels"), ["torch>=2.2"], True, None)
        self.assertIn("--force-reinstall", first)
        self.assertIn("--no-deps", first)
        self.assertNotIn("--force-reinstall", second)

    def test_what_is_needed_depends_on_whose_python_it_is(self) -> None:
        with mock.patch.object(packages, "missing", return_value=["torch>=2.2", "einops"]):
            self.assertEqual(wheel_installer.needed(TorchState("missing"), False), (["torch>=2.2", "einops"], False))
        with mock.patch.object(packages, "missing", return_value=[]):
            self.assertEqual(wheel_installer.needed(TorchState("broken"), False), (["torch>=2.2"], True))
            self.assertEqual(wheel_installer.needed(TorchState("ok"), False), ([], False))
        state = TorchState("missing", missing=("SimpleITK",))
        self.assertEqual(wheel_installer.needed(state, True), (["torch>=2.2", "SimpleITK"], False))

    def test_the_limits_name_what_is_installed(self) -> None:
        installer = WheelInstaller(print, print)
        installer._folder = makeFolder()
        text = installer._constraints("").read_text(encoding="utf-8")
        self.assertIn(f"numpy=={importlib.metadata.version('numpy')}", text)
        self.assertIsNone(installer._constraints("/another/python"))
        installer._folder = None


class TestDevices(SetUpCase):
    devices: tuple = (CPU, GPU)
    wait = False

    def setUp(self) -> None:
        super().setUp()
        self.say("ok", "2.9")
        self.logic._makeWorker = lambda python: WorkerProcess(played(self.script()))

    def script(self) -> str:
        return f"WAIT, DEVICES = {self.wait}, {list(self.devices)!r}\n" + MEASURING

    def test_devices_are_measured_told_and_the_faster_one_is_remembered(self) -> None:
        self.ui.deviceTestButton.click()
        self.assertTrue(waitUntil(lambda: not self.section._test.running))
        said = self.ui.devicesLabel.text
        self.assertIn("Processor (Ten cores): 0.50 s per patch, the faster one", said)
        self.assertIn("Old GPU: 2.00 s per patch", said)
        self.assertEqual(self.panel.parameters().device, "cpu")  # where auto would have taken the GPU
        self.node.device = "cuda"
        self.assertEqual(self.panel.parameters().device, "cuda")
        self.assertEqual(self.leftOvers(), [])

    def test_another_python_is_another_measurement(self) -> None:
        device_choice.remember((DeviceSpeed(**CPU), DeviceSpeed(**GPU)), "Model")
        self.assertEqual(device_choice.resolve("auto"), "cpu")
        qt.QSettings().setValue(python_row.SETTING, "/another/python")
        self.addCleanup(qt.QSettings().remove, python_row.SETTING)
        self.assertEqual(device_choice.resolve("auto"), "auto")

    def test_a_gpu_that_is_faster_stays_automatic(self) -> None:
        device_choice.remember((DeviceSpeed(**{**GPU, "seconds": 0.01}), DeviceSpeed(**CPU)), "Model")
        self.assertEqual(device_choice.resolve("auto"), "auto")
        device_choice.remember((DeviceSpeed(**CPU),), "Model")  # the only device there is
        self.assertEqual(device_choice.resolve("auto"), "auto")

    def test_stop_ends_it_and_segment_is_refused_in_words_meanwhile(self) -> None:
        self.wait = True
        self.ui.deviceTestButton.click()
        self.assertTrue(waitUntil(lambda: self.section._test.running and self.logic.worker.pids))
        self.segment()
        self.assertIn("The background process is at work.", self.ui.statusLabel.text)
        self.ui.deviceStopButton.click()
        self.assertTrue(waitUntil(lambda: not self.section._test.running))
        self.assertIn("stopped", self.ui.devicesLabel.text)
        self.assertEqual(device_choice.remembered(), ((), ""))

    def test_a_worker_that_dies_is_told(self) -> None:
        self.logic._makeWorker = lambda python: WorkerProcess(played("os._exit(3)"))
        self.ui.deviceTestButton.click()
        self.assertTrue(waitUntil(lambda: not self.section._test.running))
        self.assertIn("The worker ended by itself.", self.ui.devicesLabel.text)

    def test_a_device_in_words(self) -> None:
        self.assertIn(
            "does not work: Its driver is old", line(DeviceSpeed("cuda", "A GPU", trouble="Its driver is old"), False)
        )
        self.assertIn("s per slice", line(DeviceSpeed("cpu", "A", 0.1, "slice"), False))

    def test_settings_of_another_version_are_passed_over(self) -> None:
        qt.QSettings().setValue(device_choice.SETTING, '{"python": "", "bundle": "M", "devices": [{"speed": 9}]}')
        self.assertEqual(device_choice.remembered(), ((), ""))


if __name__ == "__main__":
    unittest.main()
