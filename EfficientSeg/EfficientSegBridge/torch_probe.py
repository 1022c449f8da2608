"""Is there a PyTorch that works? Asked in a child process: a broken one has crashed applications that imported it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import qt

from EfficientSegBridge import exit_words, process_tree
from EfficientSegBridge.child.probe_torch import MARK
from EfficientSegBridge.interpreter import Command, pythonCommand
from EfficientSegBridge.translation import _

SCRIPT = Path(__file__).parent / "child" / "probe_torch.py"


@dataclass(frozen=True)
class TorchState:
    """What was found."""

    state: Literal["unknown", "ok", "missing", "partial", "broken"]
    version: str = ""
    reason: str = ""
    cuda: str = ""  # name of the NVIDIA GPU that torch can use
    mps: bool = False
    missing: tuple[str, ...] = ()  # other packages the worker needs


def read(output: str, exitCode: int, crashed: bool) -> TorchState:
    """The answer of the child process; one that gave none is a broken install."""
    for line in output.splitlines():
        if line.startswith(MARK):
            said = json.loads(line[len(MARK) :])
            return TorchState(
                said["state"],
                said.get("version", ""),
                said.get("reason", ""),
                said.get("cuda", ""),
                bool(said.get("mps")),
                tuple(said.get("missing", ())),
            )
    how = (
        _("Python crashed while importing it") if crashed else _("Python ended with code {code}").format(code=exitCode)
    )
    return TorchState("broken", reason=how)


class TorchProbe:
    """Asks once per interpreter; the answer comes through `onState`, never at once."""

    def __init__(
        self, onState: Callable[[TorchState], None], processFactory: Callable[[], object] | None = None
    ) -> None:
        self.state = TorchState("unknown")
        self._onState = onState
        self._makeProcess = processFactory or qt.QProcess
        self._process = None
        self._asked: str | None = None

    def ask(self, externalPython: str = "", again: bool = False) -> None:
        """Probe this interpreter, unless it was found to work or is being asked."""
        settled = self.state.state == "ok" or self._process is not None
        if self._asked == externalPython and settled and not again:
            return
        self.stop()
        self._asked = externalPython
        self.state = TorchState("unknown")
        self._run(pythonCommand((str(SCRIPT),), externalPython))

    def stop(self) -> None:
        """Forget a probe under way."""
        process, self._process = self._process, None
        if process is not None:
            # PythonSlicer is a launcher: killed alone, it would leave Python behind, importing torch.
            process_tree.endTree(*(pid for pid in (int(process.processId()),) if pid > 0))
            process.waitForFinished(1000)

    def _run(self, command: Command) -> None:
        process = self._makeProcess()
        self._process = process
        environment = qt.QProcessEnvironment.systemEnvironment()
        environment.clear()
        for name, value in command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(command.folder)
        process.finished.connect(lambda: self._finished(process))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda: self._failed(process, command))
        process.start(command.program, list(command.arguments))

    def _finished(self, process) -> None:
        if process is not self._process:
            return
        output = process.readAllStandardOutput().data().decode("utf-8", errors="replace")
        errors = process.readAllStandardError().data().decode("utf-8", errors="replace")
        crashed = int(process.exitStatus()) == int(qt.QProcess.ExitStatus.CrashExit)
        crashed = crashed or exit_words.LAUNCHER_WORDS in errors
        self._tell(read(output, process.exitCode(), crashed))

    def _failed(self, process, command: Command) -> None:
        if process is self._process and int(process.error()) == int(qt.QProcess.ProcessError.FailedToStart):
            self._tell(TorchState("broken", reason=_("{program} does not start").format(program=command.program)))

    def _tell(self, state: TorchState) -> None:
        self._process = None
        self.state = state
        self._onState(state)
