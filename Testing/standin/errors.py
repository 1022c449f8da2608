"""What VTK and Qt slots only print, collected, so that a test can fail on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def nothing_printed(messages: list[str], source: str) -> Iterator[None]:
    """Fail with AssertionError if `messages` grows within the block; `source` names who printed them."""
    before = len(messages)
    yield
    fresh = messages[before:]
    if fresh:
        raise AssertionError(f"{source} printed {len(fresh)} message(s):\n" + "\n".join(fresh))
