"""Encoders of slice networks: an image to four maps of features.

How to add one: write a file in this folder with `build() -> nn.Module`, and a line in `ENCODERS`. What it builds

- maps (B, 1, H, W) to a list of four tensors (B, C, h, w) at strides 4, 8, 16 and 32, finest first;
- has `channels: tuple[int, int, int, int]`, their C;
- starts with random weights: it loads nothing by itself.

What comes from timm is one call of `from_timm.build`, and `PRETRAINED` beside it names weights that users may ask for
(`pretrained.load`). The common tests (Testing/library/networks/encoders) take a new
encoder up by themselves, and `segmate` and `segmate_vanilla` know it by its name.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from EfficientSegLib.errors import OptionError

if TYPE_CHECKING:
    from torch import nn

ENCODERS = {
    "efficientnetv2": "EfficientSegLib.networks.encoders.efficientnetv2",
    "fastvit": "EfficientSegLib.networks.encoders.fastvit",
    "light": "EfficientSegLib.networks.encoders.light",
    "mambaout": "EfficientSegLib.networks.encoders.mambaout",
}


def check(name: str) -> None:
    """Refuse an unknown encoder.

    Raises:
        OptionError: it is not in `ENCODERS`.
    """
    if name not in ENCODERS:
        raise OptionError(
            f"Unknown encoder {name!r}.",
            why=f"Known: {', '.join(sorted(ENCODERS))}.",
            mend="Check the option encoder of the network.",
        )


def build(name: str) -> "nn.Module":
    """A new encoder with random weights.

    Raises:
        OptionError: it is not in `ENCODERS`.
        DeviceError: it needs timm, which is missing or does not work here.
    """
    check(name)
    return import_module(ENCODERS[name]).build()
