"""What keeps a background process in touch: a protected output, a heartbeat, and an end when its parent is gone."""

import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from EfficientSegLib.environment import is_running
from EfficientSegLib.job import remove_files
from EfficientSegLib.protocol import Event, Heartbeat, encode
from EfficientSegLib.resources import current_memory_mb

POLL_SECONDS = 0.5
BEAT_SECONDS = 1.0
CLEAN_UP_SECONDS = 3.0
ORPHAN_SECONDS = 2.0  # between the end of the input and the parent's own end, when both were killed together


class Channel:
    """The process's real standard output, kept for events; whoever else prints, prints to standard error."""

    def __init__(self, on_broken: Callable[[], None]) -> None:
        self._descriptor = os.dup(1)
        self._lock = threading.Lock()
        self._on_broken = on_broken
        os.dup2(2, 1)  # C and C++ libraries included
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        os.write(self._descriptor, b"\n")  # whatever was printed before may have left its line open

    def send(self, event: Event) -> None:
        """One line, whole, in the order of the calls."""
        line = memoryview((encode(event) + "\n").encode("ascii"))
        try:
            with self._lock:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except OSError:
            self._on_broken()


def take_input() -> int:
    """Standard input for requests alone: a library that reads finds nothing."""
    descriptor = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return descriptor


def lines(descriptor: int) -> Iterator[str]:
    """Lines of UTF-8 until the end of the input; odd bytes are replaced."""
    rest = b""
    while True:
        try:
            block = os.read(descriptor, 1 << 16)
        except OSError:
            block = b""
        if not block:
            break
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
    if rest.strip():
        yield rest.decode("utf-8", "replace")


class Lifeline:
    """Ends this process at once when its parent is gone or on SIGTERM, and clears the request's scratch files away."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._follows_own_parent = False
        self._watched: int | None = None
        self._folder: Path | None = None
        self._is_temporary = False
        self._ending = threading.Lock()
        self._bell, far_end = socket.socketpair()
        far_end.setblocking(False)
        # Python's own handlers wait for the main thread, which may be inside a long convolution; this bell does not.
        signal.set_wakeup_fd(far_end.fileno(), warn_on_full_buffer=False)
        self._far_end = far_end
        signal.signal(signal.SIGTERM, lambda *_: None)

    def watch(self, own_parent: bool = True) -> None:
        """Begin, in a thread of its own; without `own_parent` only the process that a request names counts."""
        self._follows_own_parent = own_parent and sys.platform != "win32"  # there, a parent's number stays
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    @contextmanager
    def during(self, parent_pid: int | None, folder: str | os.PathLike, is_temporary: bool) -> Iterator[None]:
        """A run whose parent and files are looked after."""
        self._watched = parent_pid or self._watched
        self._folder, self._is_temporary = Path(folder), is_temporary
        try:
            yield
        finally:
            if not is_temporary:
                self._folder = None  # a temporary one is cleared away also if the parent dies after the run

    def input_ended(self) -> None:
        """Nobody will send more. If that is because the parent died, this process ends as it should then."""
        last = time.monotonic() + ORPHAN_SECONDS
        while self._folder is not None and time.monotonic() < last:
            if self._is_orphan():
                self.end()
            time.sleep(0.05)

    def end(self, code: int = 1) -> None:
        """Clear up and leave without looking back: other threads may be stuck in a library."""
        self._ending.acquire()  # once; a second caller waits here for the exit
        try:
            self._clear()
        finally:
            os._exit(code)

    def _watch(self) -> None:
        while True:
            rung, _, _ = select.select([self._bell], [], [], POLL_SECONDS)
            if rung and signal.SIGTERM in self._bell.recv(64):
                self.end(128 + signal.SIGTERM)
            if self._is_orphan():
                self.end()

    def _is_orphan(self) -> bool:
        if self._follows_own_parent and os.getppid() != self._parent:
            return True
        return self._watched is not None and not is_running(self._watched)

    def _clear(self) -> None:
        if self._folder is None:
            return
        if not self._is_temporary:
            remove_files(self._folder)
            return
        last = time.monotonic() + CLEAN_UP_SECONDS
        while self._folder.exists() and time.monotonic() < last:  # the main thread may be writing into it just now
            shutil.rmtree(self._folder, ignore_errors=True)
            time.sleep(0.02)


@contextmanager
def heartbeat(send: Callable[[Event], None], seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Send a sign of life now and every `seconds` until the block ends."""
    over = threading.Event()

    def beat() -> None:
        send(Heartbeat(round(current_memory_mb(), 1)))
        while not over.wait(seconds):
            send(Heartbeat(round(current_memory_mb(), 1)))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
