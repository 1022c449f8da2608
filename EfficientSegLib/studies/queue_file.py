"""The queue on disk: JSON lines, each the newest state of one case. A line cut off by a crash is passed over."""

import json
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from EfficientSegLib import files
from EfficientSegLib.environment import is_running
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.options import read_options
from EfficientSegLib.studies.case import Entry

NAME, LOCK = "queue.jsonl", "queue.lock"
HEADER = {"efficientseg_queue": 1}


class QueueFile:
    """The queue of one output folder. A change is one line added, so that it costs the same in long queues.

    Args:
        folder: the output folder; made when the first line is written.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.path = Path(folder) / NAME

    def read(self) -> dict[str, Entry]:
        """The newest entry of each case, in the order in which cases came; {} where there is no queue.

        Raises:
            VolumeError: there is a file of this name that is no queue, or it cannot be opened.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise VolumeError(
                f"{self.path} cannot be opened.", why=f"{error.strerror}.", mend="Check who may read the folder."
            ) from error
        if not lines or _json(lines[0]) != HEADER:
            raise VolumeError(
                f"{self.path} is no queue.",
                why="A queue keeps its books under this name, and the file holds something else.",
                mend="Choose another output folder, or move the file away.",
            )
        entries: dict[str, Entry] = {}
        for line in lines[1:]:
            content = _json(line)
            try:
                entry = read_options(Entry, content)
            except OptionError:
                continue  # cut off when a process died or a disk was full; or of a newer version
            entries[entry.case] = entry
        return entries

    def write(self, entries: Iterable[Entry]) -> None:
        """Replace the whole queue in one step.

        Raises:
            VolumeError: it cannot be written; the older queue stands.
        """
        lines = [HEADER, *map(asdict, entries)]
        with files.replacing(self.path) as part:
            part.write_text("".join(_line(line) for line in lines), encoding="utf-8")

    def put(self, entry: Entry) -> None:
        """Add the newest state of a case; on the disk when this returns.

        Raises:
            VolumeError: it cannot be written; nothing of the line stays.
        """
        size = None
        try:
            with open(self.path, "ab", buffering=0) as file:
                size = file.tell()
                line = _line(asdict(entry)).encode()
                if file.write(line) != len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(file.fileno())
        except OSError as error:
            if size is not None:
                os.truncate(self.path, size)
            raise files.explain(self.path, error) from error


class Lock:
    """Keeps a second process from working on the same queue, for as long as the block lasts.

    Raises:
        VolumeError: another one is at work, or the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self._path = Path(folder) / LOCK

    def __enter__(self) -> "Lock":
        content = json.dumps({"pid": os.getpid(), "machine": socket.gethostname(), "since": time.ctime()})
        for _ in range(2):  # the second time after a dead process's lock was taken away
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with open(self._path, "x", encoding="utf-8") as file:
                    file.write(content)
                return self
            except FileExistsError:
                self._refuse_if_alive()
                self._path.unlink(missing_ok=True)
            except OSError as error:
                raise files.explain(self._path, error) from error
        raise self._busy({})

    def __exit__(self, *_) -> None:
        self._path.unlink(missing_ok=True)

    def _refuse_if_alive(self) -> None:
        owner = _json(self._path.read_bytes()) if self._path.is_file() else {}
        pid = owner.get("pid")
        if owner.get("machine") != socket.gethostname() or (isinstance(pid, int) and is_running(pid)):
            raise self._busy(owner)

    def _busy(self, owner: dict) -> VolumeError:
        return VolumeError(
            f"Another queue is at work on {self._path.parent}.",
            why=f"Process {owner.get('pid', '?')} on {owner.get('machine', '?')} began at {owner.get('since', '?')}.",
            mend=f"Wait for it, or choose another folder. If that process is gone, delete {self._path}.",
        )


def _line(content: dict) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"


def _json(line: bytes) -> dict:
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
