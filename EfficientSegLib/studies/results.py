"""The results of a queue as a table: CSV for programs, Markdown for people."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from EfficientSegLib.files import replacing
from EfficientSegLib.studies.case import STATES, Entry

CSV, MARKDOWN = "results.csv", "results.md"


def header(structures: Sequence[str]) -> list[str]:
    """The names of the columns."""
    return ["case", "state", "seconds", *(f"{name} (ml)" for name in structures), "warnings", "error", "machine"]


def row(entry: Entry, structures: Sequence[str]) -> list[str]:
    """The cells of one entry; a volume that is not known is empty, one of 0 was looked for and not found."""
    volumes = [entry.volumes_ml.get(name) for name in structures]
    return [
        entry.case,
        entry.state,
        "" if entry.seconds is None else f"{entry.seconds:.1f}",
        *("" if volume is None else f"{volume:.1f}" for volume in volumes),
        " ".join(entry.warnings),
        entry.error,
        entry.machine,
    ]


def structures(entries: Sequence[Entry]) -> list[str]:
    """All structures that any entry has a volume of, in the order in which they come."""
    return list(dict.fromkeys(name for entry in entries for name in entry.volumes_ml))


def csv_text(entries: Sequence[Entry]) -> str:
    """The table with commas."""
    names = structures(entries)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header(names), *(row(entry, names) for entry in entries)])
    return text.getvalue()


def markdown_text(entries: Sequence[Entry], title: str) -> str:
    """The same to be read: how many of each state, then a row per case."""
    names = structures(entries)
    lines = [f"# {title}", "", f"{summary(entries)} Research only, not for patient care.", ""]
    lines += [_markdown_row(header(names)), "|" + " --- |" * len(header(names))]
    lines += [_markdown_row(row(entry, names)) for entry in entries]
    return "\n".join(lines) + "\n"


def summary(entries: Sequence[Entry]) -> str:
    """How many cases are in which state: "3 cases: 2 done, 1 failed."."""
    counts = Counter(entry.state for entry in entries)
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    cases = "1 case" if len(entries) == 1 else f"{len(entries)} cases"
    return f"{cases}: {', '.join(parts)}." if parts else "No cases."


def write(entries: Sequence[Entry], folder: Path, title: str) -> tuple[Path, Path]:
    """Write both tables; older ones are replaced in one step.

    Raises:
        VolumeError: they cannot be written.
    """
    for name, text in ((CSV, csv_text(entries)), (MARKDOWN, markdown_text(entries, title))):
        with replacing(folder / name) as part:
            part.write_text(text, encoding="utf-8", newline="")
    return folder / CSV, folder / MARKDOWN


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
