"""Multiply-adds in the convention of the counter "torchprofile", as STP + MTA + UNETR publishes them.

Convolutions, linear layers and products of matrices count their multiply-adds, attention's two products among them. But
a transposed convolution is counted on its *output* voxels (8 times too much for a stride of 2); and beside these count,
one each: the scaling of every pair in attention, every value of a norm with weights, every value that an average makes.
Activations, softmax and sums are left out.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def count_as_torchprofile(run: Callable[[], object]) -> int:
    """Operations of what `run` calls; tensors without values are enough."""
    with _Profile() as profile:
        run()
    return profile.operations


def _of_convolution(result: Tensor, x: Tensor, weight: Tensor, *_, **__) -> int:
    return result.numel() * weight[0].numel()


def _of_transposed(result: Tensor, x: Tensor, weight: Tensor, *_, **__) -> int:
    return result.numel() * weight.shape[0] * weight[0, 0].numel()


def _of_linear(result: Tensor, x: Tensor, *_, **__) -> int:
    return result.numel() * x.shape[-1]


def _of_attention(result: Tensor, queries: Tensor, keys: Tensor, values: Tensor, *_, **__) -> int:
    pairs = queries[..., 0].numel() * keys.shape[-2]
    return pairs * (queries.shape[-1] + values.shape[-1] + 1)


def _of_layer_norm(result: Tensor, x: Tensor, shape, weight: Tensor | None = None, *_, **__) -> int:
    return result.numel() if weight is not None else 0


def _of_instance_norm(result: Tensor, x: Tensor, mean=None, variance=None, weight: Tensor | None = None, *_, **__):
    return result.numel() if weight is not None else 0


def _made(result: Tensor, *_, **__) -> int:
    return result.numel()


_COUNTED = {
    functional.conv3d: _of_convolution,
    functional.conv_transpose3d: _of_transposed,
    functional.linear: _of_linear,
    torch.matmul: _of_linear,
    Tensor.matmul: _of_linear,
    Tensor.__matmul__: _of_linear,
    functional.scaled_dot_product_attention: _of_attention,
    functional.layer_norm: _of_layer_norm,
    functional.instance_norm: _of_instance_norm,
    functional.avg_pool3d: _made,
    Tensor.mean: _made,
}


class _Profile(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = options or {}
        result = function(*arguments, **options)
        if function in _COUNTED:
            self.operations += _COUNTED[function](result, *arguments, **options)
        return result
