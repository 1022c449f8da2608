"""Ctrl-C and SIGTERM during a training: the iteration is finished and kept, then the training leaves."""

import signal
import threading
from types import FrameType, TracebackType


class Interrupted(KeyboardInterrupt):
    """The training was asked to stop; all it has done is in its checkpoint."""


class Interruption:
    """While it lasts, the first Ctrl-C or SIGTERM only sets `asked`; a second one ends the program at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
