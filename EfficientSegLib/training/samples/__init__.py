"""Where training samples come from: the registry of sources, and what they give.

A source's file has a frozen dataclass `Options` and
`open_source(config, cases, data_folder, patch, multiple) -> Source`.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Protocol

import numpy as np
from torch import Tensor

from EfficientSegLib.errors import OptionError

SOURCES = {
    "body": "EfficientSegLib.training.samples.body",
    "volume": "EfficientSegLib.training.samples.volume",
}


@dataclass(frozen=True)
class Sample:
    """What a recipe trains on."""

    image: Tensor  # (1, I, J, K), float32, network values
    target: Tensor  # (I, J, K), uint8, logit channels, or losses.IGNORE
    annotated: Tensor  # (L,), bool
    name: str


class Source(Protocol):
    """The cases of a training in memory, ready to be drawn from."""

    def draw(self, generator: np.random.Generator) -> Sample:
        """A new sample, changed at random; a function of the cases, the options and the generator's state."""

    def still(self, number: int) -> Sample:
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
