"""One case of a queue from its input to its place in the output folder; it ends with an entry, whatever happens."""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from EfficientSegLib import job
from EfficientSegLib.errors import EfficientSegError
from EfficientSegLib.failures import explain
from EfficientSegLib.files import replacing
from EfficientSegLib.kept import ModelKeeper
from EfficientSegLib.protocol import Request
from EfficientSegLib.reporter import Emit
from EfficientSegLib.studies.case import Case, Entry, waiting
from EfficientSegLib.studies.place import LABEL_MAP, SEGMENTATION, TOKENS, Place

SCRATCH = ".efficientseg-scratch"  # in the output folder: results are moved into place on one disk


@dataclass(frozen=True)
class Task:
    """All that is needed to do one case, here or on another machine."""

    case: Case
    request: Request  # without input and output_dir
    output: str  # the queue's output folder
    ending: str
    asked: dict[str, Any]
    scratch: str  # a folder that is this task's own, inside the output folder

    @property
    def place(self) -> Place:
        return Place(Path(self.output), self.case, self.ending, self.request.tokens)


def do(
    task: Task, emit: Emit, models: ModelKeeper, should_stop: Callable[[], bool] = lambda: False, machine: str = ""
) -> Entry:
    """Segment a case and put its result in its place.

    Returns:
        Its entry: done, stopped (as far as it came), waiting (stopped before there was anything), or failed in words.
    """
    began = time.perf_counter()
    entry = replace(waiting(task.case), machine=machine)
    scratch = Path(task.scratch)
    try:
        task.place.check_free()
        _make(scratch)
        request = replace(
            task.request,
            input=task.case.input,
            files=task.case.files,
            output_dir=str(scratch),
            save_segmentation=task.ending == SEGMENTATION,
        )
        outcome = job.run(request, emit, models, should_stop)
        made, record = _result(outcome, task), Path(outcome.finished.record)
        return task.place.hand_over(made, record, task.asked, machine, _token_map(outcome, task))
    except Exception as error:  # one case's failure, of whatever kind, must not end the others
        if not isinstance(error, EfficientSegError):
            logging.getLogger(__name__).debug("Case %s failed.", task.case.name, exc_info=True)
        return replace(entry.failed(explain(error)), seconds=round(time.perf_counter() - began, 3))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _make(folder: Path) -> None:
    """A folder of our own: `replacing` knows the words where it cannot be made."""
    with replacing(folder / "made") as part:
        part.write_bytes(b"")


def _result(outcome: job.Outcome, task: Task) -> Path:
    if task.ending != LABEL_MAP:
        return Path(outcome.finished.segmentation)
    from EfficientSegLib.volume import Volume, write

    volume, path = outcome.volume, Path(task.scratch) / f"labels{LABEL_MAP}"
    write(Volume(outcome.segmentation.labels[None], volume.spacing_mm, volume.origin_mm, volume.direction), path)
    return path


def _token_map(outcome: job.Outcome, task: Task) -> Path | None:
    """The map of dropped tokens as a file, where one was asked for and the network drops some."""
    tokens = outcome.segmentation.tokens
    if tokens is None:
        return None
    path = Path(task.scratch) / f"map{TOKENS[task.ending]}"
    tokens.write(outcome.volume, path)
    return path
