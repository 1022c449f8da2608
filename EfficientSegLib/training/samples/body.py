"""The trunk in CT: few cases, widened by drawings and contrast (training/body); what the demo's model learns from."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.geometry import Index
from EfficientSegLib.options import read_options
from EfficientSegLib.training.body.augment import STILL, Grid, Options, draw_sample
from EfficientSegLib.training.body.prepare import PreparedCase, prepare_case
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.label_maps import refuse_overlaps
from EfficientSegLib.training.members import label_sets, table
from EfficientSegLib.training.samples import Sample
from EfficientSegLib.training.samples.framing import mirror_pairs, sample_sizes

__all__ = ["BodySource", "Options", "open_source", "sample_grid"]


class BodySource:
    """A `samples.Source`."""

    def __init__(
        self, cases: Sequence[PreparedCase], options: Options, grid: Grid, members: Tensor | None = None
    ) -> None:
        self._cases, self._options, self._grid = cases, options, grid
        self._members = members  # of samples; None: labels exclude each other
        weights = np.array([prepared.case.weight for prepared in cases])
        self._shares = weights / weights.sum()

    def draw(self, generator: np.random.Generator) -> Sample:
        prepared = self._cases[int(generator.choice(len(self._cases), p=self._shares))]
        return self._with_members(draw_sample(prepared, self._options, self._grid, generator))

    def still(self, number: int) -> Sample:
        return self._with_members(draw_sample(self._cases[number], STILL, self._grid, np.random.default_rng(number)))

    def _with_members(self, sample: Sample) -> Sample:
        return sample if self._members is None else dataclasses.replace(sample, members=self._members)


def open_source(
    config: TrainConfig, cases: Sequence[Case], data_folder: Path, patch: Index, multiple: Index
) -> BodySource:
    """Read the cases.

    Args:
        patch: voxels that every sample has at least.
        multiple: voxels per axis of a sample are multiples of this.

    Raises:
        VolumeError: a case cannot be read.
        TrainingError: a case contradicts the bundle, or its rules cannot be trained for.
    """
    refuse_overlaps(
        cases,
        why="Samples 'body' have one label in each voxel.",
        mend="Use samples 'volume', or map each value to one label.",
    )
    grid = sample_grid(config, patch, multiple)
    rule = config.template.preprocess
    prepared = [
        prepare_case(case, rule, config.channels, data_folder, config.seed + number)
        for number, case in enumerate(cases)
    ]
    is_independent, labels = config.template.outputs == "independent", len(config.channels) + 1
    members = table(label_sets((), labels), labels) if is_independent else None
    return BodySource(prepared, read_options(Options, config.samples.options), grid, members)


def sample_grid(config: TrainConfig, patch: Index, multiple: Index) -> Grid:
    """What samples are drawn on: sizes that the model takes, values as the bundle normalises them.

    Args:
        patch: voxels that every sample has at least.
        multiple: voxels per axis are multiples of this.

    Raises:
        TrainingError: the bundle's orientation or intensity rule cannot be trained for, or no size fits.
    """
    rule = config.template.preprocess
    if rule.orientation != "RAS":
        raise TrainingError(
            f"orientation is {rule.orientation!r}.",
            why="Samples are mirrored, cut into slabs and drawn upon along axes to the right, front and top.",
            mend="Use RAS.",
        )
    if rule.intensity.kind != "window":
        raise TrainingError(
            f"intensity is {rule.intensity.kind!r}.",
            why="Samples are drawn in image units, which need a fixed window.",
            mend="Use kind 'window'.",
        )
    least, most = sample_sizes(config, patch, multiple)
    i = rule.intensity
    return Grid(rule.spacing_mm, multiple, least, most, i.low, i.high, i.to, mirror_pairs(config))
