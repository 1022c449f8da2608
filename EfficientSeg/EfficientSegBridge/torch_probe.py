"""Is there a PyTorch that works? Asked in a child process: a broken one has crashed applications that imported it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import qt

from EfficientSegBridge.interpreter import Command, pythonCommand
from EfficientSegBridge.translation import _

MARK = "@EfficientSegProbe "
# Missing: no such package. Partial: its files are there, its metadata or its parts are not (an install that died, which
# imports as an empty module). Broken: it is complete and does not import.
SCRIPT = f"""
import importlib.metadata, importlib.util, json, sys
said = {{"python": sys.version.split()[0]}}
try:
    said["version"] = importlib.metadata.version("torch")
except importlib.metadata.PackageNotFoundError:
    said["version"] = ""
found = importlib.util.find_spec("torch")
if found is None:
    said["state"] = "partial" if said["version"] else "missing"
else:
    try:
        import torch
        torch.nn.functional.conv3d(torch.ones(1, 1, 3, 3, 3), torch.ones(1, 1, 3, 3, 3))
        said["state"] = "ok" if said["version"] else "partial"
        said["cuda"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
        said["mps"] = torch.backends.mps.is_available()
    except AttributeError as error:
        said.update(state="partial", reason=str(error))
    except BaseException as error:
        said.update(state="broken", reason=f"{{type(error).__name__}}: {{error}}")
said["missing"] = [name for name in ("numpy", "SimpleITK") if importlib.util.find_spec(name) is None]
print({MARK!r} + json.dumps(said), flush=True)
"""


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
        """Probe this interpreter unless its answer is known or under way."""
        if self._asked == externalPython and not again:
            return
        self.stop()
        self._asked = externalPython
        self.state = TorchState("unknown")
        self._run(pythonCommand(("-c", SCRIPT), externalPython))

    def stop(self) -> None:
        """Forget a probe under way."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
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
        process.finished.connect(lambda *_arguments: self._finished(process))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda *_arguments: self._failed(process, command))
        process.start(command.program, list(command.arguments))

    def _finished(self, process) -> None:
        if process is not self._process:
            return
        output = process.readAllStandardOutput().data().decode("utf-8", errors="replace")
        crashed = int(process.exitStatus()) == int(qt.QProcess.ExitStatus.CrashExit)
        self._tell(read(output, process.exitCode(), crashed))

    def _failed(self, process, command: Command) -> None:
        if process is self._process and int(process.error()) == int(qt.QProcess.ProcessError.FailedToStart):
            self._tell(TorchState("broken", reason=_("{program} does not start").format(program=command.program)))

    def _tell(self, state: TorchState) -> None:
        self._process = None
        self.state = state
        self._onState(state)
