"""Where training samples come from: the registry of sources, and what they give.

A source's file has a frozen dataclass `Options` and
`open_source(config, cases, data_folder, patch, multiple) -> Source`; `GIVES` where it gives no `Sample`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Protocol

import numpy as np
from torch import Tensor

from EfficientSegLib.errors import OptionError

SOURCES = {
    "body": "EfficientSegLib.training.samples.body",
    "slices": "EfficientSegLib.training.samples.slices",
    "volume": "EfficientSegLib.training.samples.volume",
}


@dataclass(frozen=True)
class Along:
    """Where a sample lies along the last axis of its case; turns and bends through that axis are not told."""

    first: float  # index in the case of the sample's slice 0; below 0 where the sample begins before the case
    length: int  # slices of the case
    shown: tuple[int, int]  # slices of the sample, first and behind the last, that show the case
    step: float = 1.0  # slices of the case per slice of the sample

    def index(self, number: int) -> float:
        """Index in the case of a slice of the sample."""
        return self.first + self.step * number

    def position(self, number: int) -> float:
        """Where in the case a slice of the sample lies, 0 at its first slice and 1 at its last; 0 where it has one."""
        return min(max(self.index(number) / max(self.length - 1, 1), 0.0), 1.0)


@dataclass(frozen=True)
class Sample:
    """What a recipe for volumes trains on."""

    image: Tensor  # (1, I, J, K), float32, network values
    target: Tensor  # (I, J, K), uint8, logit channels, or numbers of `members`; or losses.IGNORE
    annotated: Tensor  # (L,), bool
    name: str
    along: Along | None = None  # None: not known
    members: Tensor | None = None  # (numbers, L), bool, of labels that may overlap, see training.members; else None


@dataclass(frozen=True)
class SliceBatch:
    """What a recipe for slices trains on: stacks of neighbouring slices, and what their middle slices show.

    H and W are axes I and J of the cases: nothing is transposed.
    """

    image: Tensor  # (B, slices, H, W), float32, network values
    target: Tensor  # (B, H, W), uint8, logit channels (0 is background), or losses.IGNORE
    position: Tensor  # (B,), float32, 0 at the first slice of the case and 1 at its last
    annotated: Tensor  # (B, L), bool
    name: str  # of the cases

    def __len__(self) -> int:
        return len(self.position)

    def chunks(self, size: int) -> Iterator["SliceBatch"]:
        """The same stacks in order, at most `size` at a time, none copied."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield SliceBatch(self.image[part], self.target[part], self.position[part], self.annotated[part], self.name)

    def as_volume(self) -> Sample:
        """The middle slices, of one case and all in order, as its volume."""
        middle = self.image.shape[1] // 2
        image = self.image[:, middle].permute(1, 2, 0).contiguous()
        return Sample(image[None], self.target.permute(1, 2, 0).contiguous(), self.annotated[0], self.name)


class Source(Protocol):
    """The cases of a training in memory, ready to be drawn from."""

    def draw(self, generator: np.random.Generator) -> Sample | SliceBatch:
        """A new sample, changed at random; a function of the cases, the options and the generator's state."""

    def still(self, number: int) -> Sample | SliceBatch:
        """Case `number` as it is, without any change by chance."""


def source(name: str) -> ModuleType:
    """The module of a source.

    Raises:
        OptionError: the name is unknown.
    """
    if name not in SOURCES:
        raise OptionError(
            f"Unknown source {name!r}.", why=f"Known: {', '.join(sorted(SOURCES))}.", mend="Correct samples.name."
        )
    return import_module(SOURCES[name])
