"""The worker's process: start it, listen to it, stop it. Everything about QProcess is known here alone.

Event-driven and without Python threads, which hardly run inside Slicer: QProcess told of a line within 0.3 ms there, a
reader thread within 89 ms. The process stays warm between runs.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import qt

from EfficientSegBridge import exit_words, process_tree
from EfficientSegBridge.interpreter import Command
from EfficientSegBridge.line_assembler import LineAssembler
from EfficientSegLib.errors import ProtocolError
from EfficientSegLib.protocol import (
    Event,
    Failed,
    Finished,
    Heartbeat,
    Ready,
    Request,
    Shutdown,
    Started,
    decode,
    encode_request,
)

TICK_MS = 1000
LOG_LINES = 2000  # older ones are forgotten


class WorkerProcess:
    """One worker, kept warm; each run ends with exactly one `Finished` or `Failed`.

    Args:
        command: program, arguments and environment of the worker.
        processFactory: makes the QProcess; a test may hand in its own.
        startSeconds: how long the worker may take until `Ready`; importing torch from a cold disk takes long.
        silenceSeconds: how long it may be silent during a run, where it says `Heartbeat` every two seconds.
        graceSeconds: how long it may take to stop after `cancel` before it is ended.
    """

    def __init__(
        self,
        command: Command,
        processFactory: Callable[[], object] | None = None,
        startSeconds: float = 180,
        silenceSeconds: float = 45,
        graceSeconds: float = 20,
    ) -> None:
        self._command = command
        self._makeProcess = processFactory or qt.QProcess
        self._limits = {"start": startSeconds, "run": silenceSeconds, "cancel": graceSeconds}
        self._process = None
        self._pids: set[int] = set()
        self._ready = False
        self._request: Request | None = None
        self._onEvent: Callable[[Event], None] | None = None
        self._verdict: Failed | None = None  # why we ended the process ourselves
        self._silentTicks = 0
        self._cancelTicks: int | None = None
        self._memoryMb = 0.0  # said by the last heartbeat
        self._output, self._errors = LineAssembler(), LineAssembler()
        self.log: list[str] = []
        self.onLog: Callable[[str], None] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    @property
    def busy(self) -> bool:
        return self._request is not None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pids(self) -> set[int]:
        """The launcher's and the worker's own number, as far as they are known."""
        return set(self._pids)

    def start(self, request: Request, onEvent: Callable[[Event], None]) -> None:
        """Send the request, to the warm process or to a new one; `onEvent` is called for each event.

        Raises:
            RuntimeError: a run is under way.
        """
        if self.busy:
            raise RuntimeError("The worker is busy.")
        self._request, self._onEvent, self._verdict = request, onEvent, None
        self._silentTicks, self._cancelTicks, self._memoryMb = 0, None, 0.0
        self._timer.start()
        if self._process is None:
            self._launch()
        elif self._ready:
            self._send(encode_request(request))

    def cancel(self) -> None:
        """Ask the worker to stop after the patch in hand; if it does not, it is ended after the grace time."""
        if not self.busy or self._cancelTicks is not None:
            return
        self._cancelTicks = 0
        if self._request.cancel_file:
            Path(self._request.cancel_file).touch()
        if not self._ready:
            self._end(exit_words.stopped())

    def stop(self) -> None:
        """End the process and its children now; a run under way hears nothing more."""
        self._request = self._onEvent = None
        self._timer.stop()
        if self._process is None:
            return
        # Before Ready only the launcher is known, and it is to be ended too.
        pids = {pid for pid in (*self._pids, self._launcherPid()) if pid > 0}
        process, self._process = self._process, None
        if self._ready:
            process.write(encode_request(Shutdown()).encode() + b"\n")
        process.closeWriteChannel()
        process_tree.endTree(*pids)
        process.waitForFinished(2000)
        self._forget()

    def _launch(self) -> None:
        process = self._makeProcess()
        self._process, self._ready = process, False
        self._output, self._errors = LineAssembler(), LineAssembler()
        environment = qt.QProcessEnvironment.systemEnvironment()
        environment.clear()
        for name, value in self._command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(self._command.folder)
        process.readyReadStandardOutput.connect(self._readOutput)
        process.readyReadStandardError.connect(self._readErrors)
        # How many arguments `finished` brings depends on the version of PythonQt; a slot without any suits all.
        process.finished.connect(lambda: self._finished(process))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda: self._failedToStart(process))
        self._say(f"$ {self._command}")
        process.start(self._command.program, list(self._command.arguments))

    def _send(self, line: str) -> None:
        self._process.write((line + "\n").encode())

    def _readOutput(self) -> None:
        if self._process is not None:
            for line in self._output.add(self._process.readAllStandardOutput().data()):
                self._hear(line)

    def _readErrors(self) -> None:
        if self._process is not None:
            for line in self._errors.add(self._process.readAllStandardError().data()):
                self._say(line)

    def _hear(self, line: str) -> None:
        self._silentTicks = 0
        try:
            event = decode(line)
        except ProtocolError as error:
            self._say(str(error))
            return
        if event is None:
            self._say(line)
        elif isinstance(event, Ready):
            self._ready = True
            self._pids |= {event.pid, self._launcherPid()}
            self._say(line)
            if self.busy:
                self._send(encode_request(self._request))
        elif self.busy:
            self._pass(event)

    def _pass(self, event: Event) -> None:
        if isinstance(event, Started):
            self._pids.add(event.pid)
        elif isinstance(event, Heartbeat):
            self._memoryMb = event.memory_mb
        onEvent = self._onEvent
        if isinstance(event, (Finished, Failed)):
            self._request = self._onEvent = None
            self._timer.stop()
        try:
            onEvent(event)
        except Exception:
            # An exception in a slot would only be printed by PythonQt, and the events behind it be lost.
            logging.exception("EfficientSeg: %s could not be shown.", type(event).__name__)

    def _finished(self, process) -> None:
        if process is not self._process:
            return
        self._readOutput()
        self._readErrors()
        for line in (*self._output.rest(), *self._errors.rest()):
            self._say(line)
        failure = self._verdict or exit_words.ended(
            process.exitCode(), self._crashed(process), self.log, self._memoryMb
        )
        self._process = None
        self._forget()
        if self.busy:
            self._pass(failure)

    def _failedToStart(self, process) -> None:
        if process is self._process and int(process.error()) == int(qt.QProcess.ProcessError.FailedToStart):
            failure = exit_words.notStarted(self._command.program, process.errorString())
            self._process = None
            self._forget()
            if self.busy:
                self._pass(failure)

    def _tick(self) -> None:
        """Counted in ticks, not in clock time: a laptop that slept, or a busy application, is no silent worker."""
        if not self.busy:
            return
        seconds = TICK_MS / 1000
        self._silentTicks += 1
        if self._cancelTicks is not None:
            self._cancelTicks += 1
            if self._cancelTicks * seconds >= self._limits["cancel"]:
                self._end(exit_words.stopped())
        elif self._silentTicks * seconds >= self._limits["run" if self._ready else "start"]:
            self._end(exit_words.silent(self._silentTicks * seconds, self._ready))

    def _end(self, verdict: Failed) -> None:
        """End the process ourselves; `_finished` then passes the verdict on."""
        self._verdict = verdict
        self._pids.add(self._launcherPid())
        process_tree.endTree(*(pid for pid in self._pids if pid > 0))

    def _launcherPid(self) -> int:
        return int(self._process.processId())

    def _crashed(self, process) -> bool:
        return int(process.exitStatus()) == int(qt.QProcess.ExitStatus.CrashExit)

    def _forget(self) -> None:
        self._pids.clear()
        self._ready = False

    def _say(self, line: str) -> None:
        self.log.append(line)
        del self.log[:-LOG_LINES]
        if self.onLog:
            self.onLog(line)
