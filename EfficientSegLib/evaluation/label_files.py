"""Label files that another tool left, scored on the same terms as our own runs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from EfficientSegLib.errors import OptionError
from EfficientSegLib.evaluation.cases import EvaluationCase, files_by_name
from EfficientSegLib.evaluation.metrics import TOLERANCE_MM
from EfficientSegLib.evaluation.references import check_same_grid, read_reference
from EfficientSegLib.evaluation.results import Results, Row
from EfficientSegLib.evaluation.scoring import failed_row, score_labels, source_checksum
from EfficientSegLib.volume import read

log = logging.getLogger(__name__)

Tell = Callable[[int, int, str], None]  # runs done, runs in all, what comes next


@dataclass(frozen=True)
class LabelFiles:
    """What another tool left: label files named like the cases."""

    name: str
    folder: Path
    labels: Mapping[int, str]  # names by value, as in the files
    seed: str = ""


def compare_files(
    files: Sequence[LabelFiles],
    cases: Sequence[EvaluationCase],
    results: Results,
    *,
    tolerance_mm: float = TOLERANCE_MM,
    tell: Tell = lambda done, total, words: None,
) -> list[Row]:
    """Score label files on the same terms; a case without a file is a failed one.

    Returns:
        The rows of these files and cases, old and new, in that order; see `Row.error` for what failed.

    Raises:
        OptionError: a folder is missing.
        OSError: the results cannot be written.
    """
    total, done, rows = len(files) * len(cases), 0, []
    for method in files:
        found = files_by_name(method.folder)
        for case in cases:
            tell(done, total, f"{method.name}, {case.name}")
            path = found.get(case.name)
            identity = _files_identity(method, case, path, tolerance_mm)
            labels = {value: name for value, name in method.labels.items() if case.scores(value)}
            if results.has(identity.key, labels):
                rows += results.of(identity.key, labels)
            else:
                new = _score_file(identity, method, case, path, labels)
                results.add(new)
                rows += new
            done += 1
    tell(done, total, "")
    return rows


def _score_file(
    identity: Row, method: LabelFiles, case: EvaluationCase, path: Path | None, labels: Mapping[int, str]
) -> list[Row]:
    try:
        if path is None:
            raise OptionError(
                f"{method.folder} has no file for case {case.name!r}.",
                why="A method that leaves a case out cannot be compared.",
                mend=f"Add {case.name}.nii.gz, or leave the case out for all methods.",
            )
        prediction, reference = read(path), read_reference(case)
        mend = "Bring the prediction back to the grid of the label."
        check_same_grid(prediction, reference, f"Prediction and label of case {case.name!r}", mend)
        return score_labels(identity, prediction.array[0], reference, labels, set(method.labels))
    except Exception as error:  # whatever it is, the other files are worth comparing
        log.debug("%s, %s", method.name, case.name, exc_info=True)
        return [failed_row(identity, error)]


def _files_identity(method: LabelFiles, case: EvaluationCase, path: Path | None, tolerance_mm: float) -> Row:
    return Row(
        method=method.name,
        seed=method.seed,
        bundle="",
        bundle_sha="",
        strategy="",
        options="",
        case=case.name,
        split=case.split,
        source=source_checksum(case, path),
        device="",
        threads=0,
        tolerance_mm=float(tolerance_mm),
    )
