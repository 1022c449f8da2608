"""From a data set to a complete training: sizes, values and labels are measured, the rest is NMSW's or SegMate's.

Everything in the result can be edited. The same data set and choices give the same plan.
"""

import colorsys
import logging
import os
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.options import read_options
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.dataset import UNKNOWN, Dataset, read_dataset
from EfficientSegLib.training.plan_basis import FOLDS, ORIENTATION, ZSCORE, Choices, Measured, Sizes, check_fold
from EfficientSegLib.training.plan_patches import check_patch, parts_for_patches
from EfficientSegLib.training.plan_slices import NETWORKS, parts_for_slices
from EfficientSegLib.training.survey import Seen, look, median

__all__ = ["Choices", "plan"]

log = logging.getLogger(__name__)


def plan(folder: str | os.PathLike, choices: Choices | None = None) -> dict[str, Any]:
    """Measure a data set and plan its training; the JSON object of a `TrainConfig`.

    Raises:
        TrainingError: the data set cannot be used; see `read_dataset`.
        VolumeError: a case cannot be read.
        OptionError: a choice does not fit.
    """
    folder, choices = Path(folder), choices or Choices()
    dataset = read_dataset(folder)
    parts = parts_for_slices if choices.network in NETWORKS else parts_for_patches
    if parts is parts_for_patches:
        check_patch(choices)  # this and the next may be refused: first, as looking at the cases takes long
    training, validation = _split(dataset.cases, choices)
    seen = [look(case, folder, ORIENTATION, ZSCORE) for case in dataset.cases]
    modality = choices.modality or dataset.modality or _guessed(seen)
    names = dataset.labels or {value: f"Label {value}" for value in sorted({v for s in seen for v in s.labels})}
    if not names:
        raise TrainingError(f"{folder} shows no label.", why="All label files are empty.", mend="Check them.")
    spacing = choices.spacing_mm or tuple(float(f"{value:.4g}") for value in median([s.spacing_mm for s in seen]))
    shapes = [tuple(max(round(n * a / b), 1) for n, a, b in zip(s.shape, s.spacing_mm, spacing)) for s in seen]
    sizes = Sizes(tuple(round(value) for value in median(shapes)), tuple(max(axis) for axis in zip(*shapes)))
    given = {
        "bundle": {**_about(dataset, modality, choices), "labels": _labels(names)},
        "cases": [_plain(case) for case in training],
        "validation": [_plain(case) for case in validation],
        "mirrored": _sides(names),
        "iterations": choices.iterations if choices.iterations or choices.minutes else 20_000,
        "minutes": choices.minutes,
        "seed": choices.seed,
    }
    bundle, others = parts(choices, Measured(sizes, spacing, modality, seen), given)
    given = {"bundle": {**given.pop("bundle"), **bundle}, **others, **given}
    config = read_options(TrainConfig, given)
    config.template  # noqa: B018  (refuses a bundle that cannot be)
    return given


def _guessed(seen: list[Seen]) -> Literal["CT", "MR"]:
    modality = "CT" if np.median([s.lowest for s in seen]) < -500 else "MR"
    log.info("The data set does not tell its modality; its values look like %s.", modality)
    return modality


def _split(cases: tuple[Case, ...], choices: Choices) -> tuple[list[Case], list[Case]]:
    """Training and validation cases; each case is in the validation of one fold."""
    folds = _folds(len(cases), choices)
    if folds == 1:
        return list(cases), []
    order = np.random.default_rng(choices.seed).permutation(len(cases))
    left_out = set(order[choices.fold :: folds].tolist())
    return (
        [case for number, case in enumerate(cases) if number not in left_out],
        [case for number, case in enumerate(cases) if number in left_out],
    )


def _folds(cases: int, choices: Choices) -> int:
    """As many as were asked for; without a word as many as usual, or as the cases allow, and that is told."""
    if choices.folds is None:
        folds = min(FOLDS, cases)
        if folds < FOLDS:
            left = "each leaves one out for validation" if folds > 1 else "it is trained on, and none validates"
            log.warning("%d case%s: --folds is %d, not %d; %s.", cases, "s" * (cases > 1), folds, FOLDS, left)
        check_fold(choices.fold, folds)
        return folds
    if choices.folds > cases:
        raise OptionError(
            f"There are {choices.folds} folds and {cases} cases.",
            why="Each fold needs a case.",
            mend=f"Use --folds {cases} or fewer; --folds 1 trains on all cases and validates on none.",
        )
    return choices.folds


def _about(dataset: Dataset, modality: str, choices: Choices) -> dict[str, Any]:
    slug = re.sub(r"[^a-z0-9]+", "-", f"{dataset.name}-{choices.network}".lower()).strip("-")
    reference = f" Source of the data: {dataset.reference}." if dataset.reference else ""
    return {
        "name": slug,
        "version": "0.1.0",
        "title": f"{dataset.name} ({choices.network})",
        "description": f"Trained on {dataset.name}. Not validated: fill in how it was measured.{reference}",
        "modality": modality,
        "channels": [dataset.channel or modality],
        "licence": {"weights": UNKNOWN, "data": dataset.licence, "use": "Research only. Not for patients."},
    }


def _labels(names: dict[int, str]) -> list[dict[str, Any]]:
    """Colours go round the circle of hues by the golden angle, so that neighbours differ and none is met twice."""
    labels = []
    for number, (value, name) in enumerate(names.items()):
        hue, level = number * 0.618034 % 1, (0.95, 0.75, 0.85)[number % 3]
        color = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.55 + 0.15 * (number % 2), level)]
        labels.append({"value": value, "name": name or f"Label {value}", "color": color})
    return labels


def _sides(names: dict[int, str]) -> list[list[int]]:
    """Pairs of labels whose names differ by left and right."""
    values = {name.lower(): value for value, name in names.items()}
    pairs = []
    for name, value in values.items():
        other = values.get(re.sub("left", "right", name))
        if "left" in name and other is not None:
            pairs.append([value, other])
    return pairs


def _plain(case: Case) -> dict[str, Any]:
    """The case without what is as always."""
    content = {"image": case.image, "label": case.label}
    return {**content, "map": case.map} if case.map else content
