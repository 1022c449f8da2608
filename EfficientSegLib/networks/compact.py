"""Weights in few bytes: large tensors as 8-bit integers with one scale per row, the rest in half precision.

Running statistics of batch norms stay as they are: they are few, and half precision has no variance above 65504 and
only some digits of one below 6e-5.

A bundle that ships with the program, or is downloaded over a slow line, is half as large as in half precision. Whether
a model bears it is measured with the packed weights themselves, as everything that a bundle claims.
"""

import torch
from torch import Tensor

SCALE = "::scale"  # ending of the key that holds a packed tensor's scales
SMALLEST = 2**14  # elements; smaller tensors are not worth packing
LARGEST_CODE = 127
_STATISTICS = ("running_mean", "running_var")


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dictionary with its fractions in half precision."""
    return {name: tensor if _stays(name, tensor) else tensor.half() for name, tensor in state.items()}


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The compact form of a state dictionary; `unpack` gives back nearly the same numbers.

    The error of each weight is at most 1/254 of the largest weight of its row.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _stays(name, tensor):
            packed[name] = tensor
        elif tensor.dim() < 2 or tensor.numel() < SMALLEST:
            packed[name] = tensor.half()
        else:
            scale = tensor.float().flatten(1).abs().amax(1).clamp(min=1e-12) / LARGEST_CODE
            packed[name] = (tensor.float() / _shaped(scale, tensor)).round().to(torch.int8)
            packed[name + SCALE] = scale
    return packed


def unpack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dictionary behind a compact one; one that is not compact comes back as it is."""
    return {
        name: tensor.float() * _shaped(state[name + SCALE], tensor) if name + SCALE in state else tensor
        for name, tensor in state.items()
        if not name.endswith(SCALE)
    }


def _stays(name: str, tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or name.endswith(_STATISTICS)


def _shaped(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.view(-1, *(1 for _ in tensor.shape[1:]))
