"""The books of one output folder: its queue and its tables, kept up to date while cases are done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.studies import results
from EfficientSegLib.studies.case import Entry
from EfficientSegLib.studies.queue_file import Lock, QueueFile

TABLE_SECONDS = 5.0  # tables of long queues are written again after a case at most this often


class Books:
    """The entries of a folder, in memory and on disk. Opened, the folder is locked; closed, nothing is under way.

    Args:
        folder: the output folder.
        title: of the Markdown table: the model.
        entries: of the cases that are looked at now; what the folder's queue holds besides stays in it.
        tell: told in words when a table cannot be written just now.
    """

    def __init__(self, folder: Path, title: str, entries: Sequence[Entry], tell: Callable[[str], None]) -> None:
        self._folder, self._title, self._given, self._tell = folder, title, tuple(entries), tell
        self._queue, self._lock = QueueFile(folder), Lock(folder)
        self._entries: dict[str, Entry] = {}
        self._written = 0.0

    def open(self) -> None:
        """Lock the folder and write down how things stand.

        Raises:
            VolumeError: another process is at work there, or nothing can be written there.
        """
        self._lock.__enter__()
        try:
            self._entries = {name: _settled(entry) for name, entry in self._queue.read().items()}
            for entry in self._given:
                known = self._entries.get(entry.case, entry)
                self._entries[entry.case] = replace(entry, deaths=known.deaths) if entry.state == "waiting" else entry
            self._queue.write(self._entries.values())
        except BaseException:
            self._lock.__exit__()
            raise
        self._tables()

    def close(self) -> None:
        """Whatever was under way waits again, the tables say how things stand, and the folder is free.

        Raises:
            VolumeError: that cannot be written.
        """
        try:
            for entry in [entry for entry in self._entries.values() if entry.state == "running"]:
                self._entries[entry.case] = replace(entry, state="waiting")
                self._queue.put(self._entries[entry.case])
            results.write(self._sorted(), self._folder, self._title)
        finally:
            self._lock.__exit__()

    def __enter__(self) -> "Books":
        self.open()
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            self.close()
        except VolumeError as error:
            if kind is None:
                raise
            self._tell(str(error))  # what ended the block is told by its own error

    def entry(self, case: str) -> Entry:
        """The newest entry of a case by its name."""
        return self._entries[case]

    def put(self, entry: Entry) -> Entry:
        """Write down a case's new state; with the deaths that are known, it is returned.

        Raises:
            VolumeError: it cannot be written.
        """
        entry = replace(entry, deaths=max(entry.deaths, self._entries[entry.case].deaths))
        self._entries[entry.case] = entry
        self._queue.put(entry)
        if entry.state != "running" and time.monotonic() - self._written > TABLE_SECONDS:
            self._tables()
        return entry

    def _tables(self) -> None:
        """In between; a table that is open in another program (Windows) is no reason to end."""
        try:
            results.write(self._sorted(), self._folder, self._title)
        except VolumeError as error:
            self._tell(str(error))
        self._written = time.monotonic()

    def _sorted(self) -> list[Entry]:
        return [self._entries[name] for name in sorted(self._entries)]


def _settled(entry: Entry) -> Entry:
    """An entry as it is found on disk: a case that is still running there is one at which a process has died."""
    return replace(entry, state="waiting", deaths=entry.deaths + 1) if entry.state == "running" else entry
