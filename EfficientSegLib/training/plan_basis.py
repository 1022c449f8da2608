"""What a plan is made from: what a person chooses, and what the data set shows."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from EfficientSegLib.bundle import Intensity
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index
from EfficientSegLib.networks import NETWORKS
from EfficientSegLib.training.samples.framing import sides_alone
from EfficientSegLib.training.survey import Seen

ORIENTATION = "RAS"
ZSCORE = Intensity("zscore", 1.0, 99.0)
FOLDS = 5  # where nobody says how many, and there are as many cases

Parts = tuple[dict[str, Any], dict[str, Any]]  # of the bundle, and other fields of the configuration


class Window(NamedTuple):
    """Of CT values in HU, and the network values that its ends become."""

    limits: tuple[float, float]
    to: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Choices:
    """What is decided by a person; None is measured."""

    network: str = "nmsw"
    local: str = "unet"  # backbone of nmsw
    encoder: str = "light"  # of networks of slices; the others need the package timm
    modality: Literal["CT", "MR"] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    patch_size: Index | None = None
    downsampling: Index | None = None
    largest: Index | None = None
    iterations: int | None = None  # None: 20 000, or as many as `minutes` allow
    minutes: float | None = None
    fold: int = 0  # of `folds`, the part that is not trained on
    folds: int | None = None  # None: 5, or as many as there are cases; 1: all cases are trained on
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("network", "local"):
            value = getattr(self, name)
            if value not in NETWORKS:
                known = ", ".join(sorted(NETWORKS))
                raise OptionError(f"{name} is {value!r}.", why=f"Known: {known}.", mend="Correct its name.")
        check_fold(self.fold, FOLDS if self.folds is None else self.folds)
        for name in ("spacing_mm", "patch_size", "downsampling", "largest"):
            value = getattr(self, name)
            if value is not None and (len(value) != 3 or min(value) <= 0):
                raise OptionError(f"{name} is {value}.", why="It has three numbers above 0.", mend="Correct it.")


def check_fold(fold: int, folds: int) -> None:
    """Whether there is such a fold.

    Raises:
        OptionError: there is none.
    """
    if folds < 1 or not 0 <= fold < folds:
        raise OptionError(f"fold is {fold} of {folds}.", why="Folds count from 0.", mend="Use 0 to folds - 1.")


@dataclass(frozen=True)
class Sizes:
    """Voxels of the cases at the plan's spacing."""

    median: Index
    largest: Index


@dataclass(frozen=True)
class Measured:
    """What the data set has shown."""

    sizes: Sizes
    spacing: tuple[float, float, float]
    modality: str
    seen: list[Seen]

    def preprocess(self, intensity: Intensity) -> dict[str, Any]:
        rule = {key: value for key, value in dataclasses.asdict(intensity).items() if value is not None}
        return {"orientation": ORIENTATION, "spacing_mm": self.spacing, "intensity": rule}

    @property
    def lowest_normal(self) -> float:
        """Network value under the zscore rule of what is darkest."""
        return round(float(np.median([s.lowest_normal for s in self.seen])), 2)

    def intensity(self, window: tuple[float, float], to: tuple[float, float] = (0.0, 1.0)) -> Intensity:
        """CT: the paper's window, widened where structures are darker or brighter. MR: each by its percentiles."""
        if self.modality == "MR":
            return ZSCORE
        low, high = np.percentile(np.concatenate([s.foreground for s in self.seen]), (0.5, 99.5))
        low, high = float(min(window[0], np.floor(low / 50) * 50)), float(max(window[1], np.ceil(high / 50) * 50))
        return Intensity("window", low, high, to)


def between_validations(given: dict[str, Any], count: int) -> float:
    """Iterations, or minutes where a plan is one by time, after which its training validates `count` times in all."""
    every = (given["minutes"] or given["iterations"]) / count
    return float(f"{every:.3g}") if given["minutes"] else max(round(every), 1)


def has_a_lone_side(given: dict[str, Any]) -> bool:
    """Whether a label of a plan tells a side and has no counterpart: then images must not be mirrored."""
    paired = {value for pair in given["mirrored"] for value in pair}
    return bool(sides_alone(label["name"] for label in given["bundle"]["labels"] if label["value"] not in paired))
