"""From one finished segmentation to the rows of the results."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from EfficientSegLib.evaluation.cases import EvaluationCase
from EfficientSegLib.evaluation.metrics import LabelScore, refuse_unknown, score, score_masks
from EfficientSegLib.evaluation.references import Regions
from EfficientSegLib.evaluation.results import Row
from EfficientSegLib.failures import explain
from EfficientSegLib.volume import Volume


def score_labels(
    measured: Row, labels: np.ndarray, reference: Volume, names: Mapping[int, str], known: set[int]
) -> list[Row]:
    """A row for each label.

    Args:
        measured: what is known of the run so far.
        labels: the prediction, (I, J, K), on the grid of `reference`.
        names: of the labels to be scored, by value.
        known: the values that may occur.

    Raises:
        VolumeError: the maps cannot be compared.
    """
    scores = score(
        labels, reference.array[0], reference.spacing_mm, names, known=known, tolerance_mm=measured.tolerance_mm
    )
    return _rows(measured, scores, names)


def score_regions(
    measured: Row,
    mask: Callable[[int], np.ndarray],
    reference: Regions,
    names: Mapping[int, str],
    known: set[int],
) -> list[Row]:
    """A row for each label, where labels may overlap: each is compared by itself.

    Args:
        measured: what is known of the run so far.
        mask: where the prediction has a label, (I, J, K), bool, on the grid of `reference`.
        names: of the labels to be scored, by value.
        known: the values that may occur.

    Raises:
        VolumeError: they cannot be compared.
    """
    refuse_unknown(reference.values, known, "The reference")
    spacing = reference.volume.spacing_mm
    scores = {value: score_masks(mask(value), reference.mask(value), spacing, measured.tolerance_mm) for value in names}
    return _rows(measured, scores, names)


def _rows(measured: Row, scores: Mapping[int, LabelScore], names: Mapping[int, str]) -> list[Row]:
    return [
        replace(
            measured,
            value=value,
            label=names[value],
            **{name: None if number is None else round(number, 6) for name, number in asdict(found).items()},
        )
        for value, found in scores.items()
    ]


def failed_row(identity: Row, error: Exception) -> Row:
    """The row of a run that came to nothing."""
    said = explain(error)
    return replace(identity, error=f"{said.what} {said.why} {said.mend}")


def source_checksum(case: EvaluationCase, prediction: Path | None = None) -> str:
    """Of the names, sizes and dates of a case's files, and of how its labels are read."""
    files = []
    for path in (case.image, case.label, prediction):
        try:
            found = path.stat() if path else None
        except OSError:
            found = None  # it will fail with words when it is read
        files.append([str(path and path.resolve()), found and found.st_size, found and found.st_mtime_ns])
    return checksum([files, sorted(case.map.items()), case.annotated, case.unscored])


def checksum(content: Any) -> str:
    """A short SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=list).encode()).hexdigest()[:16]
