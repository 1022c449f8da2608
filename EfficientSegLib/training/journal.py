"""What a training tells while it runs: tables in CSV files, TensorBoard where it is asked for, and a progress bar."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.files import replacing
from EfficientSegLib.training.schedule import Course

STEPS = "log.csv"  # a row per iteration
VALIDATIONS = "validation.csv"  # a row per validation; only where validations are asked for
EVENTS = "tensorboard"  # folder of event files


class Sink(Protocol):
    """Takes the values of one iteration or validation."""

    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Table:
    """A CSV file with a row per write, that goes on where a training goes on. A `Sink`."""

    def __init__(self, path: Path, first_step: int) -> None:
        """Rows of `first_step` and later stem from an interrupted run and will be made again: they are dropped."""
        self._path = path
        self._columns: list[str] = []
        rows = []
        if path.is_file() and first_step > 0:
            with open(path, newline="", encoding="utf-8") as file:
                # A row that a kill cut off has no number or too few columns; only the last can be one.
                rows = [
                    row for row in csv.DictReader(file) if (row["step"] or "").isdigit() and None not in row.values()
                ]
            rows = [row for row in rows if int(row["step"]) < first_step]
        self._file: io.TextIOBase | None = None
        self._rewrite(rows, list(rows[0]) if rows else [])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        new = [name for name in ("step", *values) if name not in self._columns]
        if new:
            self.close()
            with open(self._path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            self._rewrite(rows, [*self._columns, *new])
        self._writer.writerow({"step": step, **values})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rewrite(self, rows: list[dict[str, Any]], columns: list[str]) -> None:
        """Replace the file by one with these columns, and go on writing at its end."""
        self._columns = columns
        with replacing(self._path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            if columns:
                writer.writeheader()
            writer.writerows(rows)
        # Line by line, so that a table can be watched and a kill loses nothing.
        self._file = open(self._path, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._writer = csv.DictWriter(self._file, columns, restval="")


class Events:
    """TensorBoard's event files. A `Sink`."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Opens a new event file; what an interrupted run wrote of later steps is hidden by TensorBoard.

        Raises:
            TrainingError: the package is missing.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                "TensorBoard was asked for, and its package is missing.",
                why=f"{error}.",
                mend="Install it: pip install tensorboard. Or leave the option out: log.csv holds the same numbers.",
            ) from error
        self._writer = SummaryWriter(str(folder / EVENTS), purge_step=first_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class Bar:
    """A progress bar on standard error: iterations, or seconds where the time decides. A `Sink`."""

    def __init__(self, course: Course) -> None:
        minutes = course.config.minutes
        self._by_time = minutes is not None
        total = round(60 * minutes) if minutes is not None else course.config.iterations
        # No refresh more often than once a second: each costs more than it is worth where steps take milliseconds.
        self._bar = tqdm(
            total=total,
            initial=min(int(course.seconds), total) if self._by_time else course.step,
            unit="s" if self._by_time else "step",
            mininterval=1.0,
        )

    def follow(self, course: Course, values: Mapping[str, float]) -> None:
        """Show how far the training is."""
        shown = {name: f"{value:.3g}" for name, value in values.items() if name not in ("progress", "minutes")}
        self._bar.set_postfix({"step": course.step, **shown} if self._by_time else shown, refresh=False)
        self._bar.update((min(int(course.seconds), self._bar.total) if self._by_time else course.step) - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class Journal:
    """All of it together, in the first process; silent in the others."""

    def __init__(self, folder: Path, course: Course, tensorboard: bool = False, silent: bool = False) -> None:
        """Open the files of a training that goes on at `course`; the folder is made where it is not there.

        Raises:
            TrainingError: TensorBoard is wanted and missing.
            VolumeError: a table cannot be written.
        """
        self._steps: list[Sink] = []
        self._validations: list[Sink] = []
        self._bar: Bar | None = None
        if silent:
            return
        if tensorboard:
            self._steps.append(Events(folder, course.step))
            self._validations.append(self._steps[0])
        self._steps.append(Table(folder / STEPS, course.step))
        if course.config.validation_every is not None:
            self._validations.append(Table(folder / VALIDATIONS, course.step + 1 if course.step else 0))
        self._bar = Bar(course)

    def step(
        self, before: Course, after: Course, terms: Mapping[str, float], learning_rate: float | None = None
    ) -> None:
        """Write down one iteration.

        Args:
            before, after: the course around it; the progress is the one it was done with.
            learning_rate: it was done with; None: the course's.
        """
        values = {
            **terms,
            "learning_rate": before.learning_rate if learning_rate is None else learning_rate,
            "samples_per_s": before.config.processes / max(after.seconds - before.seconds, 1e-9),
            "progress": before.progress,
            "minutes": after.seconds / 60,
        }
        values = {name: float(f"{value:.6g}") for name, value in values.items()}
        for sink in self._steps:
            sink.write(before.step, values)
        if self._bar is not None:
            self._bar.follow(after, values)

    def validation(self, course: Course, values: Mapping[str, float]) -> None:
        """Write down a validation made after `course.step` iterations."""
        for sink in self._validations:
            sink.write(course.step, {f"validation/{name}": value for name, value in values.items()})

    def close(self) -> None:
        for sink in {id(sink): sink for sink in (*self._steps, *self._validations)}.values():
            sink.close()
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
