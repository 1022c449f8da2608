"""The background process: `python -m EfficientSegLib.worker`.

Says Ready, then takes one request per line of standard input until the input ends or a Shutdown comes. Each request is
answered by events (protocol.py) and exactly one end, Finished or Failed. The model stays loaded for the next request,
and what a run has read stays on request (`keep`) until another run begins, so that one with more patches can continue
it (`continue_from`): the prepared volume, the coarse logits, and the patch logits up to the strategy's `memory_mb`.
`--once request.json` does one request and exits with 0 or 1.

Cancelled before the coarse pass is done there are no labels to keep: the run ends with Failed(cancelled=True), which is
no mistake. Cancelled later it ends with Finished(complete=False) and the labels so far.
"""

import argparse
import gc
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from EfficientSegLib import __version__, job, resources
from EfficientSegLib import bundle as bundles
from EfficientSegLib.errors import EfficientSegError, ProtocolError
from EfficientSegLib.failures import explain
from EfficientSegLib.kept import ModelKeeper, RunKeeper
from EfficientSegLib.lifeline import Channel, Lifeline, heartbeat, lines, take_input
from EfficientSegLib.protocol import (
    Event,
    Failed,
    Finished,
    Measure,
    Measured,
    Ready,
    Request,
    Shutdown,
    decode_request,
)

log = logging.getLogger("EfficientSeg")


class Worker:
    """Answers requests one after the other."""

    def __init__(self, channel: Channel, lifeline: Lifeline, stop: threading.Event | None = None) -> None:
        self._channel = channel
        self._lifeline = lifeline
        self._stop = stop or threading.Event()
        self._models = ModelKeeper()
        self._runs = RunKeeper()

    def answer(self, request: Request) -> bool:
        """Run one request; whether it was finished."""
        with self._lifeline.during(request.parent_pid, request.output_dir, request.temporary):
            with heartbeat(self._channel.send):
                end = self._run(request)
            self._channel.send(end)
        gc.collect()
        resources.release_memory()
        return isinstance(end, Finished)

    def measure(self, request: Measure) -> None:
        """Tell how fast each device reads the bundle's patches; the model kept for runs makes room for it."""
        from EfficientSegLib.device_speed import measure

        self._models, self._runs = ModelKeeper(), RunKeeper()
        began = time.perf_counter()
        with heartbeat(self._channel.send):
            try:
                found = measure(bundles.load(request.bundle), request.threads, self._should_stop(request))
                self._channel.send(Measured(tuple(found)))
                end = Finished("", "", "", round(time.perf_counter() - began, 3), 0.0, True, 0, 0)
            except Exception as error:  # as of a run
                end = explain(error)
                if not isinstance(error, EfficientSegError):
                    log.exception("The measurement failed.")
        self._channel.send(end)

    def _should_stop(self, request: Request | Measure) -> Callable[[], bool]:
        return lambda: self._stop.is_set() or bool(request.cancel_file and os.path.exists(request.cancel_file))

    def refuse(self, error: EfficientSegError) -> None:
        """Answer what is no request."""
        self._channel.send(explain(error))

    def _run(self, request: Request) -> Event:
        try:
            return job.run(request, self._channel.send, self._models, self._should_stop(request), self._runs).finished
        except Exception as error:  # every run has exactly one end, whatever a library throws
            failed = explain(error)
            if not isinstance(error, EfficientSegError):
                log.exception("The run failed.")
            job.remove_files(request.output_dir)
            return failed


def main(arguments: list[str] | None = None) -> int:
    """Serve until the input ends, or do one request; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m EfficientSegLib.worker", description="Segments in the background.")
    parser.add_argument("--once", metavar="REQUEST.JSON", type=Path, help="do this one request, then exit with 0 or 1")
    once = parser.parse_args(arguments).once
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    lifeline = Lifeline()
    channel = Channel(on_broken=lifeline.end)
    return _once(once, channel, lifeline) if once else _serve(channel, lifeline)


def _serve(channel: Channel, lifeline: Lifeline) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to answer
    requests: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    descriptor = take_input()
    worker = Worker(channel, lifeline)
    lifeline.watch()
    channel.send(Ready(os.getpid(), __version__))
    threading.Thread(target=_read_requests, args=(descriptor, requests), name="requests", daemon=True).start()
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
    while (line := requests.get()) is not None:
        if not line.strip():
            continue
        try:
            request = decode_request(line)
        except ProtocolError as error:
            worker.refuse(error)
            continue
        if isinstance(request, Shutdown):
            return 0
        worker.measure(request) if isinstance(request, Measure) else worker.answer(request)
    lifeline.input_ended()
    return 0


def _read_requests(descriptor: int, requests: queue.SimpleQueue) -> None:
    for line in lines(descriptor):
        requests.put(line)
    requests.put(None)


def _warm_up() -> None:
    """Import what every run needs while nobody waits; what is missing or broken is said by the run."""
    try:
        import_module("EfficientSegLib.segment")
    except Exception as error:
        log.warning("Not ready to segment: %s", explain(error).what)


def _once(path: Path, channel: Channel, lifeline: Lifeline) -> int:
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    worker = Worker(channel, lifeline, stop)
    channel.send(Ready(os.getpid(), __version__))
    try:
        request = decode_request(path.read_text(encoding="utf-8"))
    except OSError as error:
        channel.send(Failed(f"{path} cannot be read.", f"{error.strerror}.", "Check the path."))
        return 1
    except ProtocolError as error:
        worker.refuse(error)
        return 1
    if isinstance(request, (Shutdown, Measure)):
        return 0  # --once is for one volume
    lifeline.watch(own_parent=False)  # a shell may start it and go
    return 0 if worker.answer(request) else 1


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a thread may wait for input, and torch takes its time to unload
