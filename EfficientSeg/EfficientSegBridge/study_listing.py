"""What a folder tree holds, found by the library in a process of its own: thousands of headers take a while."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import qt

from EfficientSegBridge import process_tree
from EfficientSegBridge.interpreter import pythonCommand
from EfficientSegBridge.translation import _
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.studies.case import Case


@dataclass(frozen=True)
class Listing:
    """Cases, and what else is in the tree; or `trouble` in words."""

    cases: tuple[Case, ...] = ()
    leftOut: tuple[tuple[str, str], ...] = ()  # path, and why
    trouble: str = ""


class StudyListing:
    """Looks through one tree at a time.

    Args:
        onListed: told what was found.
    """

    def __init__(self, onListed: Callable[[Listing], None]) -> None:
        self._onListed = onListed
        self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self, folder: Path, output: Path, bundle: Bundle, patterns: Sequence[str], externalPython: str) -> None:
        """Begin; an earlier look is given up.

        Args:
            folder: the tree.
            output: where results will go; not looked through.
            bundle: only series that it can read are listed.
            patterns: only names like these; (): all.
            externalPython: as for the worker.
        """
        self.stop()
        arguments = ["-m", "EfficientSegLib", "batch", str(folder), "--bundle", bundle.folder, "--output", str(output)]
        for pattern in patterns:
            arguments += ["--include", pattern]
        command = pythonCommand((*arguments, "--list", "--json"), externalPython)
        process = qt.QProcess()
        self._process = process
        environment = qt.QProcessEnvironment.systemEnvironment()
        environment.clear()
        for name, value in command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(command.folder)
        process.finished.connect(lambda: self._finished(process))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda: self._failed(process))
        process.start(command.program, list(command.arguments))

    def stop(self) -> None:
        """Give up a look under way."""
        process, self._process = self._process, None
        if process is not None:
            process_tree.endTree(*(pid for pid in (int(process.processId()),) if pid > 0))
            process.waitForFinished(1000)

    def _finished(self, process) -> None:
        if process is not self._process:
            return
        self._process = None
        output = process.readAllStandardOutput().data().decode("utf-8", errors="replace")
        errors = process.readAllStandardError().data().decode("utf-8", errors="replace")
        self._onListed(read(output, errors))

    def _failed(self, process) -> None:
        if process is self._process and int(process.error()) == int(qt.QProcess.ProcessError.FailedToStart):
            self._process = None
            self._onListed(
                Listing(trouble=_("Python could not be started: {reason}").format(reason=process.errorString()))
            )


def read(output: str, errors: str) -> Listing:
    """What `batch --list --json` has said; its three lines of error where it has said nothing."""
    cases, leftOut = [], []
    for line in output.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if "case" in said:
            cases.append(Case(said["case"], said["input"], tuple(said["files"]), said["title"]))
        elif "left_out" in said:
            leftOut.append((said["left_out"], said["why"]))
    if cases or leftOut:
        return Listing(tuple(cases), tuple(leftOut))
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return Listing(trouble=" ".join(lines[-3:]) or _("No image was found there."))
