"""How far something long is, and whether it is still wanted."""

from collections.abc import Callable
from typing import BinaryIO

from EfficientSegLib.errors import EfficientSegError
from EfficientSegLib.failures import Stopped

BLOCK = 1 << 18

Report = Callable[[str, int, int], None]  # stage, bytes done, bytes in all (0: not known)


class StoreStopped(Stopped):
    """Asked to stop; nothing was kept but the part of a download, which can go on."""

    def __init__(self) -> None:
        EfficientSegError.__init__(
            self,
            "Stopped.",
            why="It was asked to.",
            mend="Nothing was changed. A download goes on from where it was when it is started again.",
        )


class Watch:
    """Counts bytes of one piece of work.

    Args:
        report: told the stage, the bytes done and all of them.
        stopped: True once nobody wants it any more.
    """

    def __init__(self, report: Report | None = None, stopped: Callable[[], bool] | None = None) -> None:
        self._report, self._stopped = report or (lambda *_: None), stopped or (lambda: False)
        self._stage, self._done, self._total = "", 0, 0

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Stages: download, check, unpack."""
        self._stage, self._total, self._done = stage, total, done
        self.add(0)

    def add(self, count: int) -> None:
        """So many bytes more are done.

        Raises:
            StoreStopped: nobody wants the rest.
        """
        self._done += count
        self._report(self._stage, self._done, self._total)
        if self._stopped():
            raise StoreStopped

    def copy(self, source: BinaryIO, target: BinaryIO, most: int) -> int:
        """Copy at most so many bytes; how many they were."""
        copied = 0
        while copied < most and (block := source.read(min(BLOCK, most - copied))):
            target.write(block)
            copied += len(block)
            self.add(len(block))
        return copied
