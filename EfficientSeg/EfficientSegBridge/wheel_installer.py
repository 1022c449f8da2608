"""Installing without internet: packages from a folder of wheels, by pip in a process of its own."""

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

import qt

from EfficientSegBridge import packages, process_tree, run_folder
from EfficientSegBridge.interpreter import Command, pythonCommand
from EfficientSegBridge.line_assembler import LineAssembler
from EfficientSegBridge.packages import InstallError
from EfficientSegBridge.torch_probe import TorchState
from EfficientSegBridge.translation import _

KEPT = ("numpy", "SimpleITK")  # Slicer's own: an installation must not replace them
LINES = 60  # of pip's words, kept to find the reason


def needed(state: TorchState, external: bool) -> tuple[list[str], bool]:
    """What is to be installed, and whether torch must be laid over an installation that broke off.

    Args:
        state: what the probe found.
        external: it is not Slicer's own Python, which cannot be looked into from here.
    """
    torch = [line for line in packages.requirements() if packages.packageName(line) == "torch"]
    spoilt = state.state in ("partial", "broken")
    others = list(state.missing) if external else [line for line in packages.missing() if line not in torch]
    return [*(torch if state.state != "ok" else []), *others], spoilt


def wheels(folder: Path) -> list[Path]:
    """The packages in a folder.

    Raises:
        InstallError: there is none.
    """
    found = sorted(path for path in folder.glob("*") if path.name.endswith((".whl", ".tar.gz", ".zip")))
    if not found:
        raise InstallError(
            _("{folder} holds no packages.").format(folder=folder),
            why=_("Files such as torch-2.9.0-….whl are looked for."),
            mend=_("Fetch them on a computer with internet and the same Python: pip download torch --dest FOLDER."),
        )
    return found


class WheelInstaller:
    """Runs pip on a folder, one command after the other.

    Args:
        onLine: told each line that pip prints.
        onEnded: told None, or the InstallError.
        processFactory: makes the QProcess; a test may hand in its own.
    """

    def __init__(
        self,
        onLine: Callable[[str], None],
        onEnded: Callable[[InstallError | None], None],
        processFactory: Callable[[], object] | None = None,
    ) -> None:
        self._onLine, self._onEnded = onLine, onEnded
        self._makeProcess = processFactory or qt.QProcess
        self._process = None
        self._commands: list[Command] = []
        self._lines: list[str] = []
        self._assembler = LineAssembler()
        self._folder: Path | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self, folder: Path, state: TorchState, externalPython: str) -> None:
        """Begin; the end is told.

        Raises:
            InstallError: the folder holds no packages, or nothing is missing.
        """
        if self.running:
            return
        wheels(folder)
        wanted, spoilt = needed(state, bool(externalPython))
        if not wanted:
            raise InstallError(
                _("Nothing is missing."), why=_("All packages are there."), mend=_("Click Check again to see.")
            )
        self._folder = run_folder.make()
        try:
            self._lines = []
            limits = self._constraints(externalPython)
            commands = pipArguments(folder, wanted, spoilt, limits)
            self._commands = [pythonCommand(arguments, externalPython) for arguments in commands]
            self._next()
        except BaseException:
            self._leave()
            raise

    def stop(self) -> None:
        """End pip at once; what it has half installed is told by the probe, and mended by the next installation."""
        process, self._process = self._process, None
        self._commands = []
        if process is not None:
            process_tree.endTree(*(pid for pid in (int(process.processId()),) if pid > 0))
            process.waitForFinished(1000)
        self._leave()

    def _constraints(self, externalPython: str) -> Path | None:
        """Slicer's own numpy and SimpleITK stay as they are."""
        if externalPython:
            return None
        path = self._folder / "constraints.txt"
        lines = []
        for name in KEPT:
            try:
                lines.append(f"{name}=={importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                continue
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def _next(self) -> None:
        command = self._commands.pop(0)
        self._onLine(f"$ {command}")
        process = self._makeProcess()
        self._process, self._assembler = process, LineAssembler()
        environment = qt.QProcessEnvironment.systemEnvironment()
        environment.clear()
        for name, value in command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setProcessChannelMode(qt.QProcess.ProcessChannelMode.MergedChannels)
        process.readyReadStandardOutput.connect(lambda: self._read(process))
        process.finished.connect(lambda: self._finished(process))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda: self._failedToStart(process, command))
        process.start(command.program, list(command.arguments))

    def _read(self, process) -> None:
        if process is self._process:
            self._tell(self._assembler.add(process.readAllStandardOutput().data()))

    def _tell(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._lines.append(line)
            self._onLine(line)
        del self._lines[:-LINES]

    def _finished(self, process) -> None:
        if process is not self._process:
            return
        self._read(process)
        self._tell(self._assembler.rest())
        self._process = None
        if process.exitCode() != 0 or int(process.exitStatus()) != int(qt.QProcess.ExitStatus.NormalExit):
            self._end(packages.failed(_("The packages"), "\n".join(self._lines)))
        elif self._commands:
            self._next()
        else:
            self._end(None)

    def _failedToStart(self, process, command: Command) -> None:
        if process is self._process and int(process.error()) == int(qt.QProcess.ProcessError.FailedToStart):
            self._process = None
            self._end(packages.failed(_("The packages"), f"{command.program}: {process.errorString()}"))

    def _end(self, error: InstallError | None) -> None:
        self._commands = []
        self._leave()
        self._onEnded(error)

    def _leave(self) -> None:
        if self._folder is not None:
            run_folder.remove(self._folder)
            self._folder = None


def pipArguments(folder: Path, wanted: list[str], spoilt: bool, constraints: Path | None) -> list[tuple[str, ...]]:
    """pip's commands: nothing is fetched from anywhere but the folder.

    Args:
        spoilt: an installation broke off; pip would take its remains for the whole.
    """
    common = ("-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-index", "--find-links")
    common = (*common, str(folder))
    commands = []
    torch = [line for line in wanted if packages.packageName(line) == "torch"]
    if spoilt and torch:
        commands.append((*common, "--force-reinstall", "--no-deps", *torch))
    limits = ("--constraint", str(constraints)) if constraints else ()
    return [*commands, (*common, *limits, *wanted)]
