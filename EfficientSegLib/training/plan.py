"""From a data set to a complete training: sizes, values and labels are measured, the rest is NMSW's.

Everything in the result can be edited. The same data set and choices give the same plan.
"""

import colorsys
import dataclasses
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from EfficientSegLib import networks
from EfficientSegLib.bundle import Intensity
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.geometry import Index
from EfficientSegLib.options import read_options
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.dataset import UNKNOWN, Dataset, read_dataset
from EfficientSegLib.training.survey import Seen, look, median

log = logging.getLogger(__name__)
ORIENTATION = "RAS"
CT_WINDOW = (-250.0, 500.0)  # the paper's
ZSCORE = Intensity("zscore", 1.0, 99.0)
LONGEST_PATCH = 128  # voxels, the paper's
LONGEST_SAMPLE = 480  # voxels, the paper's
# Beyond the paper, and better than it on our data (Testing/benchmarks/results): scores that are told where the coarse
# pass is wrong, and an order that discounts what is covered already.
TEACHING, USUAL_PATCHES = 0.1, 20
WIDTHS = (32, 64, 128, 256, 320)  # channels of the paper's U-Net, level by level
DEEPEST = 3  # voxels per axis that the deepest level of a U-Net keeps, at least
COARSEST = 24  # voxels per axis that NMSW's overview keeps, at least


@dataclass(frozen=True)
class Choices:
    """What is decided by a person; None is measured."""

    network: str = "nmsw"
    local: str = "unet"  # backbone of nmsw
    modality: Literal["CT", "MR"] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    patch_size: Index | None = None
    downsampling: Index | None = None
    largest: Index | None = None
    iterations: int | None = None  # None: 20 000, or as many as `minutes` allow
    minutes: float | None = None
    fold: int = 0  # of `folds`, the part that is not trained on
    folds: int = 5  # 1: all cases are trained on
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 1 or not 0 <= self.fold < self.folds:
            raise OptionError(
                f"fold is {self.fold} of {self.folds}.", why="Folds count from 0.", mend="Use 0 to folds - 1."
            )
        for name in ("spacing_mm", "patch_size", "downsampling", "largest"):
            value = getattr(self, name)
            if value is not None and (len(value) != 3 or min(value) <= 0):
                raise OptionError(f"{name} is {value}.", why="It has three numbers above 0.", mend="Correct it.")


def plan(folder: str | os.PathLike, choices: Choices | None = None) -> dict[str, Any]:
    """Measure a data set and plan its training; the JSON object of a `TrainConfig`.

    Raises:
        TrainingError: the data set cannot be used; see `read_dataset`.
        VolumeError: a case cannot be read.
        OptionError: a choice does not fit.
    """
    folder, choices = Path(folder), choices or Choices()
    dataset = read_dataset(folder)
    seen = [look(case, folder, ORIENTATION, ZSCORE) for case in dataset.cases]
    modality = choices.modality or dataset.modality or _guessed(seen)
    names = dataset.labels or {value: f"Label {value}" for value in sorted({v for s in seen for v in s.labels})}
    if not names:
        raise TrainingError(f"{folder} shows no label.", why="All label files are empty.", mend="Check them.")
    spacing = choices.spacing_mm or tuple(float(f"{value:.4g}") for value in median([s.spacing_mm for s in seen]))
    shapes = [tuple(max(round(n * a / b), 1) for n, a, b in zip(s.shape, s.spacing_mm, spacing)) for s in seen]
    sizes = _Sizes(tuple(round(value) for value in median(shapes)), tuple(max(axis) for axis in zip(*shapes)))
    pad_value = 0.0 if modality == "CT" else round(float(np.median([s.lowest_normal for s in seen])), 2)
    training, validation = _split(dataset.cases, choices)
    network, patch, multiple = _network(choices, sizes, len(names) + 1)
    given = {
        "bundle": {
            **_about(dataset, modality, choices),
            "labels": _labels(names),
            "preprocess": {
                "orientation": ORIENTATION,
                "spacing_mm": spacing,
                "intensity": dataclasses.asdict(_intensity(modality, seen)),
            },
            "network": network,
            "strategy": _strategy(choices, patch, pad_value),
        },
        "recipe": {"name": "nmsw", "options": {"teaching": TEACHING}}
        if choices.network == "nmsw"
        else {"name": "patch", "options": {"patch_size": patch}},
        "samples": {"name": "volume", "options": {}},
        "cases": [_plain(case) for case in training],
        "validation": [_plain(case) for case in validation],
        "mirrored": _sides(names),
        "largest": choices.largest or _largest(choices, sizes, patch, multiple),
        "iterations": choices.iterations if choices.iterations or choices.minutes else 20_000,
        "minutes": choices.minutes,
        "learning_rate": 3e-4,
        "warm_up": 0.1,
        "seed": choices.seed,
    }
    config = read_options(TrainConfig, given)
    config.template  # noqa: B018  (refuses a bundle that cannot be)
    return given


