"""Stacks of neighbouring slices from several cases at once, changed within their plane; for networks of slices.

A batch takes `slices_per_volume` stacks from each of `volumes` samples of another source, so that one iteration sees
many cases. What training and inference must agree on: neighbours are repeated at the ends of the case alone (a part of
a case gives no stack whose neighbours were cut off), a slice's position is that in the whole case, and pixels beyond
the image have the `pad_value` of the bundle's strategy and are background. H and W are axes I and J.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib.bundle import Component
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.geometry import Index
from EfficientSegLib.options import read_options
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.label_maps import refuse_overlaps
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.samples import Along, Sample, SliceBatch, Source, source
from EfficientSegLib.training.samples.brightness import STEPS, Brightness, BrightnessOptions, check_shares
from EfficientSegLib.training.samples.framing import mirror_pairs, sides_left_alone
from EfficientSegLib.training.samples.plane import Plane, bend, placed, places, resample, turn_matrix
from EfficientSegLib.training.samples.stacks import chosen_slices, neighbours, whole_stacks

GIVES = SliceBatch
PLACING = ("focus", "translation", "translation_share", "memory_share")  # options of `volume` that leave shapes alone
VOLUME = {"affine": 0.0, "distortion": 0.0, "mirror": 0.0, **dict.fromkeys(STEPS, 0.0)}
BODY = {"rotation_deg": [0.0, 0.0, 12.0], "mirror": 0.0}  # no turn through the plane; mirrored here


@dataclass(frozen=True)
class Options(BrightnessOptions):
    """What a batch is made of, and how far stacks stray from their case within their plane.

    The ranges are the paper's; it does not tell the probabilities of affine and elastic changes, nor their strength.
    """

    of: Literal["volume", "body"] = "volume"  # the source that cuts parts of cases, `largest` voxels at most
    inner: dict[str, Any] = field(default_factory=dict)  # its options
    volumes: int = 8  # of a batch; reading time grows with it
    slices_per_volume: int = 4  # the batch is their product; the paper's is 32
    foreground: float = 0.5  # share of the slices that hold a label drawn at random, where the part shows any
    mirror: float = 0.5  # probability of exchanging left and right, and the labels that `mirrored` pairs
    flip: float = 0.2  # probability of exchanging front and back
    affine: float = 0.5  # probability of a turn with scale, shear and shift
    rotation_deg: float = 15.0  # each way
    scale: float = 0.15  # change of size, each way
    shear_deg: float = 10.0  # of either axis, each way
    translation_share: float = 0.1  # of the image's length, each way, along both axes
    elastic: float = 0.2  # probability of a smooth random displacement
    elastic_deviation: float = 0.02  # of the displacement at its knots, as a share of the image

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self, ("foreground", "mirror", "flip", "affine", "elastic", "translation_share"))
        if min(self.volumes, self.slices_per_volume) < 1 or self.volumes * self.slices_per_volume < 2:
            raise OptionError(
                f"A batch has {self.slices_per_volume} slices of each of {self.volumes} volumes.",
                why="Batch normalisation needs two stacks at least.",
                mend="Raise volumes or slices_per_volume; 8 and 4 are the paper's 32.",
            )
        if not 0 <= self.scale < 1 or min(self.rotation_deg, self.shear_deg, self.elastic_deviation) < 0:
            raise OptionError(
                f"scale is {self.scale}, rotation_deg {self.rotation_deg}, shear_deg {self.shear_deg}, "
                f"elastic_deviation {self.elastic_deviation}.",
                why="They are changes each way.",
                mend="Use 0 or more, and a scale below 1.",
            )
        if self.shear_deg >= 45:
            raise OptionError(
                f"shear_deg is {self.shear_deg}.", why="From 45 on, an image may fold.", mend="Use less; 10 is usual."
            )


@dataclass(frozen=True)
class Frame:
    """What stacks are cut for."""

    slices: int  # of a stack
    multiple: Plane  # H and W are multiples of this
    spacing_mm: tuple[float, float]
    pad_value: float
    sideways: int  # 0 where H runs from left to right, 1 where W does
    pairs: Tensor  # (L,), channel of each channel's mirror image


@dataclass(frozen=True)
class Stacks:
    """Stacks of one case."""

    image: Tensor  # (n, S, h, w)
    target: Tensor  # (n, h, w)
    position: Tensor  # (n,)
    annotated: Tensor  # (L,)
    name: str


class SliceSource:
    """A `samples.Source` of `SliceBatch`."""

    def __init__(self, inner: Source, options: Options, frame: Frame) -> None:
        self._inner, self._options, self._frame = inner, options, frame
        self._brightness = Brightness(options, axes=2)

    def draw(self, generator: np.random.Generator) -> SliceBatch:
        parts = [self._stacks(generator) for _ in range(self._options.volumes)]
        size = _common_size([tuple(part.target.shape[1:]) for part in parts], self._frame.multiple)
        count = sum(len(part.position) for part in parts)
        images = torch.empty(count, self._frame.slices, *size)
        targets = torch.empty(count, *size, dtype=torch.uint8)
        annotated = torch.empty(count, len(self._frame.pairs), dtype=torch.bool)
        stacks = ((part, number) for part in parts for number in range(len(part.position)))
        for row, (part, number) in enumerate(stacks):
            image, target = self._changed(part.image[number], part.target[number], size, generator)
            images[row], targets[row], annotated[row] = self._flipped(image, target, part.annotated, generator)
        position = torch.cat([part.position for part in parts])
        return SliceBatch(images, targets, position, annotated, ", ".join(sorted({part.name for part in parts})))

    def still(self, number: int) -> SliceBatch:
        """All slices of a case, in order; stacks are views, so that this costs little more than the case itself."""
        sample, frame = self._inner.still(number), self._frame
        along = _along(sample)
        first, stop = along.shown
        size = _common_size([tuple(sample.target.shape[:2])], frame.multiple)
        image = sample.image[0, ..., first:stop].permute(2, 0, 1)
        target = sample.target[..., first:stop].permute(2, 0, 1)
        image, target, _ = placed(image[:, None], target, size, frame.pad_value, centred=False)
        stacks = neighbours(image[:, 0], frame.slices)
        position = torch.tensor([along.position(k) for k in range(first, stop)], dtype=torch.float32)
        return SliceBatch(stacks, target, position, sample.annotated.expand(len(stacks), -1), sample.name)

    def _stacks(self, generator: np.random.Generator) -> Stacks:
        """Stacks of a new sample of the inner source."""
        sample = self._inner.draw(generator)
        options, along, half = self._options, _along(sample), self._frame.slices // 2
        chosen = chosen_slices(
            sample.target, whole_stacks(along, half), options.slices_per_volume, options.foreground, generator
        )
        first, stop = along.shown
        indices = np.clip(np.asarray(chosen)[:, None] + np.arange(-half, half + 1), first, stop - 1)
        stacks = sample.image[0].index_select(2, torch.from_numpy(indices.reshape(-1)))
        h, w = sample.target.shape[:2]
        return Stacks(
            stacks.permute(2, 0, 1).reshape(*indices.shape, h, w),
            sample.target.index_select(2, torch.tensor(chosen)).permute(2, 0, 1).contiguous(),
            torch.tensor([along.position(k) for k in chosen], dtype=torch.float32),
            sample.annotated,
            sample.name,
        )

    def _changed(
        self, stack: Tensor, target: Tensor, size: Plane, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """A stack (S, H, W) and its target (H, W) in another shape and brightness."""
        options, frame = self._options, self._frame
        turned, bent = generator.random(2) < (options.affine, options.elastic)
        if turned or bent:
            where = self._places(tuple(target.shape), size, turned, bent, generator)
            found = resample(stack[None], target[None], where, frame.pad_value)
        else:
            found = placed(stack[None], target[None], size, frame.pad_value)
        image, target, inside = (tensor[0] for tensor in found)
        image = self._brightness(image, generator)
        if not bool(inside.all()):
            image = torch.where(inside, image, frame.pad_value)
        return image, target

    def _places(self, shape: Plane, size: Plane, turned: bool, bent: bool, generator: np.random.Generator) -> Tensor:
        """What each pixel of a changed stack shows, (1, 2, H, W)."""
        options, matrix, shift = self._options, np.eye(2), np.zeros(2)
        if turned:
            scale = 1 + generator.uniform(-options.scale, options.scale)
            angle = np.deg2rad(generator.uniform(-options.rotation_deg, options.rotation_deg))
            shear = np.deg2rad(generator.uniform(-options.shear_deg, options.shear_deg, 2))
            matrix = turn_matrix(scale, angle, tuple(shear), self._frame.spacing_mm)
            shift = generator.uniform(-1, 1, 2) * options.translation_share * shape
        where = places(size, matrix[None], shift[None])
        return where + bend(size, options.elastic_deviation, generator) if bent else where

    def _flipped(
        self, image: Tensor, target: Tensor, annotated: Tensor, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        frame = self._frame
        mirrored, flipped = generator.random(2) < (self._options.mirror, self._options.flip)
        axes = [axis for axis, yes in ((frame.sideways, mirrored), (1 - frame.sideways, flipped)) if yes]
        image, target = image.flip([axis + 1 for axis in axes]), target.flip(axes)
        if not mirrored:
            return image, target, annotated
        lookup = torch.arange(IGNORE + 1, dtype=torch.uint8)
        lookup[: len(frame.pairs)] = frame.pairs.to(torch.uint8)
        return image, lookup[target.long()], annotated[frame.pairs]


def _along(sample: Sample) -> Along:
    depth = sample.target.shape[2]
    return sample.along or Along(0, depth, (0, depth))


def _common_size(shapes: Sequence[Plane], multiple: Plane) -> Plane:
    """The smallest plane that holds all, in multiples."""
    return tuple(-(-max(lengths) // m) * m for lengths, m in zip(zip(*shapes), multiple))


def open_source(
    config: TrainConfig, cases: Sequence[Case], data_folder: Path, patch: Index, multiple: Sequence[int]
) -> SliceSource:
    """Read the cases.

    Args:
        patch: (slices of a stack,).
        multiple: H and W are multiples of this.

    Raises:
        VolumeError: a case cannot be read.
        TrainingError: a case contradicts the configuration, or slices cannot be cut as it says.
        OptionError: an option is wrong.
    """
    refuse_overlaps(
        cases,
        why="The recipe of slices has a term in which labels compete for each pixel: there, a pixel shows one label.",
        mend="Map each value to one label, or use recipe 'patch', samples 'volume' and a network over volumes.",
    )
    options = read_options(Options, config.samples.options)
    slices = patch[0]
    _check(config, options, slices)
    inner = Component(options.of, inner_options(options))
    opened = source(options.of).open_source(
        dataclasses.replace(config, samples=inner), cases, data_folder, (1, 1, 1), (1, 1, 1)
    )
    rule, strategy = config.template.preprocess, config.template.strategy
    sideways = next(axis for axis, letter in enumerate(rule.orientation) if letter in "RL")
    pad_value = float(strategy.options.get("pad_value", 0.0))
    frame = Frame(slices, tuple(multiple), rule.spacing_mm[:2], pad_value, sideways, mirror_pairs(config))
    return SliceSource(opened, options, frame)


def inner_options(options: Options) -> dict[str, Any]:
    """Options of the source that cuts parts, what would turn cases through the plane switched off.

    Raises:
        OptionError: one is given that is done here, within the plane.
    """
    wrong = sorted(set(options.inner) - set(PLACING)) if options.of == "volume" else []
    if wrong:
        raise OptionError(
            f"inner has {wrong[0]!r}.",
            why=f"Slices are changed within their plane; of 'volume' they take {', '.join(PLACING)}.",
            mend="Use the option of 'slices' itself, beside inner.",
        )
    return {**(VOLUME if options.of == "volume" else BODY), **options.inner}


def check(options: Options) -> None:
    """Refuse options of the inner source that it does not know.

    Raises:
        OptionError: the message names the option.
    """
    read_options(source(options.of).Options, inner_options(options))


def _check(config: TrainConfig, options: Options, slices: int) -> None:
    orientation = config.template.preprocess.orientation
    if orientation[2] not in "SI":
        raise TrainingError(
            f"orientation is {orientation!r}.",
            why="Slices are axial: the last axis runs along the body.",
            mend="Use RAS.",
        )
    if config.largest[2] < slices:
        raise TrainingError(
            f"largest is {config.largest}.", why=f"A stack has {slices} slices.", mend=f"Use {slices} or more for K."
        )
    alone = sides_left_alone(config) if options.mirror else ()
    if alone:
        raise TrainingError(
            f"{alone[0]!r} has a side, and mirrored does not pair it.",
            why=f"mirror is {options.mirror}: left and right change places in the image, so they must in the labels.",
            mend="List the pairs of label values in mirrored, or set mirror to 0.",
        )
