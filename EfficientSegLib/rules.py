"""A bundle's rules: what is done to a volume before its network sees it, and to the labels afterwards."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from EfficientSegLib.errors import OptionError


@dataclass(frozen=True)
class Intensity:
    """How image values become network values.

    window: low and high become to[0] and to[1], values beyond are clipped.
    zscore: mean 0 and deviation 1 over the volume, after clipping to its percentiles low and high.
    standardise: (mean, deviation, largest), or null; applied last, as albumentations' Normalize does it in float32:
        (value - mean * largest) / (deviation * largest). Models that were trained behind it need it to the last bit.
    """

    kind: Literal["window", "zscore"]
    low: float
    high: float
    to: tuple[float, float] = (0.0, 1.0)
    standardise: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise OptionError(
                f"intensity goes from {self.low} to {self.high}.", why="low must be below high.", mend="Swap them."
            )
        if self.standardise is not None and not min(self.standardise[1:]) > 0:
            raise OptionError(
                f"standardise is {self.standardise}.",
                why="Values are divided by the deviation (second) times the largest value (third).",
                mend="Use numbers above 0 for both, or leave it out.",
            )


@dataclass(frozen=True)
class Crop:
    """What is cut away before the network looks; labels outside are background.

    torso: arms and table go, the largest piece of the body eroded by `erode_mm` stays, with `margin_mm` around it.
    """

    kind: Literal["none", "torso"] = "none"
    erode_mm: float = 15.0
    margin_mm: float = 18.0


@dataclass(frozen=True)
class Preprocess:
    """The grid and the values that the network was trained on."""

    orientation: str  # three letters of R/L, A/P, S/I: the direction in which I, J and K grow
    spacing_mm: tuple[float, float, float]
    intensity: Intensity
    crop: Crop = Crop()
    # The last axis keeps the scan's own slices; the last of spacing_mm then only tells what the training saw.
    native_slices: bool = False

    def __post_init__(self) -> None:
        axes = [next((axis for axis in ("RL", "AP", "SI") if letter in axis), "") for letter in self.orientation]
        if sorted(axes) != ["AP", "RL", "SI"]:
            raise OptionError(
                f"orientation is {self.orientation!r}.",
                why="It names each of R or L, A or P, S or I once.",
                mend="RAS is the usual choice.",
            )
        if min(self.spacing_mm) <= 0:
            raise OptionError(f"spacing_mm is {self.spacing_mm}.", why="Voxels have a size.", mend="Use millimetres.")

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without what is newer than the format and not used: checksums of older bundles stay valid."""
        content = dataclasses.asdict(self)
        if not self.native_slices:
            del content["native_slices"]
        if self.intensity.standardise is None:
            del content["intensity"]["standardise"]
        return content


@dataclass(frozen=True)
class Postprocess:
    """What is done to the finished label map."""

    largest_component: tuple[int, ...] = ()  # label values of which only the largest connected piece stays