@dataclass(frozen=True)
class _Sizes:
    """Voxels of the cases at the plan's spacing."""

    median: Index
    largest: Index


def _guessed(seen: list[Seen]) -> Literal["CT", "MR"]:
    modality = "CT" if np.median([s.lowest for s in seen]) < -500 else "MR"
    log.info("The data set does not tell its modality; its values look like %s.", modality)
    return modality


def _intensity(modality: str, seen: list[Seen]) -> Intensity:
    """CT: the paper's window, widened where structures are darker or brighter. MR: each volume by its percentiles."""
    if modality == "MR":
        return ZSCORE
    low, high = np.percentile(np.concatenate([s.foreground for s in seen]), (0.5, 99.5))
    return Intensity(
        "window", float(min(CT_WINDOW[0], np.floor(low / 50) * 50)), float(max(CT_WINDOW[1], np.ceil(high / 50) * 50))
    )


def _split(cases: tuple[Case, ...], choices: Choices) -> tuple[list[Case], list[Case]]:
    """Training and validation cases; each case is in the validation of one fold."""
    if choices.folds == 1:
        return list(cases), []
    if choices.folds > len(cases):
        raise OptionError(
            f"There are {choices.folds} folds and {len(cases)} cases.",
            why="Each fold needs a case.",
            mend="Use fewer folds; 1 trains on all cases.",
        )
    order = np.random.default_rng(choices.seed).permutation(len(cases))
    left_out = set(order[choices.fold :: choices.folds].tolist())
    return (
        [case for number, case in enumerate(cases) if number not in left_out],
        [case for number, case in enumerate(cases) if number in left_out],
    )


def _network(choices: Choices, sizes: _Sizes, num_labels: int) -> tuple[dict[str, Any], Index, Index]:
    """The network, its patch, and what the axes of samples are multiples of."""
    is_nmsw = choices.network == "nmsw"
    backbone = choices.local if is_nmsw else choices.network
    # NMSW chooses among patches, so that a volume must hold several along each axis.
    wanted = choices.patch_size or tuple(min(n // 2 if is_nmsw else n, LONGEST_PATCH) for n in sizes.median)
    options = _unet(min(wanted)) if backbone == "unet" else {}
    multiple = _multiple(backbone, options, num_labels)
    patch = choices.patch_size or tuple(max(-(-n // m) * m, m) for n, m in zip(wanted, multiple))
    if any(n % m for n, m in zip(patch, multiple)):
        raise OptionError(f"The patch is {patch}.", why=f"{backbone} needs multiples of {multiple}.", mend="Round it.")
    if not is_nmsw:
        return {"name": backbone, "options": options}, patch, multiple
    factor = choices.downsampling or tuple(min(max(n // COARSEST, 1), 3) for n in sizes.median)
    nmsw = {
        "global_options": _unet(min(n // f for n, f in zip(sizes.median, factor))),
        "local_backbone": backbone,
        "local_options": options,
        "patch_size": patch,
        "downsampling": factor,
    }
    return {"name": "nmsw", "options": nmsw}, patch, _multiple("nmsw", nmsw, num_labels)


def _multiple(name: str, options: dict[str, Any], num_labels: int) -> Index:
    """What the network's axes are multiples of; it is built without its weights where it can be."""
    networks.check(name, options)
    try:
        with torch.device("meta"):
            return networks.build(name, options, 1, num_labels).size_multiple
    except (RuntimeError, NotImplementedError):  # some networks look at values while they are built
        return networks.build(name, options, 1, num_labels).size_multiple


def _unet(shortest: int) -> dict[str, Any]:
    """As deep as the paper's, or as deep as the shortest axis allows."""
    levels = 2
    while levels < len(WIDTHS) and 2 ** (levels + 1) * DEEPEST <= shortest:
        levels += 1
    widths = WIDTHS[:levels]
    return {"channels": [*widths, widths[-1]], "strides": [*[2] * levels, 1]}


def _largest(choices: Choices, sizes: _Sizes, patch: Index, multiple: Index) -> Index:
    """NMSW looks at whole volumes; of others a part with room for a few patches is enough, and cheaper."""
    wanted = sizes.largest if choices.network == "nmsw" else tuple(min(2 * p, n) for p, n in zip(patch, sizes.largest))
    return tuple(-(-max(min(n, LONGEST_SAMPLE), p) // m) * m for n, p, m in zip(wanted, patch, multiple))


def _strategy(choices: Choices, patch: Index, pad_value: float) -> dict[str, Any]:
    if choices.network == "nmsw":
        return {
            "name": "nmsw",
            "options": {"top_k": USUAL_PATCHES, "clip_top_k": True, "order": "coverage", "pad_value": pad_value},
        }
    return {"name": "sliding_window", "options": {"patch_size": patch, "pad_value": pad_value}}


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
