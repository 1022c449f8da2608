"""Any data set, CT or MR: whole prepared volumes, or parts of large ones, changed as NMSW changes them.

What training and inference must agree on:

- Values: each case is prepared as a volume to be segmented is (`preprocess.prepare`), so window or percentiles are
  applied to the whole volume, before anything is cut or changed.
- Padding: beyond the image stands the `pad_value` of the bundle's strategy (default 0.0), which is what inference pads
  with: air for a window from 0, what `plan` measured for zscore. Changes of brightness leave it alone. Its target is
  background, not IGNORE: nothing is there, and a network that was not told so would propose patches in the padding.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib.errors import TrainingError, VolumeError
from EfficientSegLib.geometry import Index
from EfficientSegLib.options import read_options
from EfficientSegLib.preprocess import orient, prepare
from EfficientSegLib.resources import available_memory_mb
from EfficientSegLib.suitability import check_grid, check_intensities
from EfficientSegLib.training.cases import Case, annotated_channels, nearest, read_pair
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.label_maps import refuse_overlaps_of_exclusive
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.members import present_labels
from EfficientSegLib.training.samples import Along, Sample
from EfficientSegLib.training.samples.brightness import Brightness
from EfficientSegLib.training.samples.framing import mirror_pairs, sample_sizes
from EfficientSegLib.training.samples.targets import check_labels, look_up, points_of
from EfficientSegLib.training.samples.transforms import Options, cut, resample, shape_change
from EfficientSegLib.training.samples.turns import Axes, before_turn, draw_quarters, turned

__all__ = ["Options", "VolumeSource", "open_source"]


@dataclass(frozen=True)
class LoadedCase:
    """A case as the network meets it."""

    name: str
    image: Tensor  # (I, J, K), float32, network values
    target: Tensor  # (I, J, K), uint8, channels, or numbers of `members`; or IGNORE
    annotated: Tensor  # (L,), bool
    points: tuple[np.ndarray, ...]  # per label that is there, voxels (n, 3)
    members: Tensor | None  # (numbers, L), bool; None: labels exclude each other


@dataclass(frozen=True)
class Frame:
    """Sizes of samples, and what is beyond the image."""

    least: Index  # voxels per axis
    most: Index
    multiple: Index
    spacing_mm: tuple[float, float, float]
    pad_value: float
    axes: Axes
    pairs: Tensor  # (L,), channel of each channel's mirror image

    def size(self, shape: Index, limited: bool = True) -> Index:
        """Voxels of a sample of a case."""
        sizes = [max(-(-n // m) * m, low) for n, m, low in zip(shape, self.multiple, self.least)]
        return tuple(min(size, most) if limited else size for size, most in zip(sizes, self.most))


class VolumeSource:
    """A `samples.Source`."""

    def __init__(self, cases: Sequence[LoadedCase], weights: Sequence[float], options: Options, frame: Frame) -> None:
        self._cases, self._options, self._frame = cases, options, frame
        self._shares = np.asarray(weights, dtype=float) / sum(weights)
        self._brightness = Brightness(options)

    def __len__(self) -> int:
        return len(self._cases)

    def draw(self, generator: np.random.Generator) -> Sample:
        case = self._cases[int(generator.choice(len(self._cases), p=self._shares))]
        options, frame = self._options, self._frame
        quarters = draw_quarters(options, generator)
        size = before_turn(frame.size(tuple(case.image.shape)), quarters, frame.axes)
        start = self._start(case, size, generator)
        change = shape_change(options, size, frame.spacing_mm, generator)
        if change is None:
            image, target, inside = cut(case.image, case.target, start, size, frame.pad_value)
        else:
            centre = np.array([a + (s - 1) / 2 for a, s in zip(start, size)])
            image, target, inside = resample(case.image, case.target, centre, *change, frame.pad_value)
        image = self._brightness(image[None], generator)
        image = torch.where(inside, image, frame.pad_value)
        sample = Sample(image, target, case.annotated, case.name, _along(start, size, case), case.members)
        return turned(sample, options, frame.axes, frame.pairs, quarters, generator)

    def still(self, number: int) -> Sample:
        """The whole case, padded as inference pads it; `largest` does not cut it."""
        case, frame = self._cases[number], self._frame
        size = frame.size(tuple(case.image.shape), limited=False)
        start = tuple(-(max(low - n, 0) // 2) for low, n in zip(frame.least, case.image.shape))
        image, target, _ = cut(case.image, case.target, start, size, frame.pad_value)
        return Sample(image[None], target, case.annotated, case.name, _along(start, size, case), case.members)

    def _start(self, case: LoadedCase, size: Index, generator: np.random.Generator) -> Index:
        """First voxel of the sample in the case: anywhere or around a label where the case is longer, else centred."""
        shape = case.image.shape
        start = [-((s - n) // 2) if n <= s else int(generator.integers(n - s + 1)) for n, s in zip(shape, size)]
        if case.points and generator.random() < self._options.focus:
            points = case.points[int(generator.integers(len(case.points)))]
            point = points[int(generator.integers(len(points)))]
            start = [a if n <= s else int(p) - s // 2 for a, p, n, s in zip(start, point, shape, size)]
        if generator.random() < self._options.translation:
            share = self._options.translation_share
            start = [a + round(generator.uniform(-share, share) * s) for a, s in zip(start, size)]
        return tuple(a if n <= s else min(max(a, 0), n - s) for a, n, s in zip(start, shape, size))


def _along(start: Index, size: Index, case: LoadedCase) -> Along:
    first, length = start[2], case.image.shape[2]
    return Along(first, length, (max(-first, 0), min(size[2], length - first)))


def open_source(
    config: TrainConfig, cases: Sequence[Case], data_folder: Path, patch: Index, multiple: Index
) -> VolumeSource:
    """Read the cases.

    Args:
        patch: voxels that every sample has at least.
        multiple: voxels per axis of a sample are multiples of this.

    Raises:
        VolumeError: a case cannot be read, or inference would refuse it.
        TrainingError: there is no case; labels are missing, unknown, on another grid or nowhere; no size fits.
        OptionError: an option is wrong.
    """
    if not cases:
        raise TrainingError("There are no cases.", why="Samples are made of them.", mend="List at least one.")
    refuse_overlaps_of_exclusive(cases, config.template.outputs)
    options = read_options(Options, config.samples.options)
    frame = _frame(config, patch, multiple)
    memory = _Memory(available_memory_mb() * options.memory_share / config.processes)
    loaded = [_load(case, config, Path(data_folder), memory) for case in cases]
    there = set().union(*(present_labels(case.target, case.members).tolist() for case in loaded))
    check_labels(there, [case.annotated for case in loaded], config)
    return VolumeSource(loaded, [case.weight for case in cases], options, frame)


def _frame(config: TrainConfig, patch: Index, multiple: Index) -> Frame:
    if len(config.channels) >= IGNORE:
        raise TrainingError(
            f"The bundle has {len(config.channels)} labels.",
            why=f"Targets are kept in a byte, where {IGNORE} means ignored.",
            mend=f"Use {IGNORE - 1} at most.",
        )
    least, most = sample_sizes(config, patch, multiple)
    rule, strategy = config.template.preprocess, config.template.strategy
    pad_value = float(strategy.options.get("pad_value", 0.0))
    axes = Axes.of(rule.orientation)
    return Frame(least, most, tuple(multiple), rule.spacing_mm, pad_value, axes, mirror_pairs(config))


def _load(case: Case, config: TrainConfig, folder: Path, memory: "_Memory") -> LoadedCase:
    _check_case(case)
    image, labels = read_pair(case, folder)
    template = config.template
    try:
        check_grid(image.shape, image.spacing_mm, image.direction)
        check_intensities(image.array, template.modality, image.modality)
    except VolumeError as error:
        raise VolumeError(f"{case.image}: {error.what}", why=error.why, mend=error.mend) from error
    prepared = prepare(image, template.preprocess)
    target = np.zeros(prepared.array.shape[1:], dtype=np.uint8)
    numbers = look_up(case, config, labels)
    if labels is not None:
        source = nearest(orient(labels.array, prepared.axes, prepared.flips)[0], prepared.grid)
        target = numbers(source[prepared.crop.slices()])
    return LoadedCase(
        case.image,
        torch.from_numpy(memory.keep(np.ascontiguousarray(prepared.array[0]))),
        torch.from_numpy(memory.keep(np.ascontiguousarray(target))),
        annotated_channels(case, config.channels),
        points_of(target, numbers.members),
        numbers.members,
    )


def _check_case(case: Case) -> None:
    plain = Case(case.image)
    for name in ("role", "lungs", "slices", "hollow", "shells", "contrast"):
        if getattr(case, name) != getattr(plain, name):
            raise TrainingError(
                f"{case.image} has {name} {getattr(case, name)!r}.",
                why="Only samples of kind 'body' know what to do with it.",
                mend="Remove it, or use samples 'body'.",
            )
    if case.label is None and case.annotated == "all":
        raise TrainingError(
            f"{case.image} has no label file.",
            why="Without one, all of it would count as background.",
            mend="Name its label file, or list in annotated the labels that are known to be absent from it.",
        )


class _Memory:
    """Keeps arrays in memory while there is room, then in nameless files that the system cleans."""

    def __init__(self, megabytes: float) -> None:
        self._left = megabytes * 2**20

    def keep(self, array: np.ndarray) -> np.ndarray:
        self._left -= array.nbytes
        if self._left > 0:
            return array
        try:
            file = tempfile.TemporaryFile()  # noqa: SIM115  (the map keeps it open)
            file.write(array.tobytes())
            file.flush()
            return np.memmap(file, dtype=array.dtype, mode="r+", shape=array.shape)
        except OSError as error:
            raise TrainingError(
                f"The cases need more memory than there is, and {tempfile.gettempdir()} cannot take the rest.",
                why=f"{error.strerror or error}.",
                mend="Free disk space, train on fewer cases, or on a coarser spacing.",
            ) from error
