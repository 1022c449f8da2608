"""Run by another process, `python -m EfficientSegLib.store.child`: one task of the store, told as marked lines.

The first line of the input is the task. The end of the input, or a second line, stops it: so it never outlives the
application that has started it.
"""

import os
import sys
import threading
import time
from pathlib import Path

from EfficientSegLib.failures import explain
from EfficientSegLib.protocol import Failed
from EfficientSegLib.store import download, fetching, keeping
from EfficientSegLib.store.messages import Event, Kept, Moving, Offered, Taken, Task, decode_task, encode

PAUSE_SECONDS = 0.2  # between two lines about how far it is


def do(task: Task, report, stopped) -> Event:
    """What came of a task; raises as the functions of the store do."""
    home = Path(task.home) if task.home else None
    if task.do == "look":
        offer = fetching.look(task.source)
        return Offered(offer.host, offer.size)
    if task.do == "weights":
        bundle = download.download_weights(task.source, home, report=report, stopped=stopped)
    elif task.do == "download":
        bundle = download.download_bundle(task.source, home, replace=task.replace, report=report, stopped=stopped)
    else:
        bundle = keeping.install(task.source, home, replace=task.replace, report=report, stopped=stopped)
    return Kept(bundle.folder, bundle.title)


def main() -> int:
    lines = _lines()
    stop = threading.Event()
    say = _speaker()
    try:
        task = decode_task(next(lines, ""))
        threading.Thread(target=lambda: (next(lines, None), stop.set()), daemon=True).start()
        say(do(task, _thinned(say), stop.is_set))
    except keeping.AlreadyThereError as error:
        say(Taken(error.what))
    except Exception as error:  # whatever it is, it is told in words
        said = explain(error)
        say(Failed(said.what, said.why, said.mend, cancelled=said.cancelled))
    return 0


def _lines():
    """Lines of the input, read without a lock that a thread could hold while Python ends."""
    rest = b""
    while block := os.read(0, 1 << 16):
        rest += block
        while b"\n" in rest:
            line, rest = rest.split(b"\n", 1)
            yield line.decode("utf-8", errors="replace")


def _speaker():
    def say(event: Event) -> None:
        sys.stdout.write(encode(event) + "\n")
        sys.stdout.flush()

    return say


def _thinned(say):
    """A `Report` that says a stage's beginning and end, and little between."""
    last = ["", 0.0]

    def report(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != last[0] or done == total or now - last[1] >= PAUSE_SECONDS:
            last[:] = [stage, now]
            say(Moving(stage, done, total))

    return report


if __name__ == "__main__":
    sys.exit(main())
