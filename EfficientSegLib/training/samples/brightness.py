"""What changes the values of a sample and never its places: brightness, blur, noise, fewer voxels. MONAI's steps.

All draws come from the generator that is given.
"""

from dataclasses import dataclass

import numpy as np
from monai import transforms
from monai.data import MetaTensor
from torch import Tensor

from EfficientSegLib.errors import OptionError

STEPS = ("noise", "smooth", "gain", "shift", "coarse", "gamma", "inverted_gamma")


@dataclass(frozen=True)
class BrightnessOptions:
    """How far values stray. A probability of 0 switches a step off; values are network values. Defaults: NMSW's."""

    noise: float = 0.1  # probability
    noise_deviation: float = 0.1  # at most
    smooth: float = 0.2  # probability of a Gaussian blur
    smooth_voxels: tuple[float, float] = (0.5, 1.0)
    gain: float = 0.15  # probability
    gain_limit: float = 0.25  # change of all values as a share of them, each way
    shift: float = 0.2  # probability
    shift_limit: float = 0.1  # added to all values, each way
    coarse: float = 0.25  # probability of fewer voxels, enlarged again
    coarse_zoom: tuple[float, float] = (0.5, 1.0)
    gamma: float = 0.3  # probability
    inverted_gamma: float = 0.1  # probability of a gamma on the negative
    gamma_range: tuple[float, float] = (0.7, 1.5)

    def __post_init__(self) -> None:
        check_shares(self, STEPS)
        if not 0 <= self.gain_limit < 1:
            raise OptionError(f"gain_limit is {self.gain_limit}.", why="1 would leave nothing.", mend="Use less.")
        if min(self.noise_deviation, self.shift_limit) < 0:
            raise OptionError(
                f"noise_deviation is {self.noise_deviation}, shift_limit {self.shift_limit}.",
                why="They are sizes.",
                mend="Use 0 or more.",
            )
        for name in ("smooth_voxels", "coarse_zoom", "gamma_range"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise OptionError(f"{name} is {(low, high)}.", why="It is a range above 0.", mend="Lower end first.")
        if self.coarse_zoom[1] > 1:
            raise OptionError(f"coarse_zoom is {self.coarse_zoom}.", why="It leaves out voxels.", mend="Use up to 1.")


def check_shares(options: object, names: tuple[str, ...]) -> None:
    """Refuse options that are no probability, or no share.

    Raises:
        OptionError: one of them is below 0 or above 1.
    """
    for name in names:
        if not 0 <= getattr(options, name) <= 1:
            raise OptionError(f"{name} is {getattr(options, name)}.", why="It is a share.", mend="Use 0 to 1.")


class Brightness:
    """Changes values, never places."""

    def __init__(self, options: BrightnessOptions, axes: int = 3) -> None:
        """`axes` of an image behind its first: 3 of a volume, 2 of a stack of slices, all changed alike."""
        enlarged = {"upsample_mode": "trilinear" if axes == 3 else "bilinear", "zoom_range": options.coarse_zoom}
        steps = {
            "noise": transforms.RandGaussianNoise(options.noise, std=options.noise_deviation),
            "smooth": transforms.RandGaussianSmooth(*[options.smooth_voxels] * 3, prob=options.smooth),
            "gain": transforms.RandScaleIntensity(options.gain_limit, prob=options.gain),
            "shift": transforms.RandShiftIntensity(options.shift_limit, prob=options.shift),
            "coarse": transforms.RandSimulateLowResolution(options.coarse, **enlarged),
            "inverted_gamma": transforms.RandAdjustContrast(
                options.inverted_gamma, options.gamma_range, invert_image=True
            ),
            "gamma": transforms.RandAdjustContrast(options.gamma, options.gamma_range),
        }
        self._steps = [(getattr(options, name), step) for name, step in steps.items() if getattr(options, name) > 0]
        self._asks_first = axes == 2  # stacks are many and small: what does not happen must not cost a new generator
        if self._asks_first:
            for _, step in self._steps:
                step.prob = 1.0

    def __call__(self, image: Tensor, generator: np.random.Generator) -> Tensor:
        """Image (1, I, J, K), or a stack (slices, H, W) -> the same shape."""
        for probability, step in self._steps:
            if self._asks_first and generator.random() >= probability:
                continue
            step.set_random_state(seed=int(generator.integers(2**32)))
            image = step(image)
        return image.as_tensor() if isinstance(image, MetaTensor) else image
