"""Encoders of the package timm, which is optional and imported only when one of them is built.

timm imports torchvision, which must match torch; where it does not, its import ends in errors that help nobody, and are
said in words here.
"""

from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import DeviceError

OLDEST_TIMM = "1.0.11"  # the first release with MambaOut
_CURE = (
    "In 3D Slicer: let the PyTorch extension install torch and torchvision together, then run "
    f'slicer.util.pip_install("--no-deps timm>={OLDEST_TIMM}"). Elsewhere: install torch and torchvision together as '
    f'pytorch.org says for this machine, then run pip install --no-deps "timm>={OLDEST_TIMM}". '
    'Or choose a model whose encoder is "light", which needs neither.'
)


class Pretrained(NamedTuple):
    """Weights that somebody else trained."""

    name: str  # in timm, its tag included
    licence: str


class TimmEncoder(nn.Module):
    """A timm network without its classifier: (B, 1, H, W) -> four maps (B, C, h, w), finest first."""

    def __init__(self, body: nn.Module, levels: tuple[int, ...], channels_at_the_end: bool) -> None:
        super().__init__()
        self.body = body
        self.levels = levels
        self.channels_at_the_end = channels_at_the_end
        self.channels = tuple(body.feature_info.channels())

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.body(x)
        # Seen as (B, C, h, w) they are in the channels-last layout; nothing is copied.
        return [features.permute(0, 3, 1, 2) for features in maps] if self.channels_at_the_end else maps


def build(name: str, levels: tuple[int, int, int, int], channels_at_the_end: bool = False) -> TimmEncoder:
    """A new encoder with random weights for images of one channel.

    Args:
        name: of the model in timm.
        levels: timm's numbers of the levels with strides 4, 8, 16 and 32.
        channels_at_the_end: whether timm's maps are (B, h, w, C).

    Raises:
        DeviceError: timm is missing, too old, or does not work with the torch and torchvision that are here.
    """
    timm = import_timm()
    if not timm.is_model(name):
        raise DeviceError(
            f"The installed timm {timm.__version__} has no {name}.",
            why=f"It is too old: {OLDEST_TIMM} or newer is needed.",
            mend=_CURE,
        )
    body = timm.create_model(name, features_only=True, in_chans=1, pretrained=False, out_indices=levels)
    return TimmEncoder(body, levels, channels_at_the_end)


def import_timm() -> ModuleType:
    """The package timm.

    Raises:
        DeviceError: it is missing, or does not work with the torch and torchvision that are here.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise DeviceError(
            f"The package {error.name} is missing.",
            why="This model's encoder comes from timm, an optional package, which needs torchvision.",
            mend=_CURE,
        ) from error
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        # A torchvision of another torch: "operator torchvision::nms does not exist", undefined symbols, lost names.
        raise DeviceError(
            "The package timm cannot be loaded.",
            why=f"Most likely the installed torchvision does not match torch {torch.__version__} ({error}).",
            mend=_CURE,
        ) from error
    return timm
