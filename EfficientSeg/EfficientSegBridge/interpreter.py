"""Which Python runs the worker, and in which environment. Slicer's own environment is copied, never changed."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import slicer

from EfficientSegLib.environment import ROOT, worker_environment

WORKER = ("-m", "EfficientSegLib.worker")


@dataclass(frozen=True)
class Command:
    """A program with its arguments, environment and working folder."""

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: str = str(ROOT)

    def __str__(self) -> str:
        return " ".join((self.program, *self.arguments))


def slicerPython() -> str:
    """The launcher of Slicer's own Python; outside the application, the Python that runs this."""
    inHome = Path(slicer.app.slicerHome) / "bin" / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    found = shutil.which("PythonSlicer") or (str(inHome) if inHome.is_file() else "")
    return found or sys.executable


def pythonCommand(arguments: tuple[str, ...], externalPython: str = "") -> Command:
    """A Python of the user's choice, or Slicer's own, with the library on its path.

    Args:
        arguments: what Python is given.
        externalPython: any interpreter with torch; empty for Slicer's own.
    """
    if externalPython:
        # The application's libraries and packages must not reach another interpreter.
        environment = worker_environment(slicer.util.startupEnvironment(), external=True)
    else:
        environment = worker_environment(os.environ)
    environment.pop("PYTHONSTARTUP", None)
    return Command(externalPython or slicerPython(), arguments, environment)


def workerCommand(externalPython: str = "") -> Command:
    return pythonCommand(WORKER, externalPython)
