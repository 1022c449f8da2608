"""The table of an evaluation, one row for each run and label, kept in a CSV file while it grows."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from EfficientSegLib.errors import OptionError
from EfficientSegLib.files import replacing

KEY = ("method", "seed", "strategy", "options", "bundle_sha", "case", "source", "device", "threads", "tolerance_mm")


@dataclass(frozen=True)
class Row:
    """One label of one run; of a run that failed there is one row with an `error` and without a label."""

    method: str  # one line of the summary, together with the number of patches
    seed: str  # tells apart bundles that are one method
    bundle: str
    bundle_sha: str  # of all that decides its labels; "" for label files
    strategy: str  # "" for label files
    options: str  # of the strategy, all of them, JSON
    case: str
    split: str
    source: str  # checksum of the names, sizes and dates of the case's files, and of how its labels are read
    device: str
    threads: int
    tolerance_mm: float
    value: int | None = None
    label: str = ""
    dice: float | None = None
    nsd: float | None = None
    hd95_mm: float | None = None
    prediction_ml: float | None = None
    reference_ml: float | None = None
    patches_read: int | None = None
    candidates: int | None = None
    seconds: float | None = None
    seconds_by_stage: str = ""  # JSON
    peak_memory_mb: float | None = None  # of the whole process
    gpu_memory_mb: float | None = None
    gmacs: float | None = None  # 10^9 multiply-adds that were really done
    paper_gmacs: float | None = None  # as the NMSW paper counts them
    error: str = ""

    @property
    def key(self) -> tuple:
        """What a run is known by: two rows of one key and label say the same."""
        return tuple(getattr(self, name) for name in KEY)

    @property
    def top_k(self) -> int | str | None:
        """How many patches were asked for: a number, "all", or None where the strategy has no such option."""
        options = json.loads(self.options or "{}")
        if "top_k" not in options:
            return None
        return "all" if options["top_k"] is None else options["top_k"]

    @property
    def run(self) -> str:
        """The run in words."""
        seed = f", seed {self.seed}" if self.seed else ""
        patches = "" if self.top_k is None else f", K = {self.top_k}"
        return f"{self.method}{seed}{patches}, {self.case}"


NAMES = tuple(field.name for field in fields(Row))
_WHOLE = {"threads", "value", "patches_read", "candidates"}
_REAL = {field.name for field in fields(Row) if "float" in str(field.type)}


class Results:
    """The rows of a CSV file, old and new. New ones are on the disk when `add` returns."""

    def __init__(self, path: str | os.PathLike) -> None:
        """Take up what an earlier evaluation left; rows of failed or half-written runs are dropped, to be run again.

        Raises:
            OptionError: the file is no such table.
            VolumeError: it cannot be written.
        """
        self.path = Path(path)
        old = read_rows(self.path) if self.path.exists() else []
        self.rows = [row for row in old if not row.error]
        self._write_all()
        self._finished: dict[tuple, dict[int | None, Row]] = {}
        for row in self.rows:
            self._finished.setdefault(row.key, {})[row.value] = row

    def has(self, key: tuple, values: Iterable[int]) -> bool:
        """Whether a run is there with all these labels."""
        return set(self._finished.get(key, ())) >= set(values)

    def of(self, key: tuple, values: Iterable[int]) -> list[Row]:
        """The rows of a finished run, label by label."""
        return [self._finished[key][value] for value in values]

    def add(self, rows: Sequence[Row]) -> None:
        """Append the rows of one run.

        Raises:
            OSError: they cannot be written.
        """
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(_lines([asdict(row) for row in rows]))
            file.flush()
            os.fsync(file.fileno())
        self.rows.extend(rows)
        for row in rows:
            if not row.error:
                self._finished.setdefault(row.key, {})[row.value] = row

    def _write_all(self) -> None:
        with replacing(self.path) as part:
            text = _lines([dict(zip(NAMES, NAMES)), *(asdict(row) for row in self.rows)])
            part.write_text(text, encoding="utf-8", newline="")


def read_rows(path: str | os.PathLike) -> list[Row]:
    """The rows of a table; a last line that was cut off is left out, and of repeated rows the last one stays.

    Raises:
        OptionError: the file is missing, or no such table.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:  # newline="": the csv module wants to see line ends
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} cannot be read.", why=f"{error}.", mend="Check the path.") from error
    whole = text[: text.rfind("\n") + 1]
    lines = list(csv.reader(io.StringIO(whole, newline="")))
    if not lines:
        return []
    if tuple(lines[0]) != NAMES:
        raise OptionError(
            f"{path.name} is no table of results that this version writes.",
            why=f"Its columns are {', '.join(lines[0][:4])} … instead of {', '.join(NAMES[:4])} ….",
            mend="Choose another output folder, or remove the file.",
        )
    rows = [_row(dict(zip(NAMES, line)), path) for line in lines[1:] if len(line) == len(NAMES)]
    return list({(row.key, row.value, bool(row.error)): row for row in rows}.values())


def _row(texts: dict[str, str], path: Path) -> Row:
    try:
        return Row(**{name: _parsed(name, text) for name, text in texts.items()})
    except ValueError as error:
        raise OptionError(
            f"{path.name} holds what is no number.", why=f"{error}.", mend="Remove the line, or the file."
        ) from error


def _parsed(name: str, text: str) -> Any:
    if name in _WHOLE:
        return int(text) if text else None
    if name in _REAL:
        return float(text) if text else None
    return text


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow("" if row[name] is None else row[name] for name in NAMES)
    return text.getvalue()
