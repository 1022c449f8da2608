"""A real worker process, as a parent sees it: lines in, events out."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from EfficientSegLib import protocol
from EfficientSegLib.environment import worker_environment

PATIENCE_SECONDS = 60.0  # a busy machine starts torch slowly; a worker that hangs must still fail the test


class WorkerClient:
    """Starts a worker and reads its events with the time of their arrival; ends it when the block ends."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        base = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "EfficientSegLib.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(base),
        )
        self.log: list[str] = []  # what was no event
        self.times: list[tuple[float, protocol.Event]] = []
        self._events: queue.Queue[protocol.Event | None] = queue.Queue()
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_output, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "WorkerClient":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                continue  # what was not read by the dead worker is lost

    def send(self, line: protocol.Request | protocol.Shutdown | bytes) -> None:
        raw = line if isinstance(line, bytes) else protocol.encode_request(line).encode()
        self.process.stdin.write(raw + b"\n")
        self.process.stdin.flush()

    def next(self) -> protocol.Event:
        """The next event; fails when none comes, or when the worker has ended."""
        event = self._events.get(timeout=PATIENCE_SECONDS)
        assert event is not None, f"the worker ended: {self.log[-20:]}"
        return event

    def until(self, *kinds: type) -> list[protocol.Event]:
        """All events up to and with the first of these kinds."""
        seen = []
        while not seen or not isinstance(seen[-1], kinds):
            seen.append(self.next())
        return seen

    def ask(self, request: protocol.Request) -> list[protocol.Event]:
        """Send a request; all its events, heartbeats left out."""
        self.send(request)
        seen = self.until(protocol.Finished, protocol.Failed)
        return [event for event in seen if not isinstance(event, (protocol.Heartbeat, protocol.Ready))]

    def rest(self) -> list[protocol.Event]:
        """Everything that still comes until the worker's output ends."""
        seen = []
        while (event := self._events.get(timeout=PATIENCE_SECONDS)) is not None:
            seen.append(event)
        return seen

    def _read_output(self) -> None:
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            event = protocol.decode(line)
            if event is None:
                self.log.append(line)
                continue
            self.times.append((time.monotonic(), event))
            self._events.put(event)
        self._events.put(None)

    def _read_errors(self) -> None:
        for raw in self.process.stderr:
            self.log.append(raw.decode("utf-8", "replace").rstrip("\r\n"))


def kinds(events: Iterable[protocol.Event]) -> list[str]:
    """Names of the events, repetitions left out."""
    names = [type(event).__name__ for event in events]
    return [name for position, name in enumerate(names) if position == 0 or name != names[position - 1]]


def wait_until(fact: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Look again and again; False when the time is over."""
    last = time.monotonic() + seconds
    while not fact() and time.monotonic() < last:
        time.sleep(0.05)
    return fact()
