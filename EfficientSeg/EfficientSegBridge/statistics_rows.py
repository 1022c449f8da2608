"""Statistics as rows of words and numbers, and as CSV."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from EfficientSegBridge.findings import Findings
from EfficientSegBridge.segment_statistics import Measure
from EfficientSegBridge.translation import _
from EfficientSegLib.files import replacing

UNITS = {"CT": "HU"}  # of grey values, by the model's modality; no other has one


@dataclass(frozen=True)
class Row:
    """One segment. What is not known is None."""

    segmentId: str
    name: str
    ml: float
    mean: float | None = None
    deviation: float | None = None
    refined: float | None = None  # share of its surface that was read at full detail, 0 to 1; None: not one of ours

    @property
    def detail(self) -> str:
        """How closely it was looked at, in words; empty for a segment that is none of ours."""
        if self.refined is None:
            return ""
        if self.refined <= 0:
            return _("coarse only")
        # 100 % is said only where all of it was read: rounding must not hide a rest.
        return _("{percent} % refined").format(percent=min(round(100 * self.refined), 99 if self.refined < 1 else 100))


def row(segmentId: str, name: str, measure: Measure, voxelMl: float, refined: float | None) -> Row:
    """A measured segment; `voxelMl` is the volume of one voxel."""
    known = measure.voxels > 0
    return Row(
        segmentId,
        name,
        measure.voxels * voxelMl,
        measure.mean if known else None,
        measure.deviation if known else None,
        refined,
    )


def refinedShare(findings: Findings, value: int | None) -> float | None:
    """The share of a label's surface that was read; None where it is none of ours or nobody has told."""
    if value is None:
        return None
    if findings.coarseOnly:
        return 0.0
    refinement = findings.refinement(value)
    return refinement.surface_refined if refinement else None


def unit(modality: str) -> str:
    """The unit of grey values; empty where they have none."""
    return UNITS.get(modality, "")


def titles(modality: str) -> tuple[str, ...]:
    """The columns, with their units."""
    of = f" ({unit(modality)})" if unit(modality) else ""
    return (
        _("Structure"),
        _("Volume (ml)"),
        _("Mean intensity") + of,
        _("Standard deviation") + of,
        _("Surface refined (%)"),
        _("Detail"),
    )


def cells(row: Row) -> tuple[str | float | None, ...]:
    """A row in the order of `titles`, rounded to what is worth saying."""
    return (
        row.name,
        round(row.ml, 3),
        _rounded(row.mean),
        _rounded(row.deviation),
        None if row.refined is None else round(100 * row.refined, 1),
        row.detail,
    )


def csvText(rows: Sequence[Row], modality: str, about: Mapping[str, str]) -> str:
    """CSV with a header; `about` becomes columns at the end, the same in each row, so that files can be joined."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([*titles(modality), *about])
    for row in rows:
        writer.writerow(["" if cell is None else cell for cell in cells(row)] + list(about.values()))
    return file.getvalue()


def writeCsv(text: str, path: str) -> None:
    """UTF-8 with its mark at the beginning, without which Excel spoils names such as "Ösophagus".

    Raises:
        VolumeError: the file cannot be written.
    """
    with replacing(path) as part:
        part.write_bytes(text.encode("utf-8-sig"))


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 1)
