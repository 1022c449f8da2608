"""What VTK and Qt slots only print, collected, so that a test can fail on it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import vtk
from vtk.util.misc import calldata_type


class ErrorCollector:
    """Listens to vtkOutputWindow; VTK never raises, so errors would otherwise pass unseen."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._window = vtk.vtkOutputWindow.GetInstance()
        self._window.SetDisplayModeToNever()  # VTK's own logger prints each message already

        @calldata_type(vtk.VTK_STRING)
        def collect(_window: vtk.vtkOutputWindow, _event: str, text: str) -> None:
            self.messages.append(text.strip())

        for event in ("ErrorEvent", "WarningEvent"):
            self._window.AddObserver(event, collect)


def collect_uncaught() -> list[str]:
    """A list that receives the traceback of each exception that only reaches sys.excepthook, which still prints it."""
    tracebacks: list[str] = []
    former = sys.excepthook

    def collect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        tracebacks.append("".join(traceback.format_exception(kind, error, trace)))
        former(kind, error, trace)

    sys.excepthook = collect
    return tracebacks


@contextmanager
def nothing_printed(messages: list[str], source: str) -> Iterator[None]:
    """Fail with AssertionError if `messages` grows within the block; `source` names who printed them."""
    before = len(messages)
    yield
    fresh = messages[before:]
    if fresh:
        raise AssertionError(f"{source} printed {len(fresh)} message(s):\n" + "\n".join(fresh))
