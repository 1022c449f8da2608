"""Installs and downloads bundles in a process of its own, so that the application stays responsive."""

from collections.abc import Callable

import qt

from EfficientSegBridge import process_tree
from EfficientSegBridge.interpreter import pythonCommand
from EfficientSegBridge.line_assembler import LineAssembler
from EfficientSegBridge.translation import _
from EfficientSegLib.protocol import Failed
from EfficientSegLib.store.messages import Event, Moving, Task, decode, encode_task

CHILD = ("-m", "EfficientSegLib.store.child")
SHOWN_LINES = 3  # of what the process has said when it died


class BundleFetcher:
    """One task at a time.

    Args:
        onMoving: told how far it is.
        onEnd: told what came of it, once the process has ended.
    """

    def __init__(self, onMoving: Callable[[Moving], None], onEnd: Callable[[Event], None]) -> None:
        self._onMoving, self._onEnd = onMoving, onEnd
        self._process = None
        self._lines = LineAssembler()
        self._end: Event | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self, task: Task) -> None:
        """Begin; while another task is under way nothing happens."""
        if self.running:
            return
        command = pythonCommand(CHILD)
        process = qt.QProcess()
        self._process, self._lines, self._end = process, LineAssembler(), None
        environment = qt.QProcessEnvironment.systemEnvironment()
        environment.clear()
        for name, value in command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(command.folder)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(lambda: self._finished(process))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda: self._failed(process))
        process.start(command.program, list(command.arguments))
        process.write((encode_task(task) + "\n").encode())

    def stop(self) -> None:
        """Ask it to end; what was downloaded is kept to go on from."""
        if self.running:
            self._process.closeWriteChannel()

    def abandon(self) -> None:
        """End it now: the application or the module goes."""
        process, self._process = self._process, None
        if process is not None:
            process.closeWriteChannel()
            process_tree.endTree(*(pid for pid in (int(process.processId()),) if pid > 0))
            process.waitForFinished(1000)

    def _read(self) -> None:
        if self._process is not None:
            for line in self._lines.add(self._process.readAllStandardOutput().data()):
                event = decode(line)
                if isinstance(event, Moving):
                    self._onMoving(event)
                elif event is not None:
                    self._end = event

    def _finished(self, process) -> None:
        if process is self._process:
            self._read()
            errors = process.readAllStandardError().data().decode("utf-8", errors="replace").splitlines()
            said = " ".join(errors[-SHOWN_LINES:])
            self._tell(
                self._end
                or Failed(_("The background process ended by itself."), said, _("Nothing was kept; try again."))
            )

    def _failed(self, process) -> None:
        if process is self._process and int(process.error()) == int(qt.QProcess.ProcessError.FailedToStart):
            self._tell(Failed(_("Python could not be started."), process.errorString(), _("Reinstall Slicer.")))

    def _tell(self, event: Event) -> None:
        self._process = None
        # Not from inside the process's slot: what is done next may ask the user, or start the next process.
        qt.QTimer.singleShot(0, lambda: self._onEnd(event))
