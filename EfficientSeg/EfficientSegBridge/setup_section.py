"""The Set-up part of the panel: opens by itself where PyTorch is missing or broken; device test; help pages."""

import html
from contextlib import contextmanager
from pathlib import Path

import qt
import slicer

from EfficientSegBridge import device_choice, setup_checks, theme
from EfficientSegBridge.device_test import DeviceTest, line
from EfficientSegBridge.help_pages import TROUBLESHOOTING, TUTORIAL, HelpPages
from EfficientSegBridge.packages import InstallError
from EfficientSegBridge.section import Section
from EfficientSegBridge.torch_probe import TorchState
from EfficientSegBridge.translation import _
from EfficientSegBridge.wheel_installer import WheelInstaller
from EfficientSegLib.errors import EfficientSegError, OptionError

LOG_LINES = 500


class SetUpSection(Section):
    """Checks, installs, measures, explains."""

    UI = "SetUp.ui"

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._wheels = WheelInstaller(self._onLine, self._onInstalled)
        self._test = DeviceTest(logic.warmWorker, self.refresh)
        self._said = ""
        self._seen: TorchState | None = None
        ui.setUpLog.maximumBlockCount = LOG_LINES
        ui.setUpLog.setVisible(False)
        ui.installTorchButton.connect("clicked()", panel.install)
        ui.installFolderButton.connect("clicked()", self._onFolder)
        ui.otherPythonButton.connect("clicked()", self._onOtherPython)
        ui.checkAgainButton.connect("clicked()", self._onAgain)
        ui.stopInstallButton.connect("clicked()", self._onStopInstall)
        ui.deviceTestButton.connect("clicked()", self._onTest)
        ui.deviceStopButton.connect("clicked()", self._test.stop)
        buttons = {TUTORIAL: ui.tutorialButton, TROUBLESHOOTING: ui.troubleshootingButton}
        self._help = HelpPages(ui.helpBrowser, buttons)

    def refresh(self) -> None:
        torch = self._panel.torchState
        if torch != self._seen:
            self._seen = torch
            self._showChecks(torch)
            if not setup_checks.isComplete(torch):
                self._ui.setUpButton.collapsed = False
        self._showButtons(torch)
        self._showDevices()
        self._ui.setUpLabel.text = html.escape(self._said)
        self._ui.setUpLabel.setVisible(bool(self._said))

    def showHelp(self, page: str = TROUBLESHOOTING, topic: str = "") -> None:
        """Open a help page, at a topic where one is named."""
        self._ui.setUpButton.collapsed = False
        self._help.show(page, topic)

    def cleanup(self) -> None:
        super().cleanup()
        self._wheels.stop()
        self._test.forget()

    # What the user does

    def _onFolder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            self._ui.installFolderButton, _("Choose the folder with the packages (.whl files)")
        )
        if folder:
            self.installFrom(Path(folder))

    def installFrom(self, folder: Path) -> None:
        """Install what is missing from this folder, without any network."""
        with slicer.util.tryWithErrorDisplay(_("The installation could not be started.")), self._saying():
            self._ui.setUpLog.setPlainText("")
            self._wheels.start(folder, self._panel.torchState, self._panel.externalPython)
            self._logic.stop()  # a worker that has loaded the old packages would keep their files open
            self._say(_("Installing from {folder} …").format(folder=folder))

    def _onStopInstall(self) -> None:
        self._wheels.stop()
        self._say(_("The installation was stopped. Install again to complete it."))
        self._panel.probe(again=True)

    def _onLine(self, text: str) -> None:
        self._ui.setUpLog.setVisible(True)
        self._ui.setUpLog.appendPlainText(text)

    def _onInstalled(self, error: InstallError | None) -> None:
        self._say(str(error) if error else _("Installed. Looking whether it works …"))
        self._panel.probe(again=True)

    def _onOtherPython(self) -> None:
        self._ui.advancedButton.collapsed = False
        self._ui.pythonPathEdit.setFocus()

    def _onAgain(self) -> None:
        self._say("")
        self._seen = None
        self._panel.probe(again=True)

    def _onTest(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The devices could not be tested.")), self._saying():
            if self._panel.bundle is None:
                raise OptionError(
                    _("No model is chosen."), why=_("Its patches are read for the test."), mend=_("Choose one above.")
                )
            parameters = self._panel.parameters()
            self._test.start(parameters.bundle, parameters.threads, self._panel.externalPython)

    @contextmanager
    def _saying(self):
        """Errors meant for the user are said in this section."""
        try:
            yield
        except EfficientSegError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self._said = text
        self.refresh()

    # What is shown

    def _showChecks(self, torch: TorchState) -> None:
        findings = setup_checks.check(torch, self._panel.externalPython)
        self._ui.setUpChecks.text = "<br>".join(theme.line(finding) for finding in findings)
        if self._said and setup_checks.isComplete(torch) and torch.state == "ok":
            self._said = ""

    def _showButtons(self, torch: TorchState) -> None:
        ui, installing = self._ui, self._wheels.running
        incomplete = not setup_checks.isComplete(torch)
        free = not self._logic.running and not self._logic.studies.running and not installing
        ui.installTorchButton.setVisible(incomplete and not self._panel.externalPython)
        ui.installTorchButton.enabled = free and not self._panel.installing
        ui.installFolderButton.setVisible(incomplete)
        ui.installFolderButton.enabled = free
        ui.stopInstallButton.setVisible(installing)
        ui.checkAgainButton.enabled = torch.state != "unknown"
        ui.deviceTestButton.enabled = free and not incomplete and not self._test.running
        ui.deviceStopButton.setVisible(self._test.running)

    def _showDevices(self) -> None:
        speeds, bundle = device_choice.remembered()
        if self._test.running:
            said = _("Reading patches on each device …")
        elif self._test.trouble:
            said = self._test.trouble
        elif speeds:
            several = sum(speed.seconds is not None for speed in speeds) > 1
            lines = [line(speed, several and number == 0) for number, speed in enumerate(speeds)]
            said = "\n".join([*lines, _("Measured with {bundle}.").format(bundle=bundle)])
        else:
            said = _("Not measured yet: which device is the faster one.")
        self._ui.devicesLabel.text = html.escape(said).replace("\n", "<br>")
