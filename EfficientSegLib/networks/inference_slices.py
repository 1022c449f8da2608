"""The settings that make a `SliceModel` faster without changing what it computes.

The network's own re-parametrisation comes first (timm's, for FastViT: branches that are linear become one convolution),
then `networks.fuse`, then the channels-last layout for what is left, and bfloat16 where it is asked for: convolutions
and linear layers only; what goes in and comes out is float32.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from EfficientSegLib.networks.fuse import fuse

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def slices_for_inference(model: nn.Module, precision: str) -> nn.Module:
    """See `inference.for_inference`, which calls this for slice networks."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    _reparametrise(model)
    fuse(model, precision)
    for layer in model.modules():
        if isinstance(layer, _CONVOLUTIONS):
            layer.weight.data = layer.weight.data.clone(memory_format=torch.channels_last)
        if precision == "bf16" and isinstance(layer, (nn.Linear, *_CONVOLUTIONS)):
            layer.to(torch.bfloat16)
    for method in ("forward", "with_presence"):
        setattr(model, method, _SliceEntry(getattr(model, method), precision == "bf16"))
    return model


def _reparametrise(model: nn.Module) -> None:
    """By the encoder's own package, which knows which of its branches become one."""
    if any(hasattr(layer, "reparameterize") for layer in model.modules()) and "timm" in sys.modules:
        from timm.utils import reparameterize_model

        reparameterize_model(model, inplace=True)


class _SliceEntry:
    """Around a network's method: the input's layout, and bfloat16 inside only."""

    def __init__(self, method: Callable[..., Any], bfloat16: bool) -> None:
        self._method = method
        self._bfloat16 = bfloat16

    def __call__(self, stack: Tensor, position: Tensor | None = None) -> Any:
        # A copy, since one channel fits both layouts, and convolutions would then take the slow one.
        stack = stack.clone(memory_format=torch.channels_last)
        if not self._bfloat16:
            return self._method(stack, position)
        with torch.autocast(stack.device.type, torch.bfloat16):
            found = self._method(stack, position)
        return found.float() if isinstance(found, Tensor) else tuple(_float(part) for part in found)


def _float(part: Tensor | None) -> Tensor | None:
    return None if part is None else part.float()
