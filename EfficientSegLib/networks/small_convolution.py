"""Convolutions that are trained on a CPU: where torch would take a slow way, another one.

**Over few voxels, in float32: by oneDNN.** torch asks oneDNN for a 3-D convolution of one sample only where channels x
I x J exceed 20480 (its `use_mkldnn`), and unfolds the input otherwise: 27 times the memory for a kernel of 3, in the
layout that is slow for all that follows. In the decoder of a transformer that is most of the time of an iteration. The
forward pass can ask oneDNN directly. The backward pass cannot, but what it calculates can be asked for in other words:
the gradient of the input is a convolution too, and for the gradient of the weights one sample is two, its halves.

**With a kernel of 1, over any number of voxels: as a linear layer on rows.** In float32 oneDNN's convolution takes
three to ten times as long as the product of matrices that it is, backward too; in bfloat16 they are equal, but one
input channel, which fits every layout, would lose channels last for all that follows.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ALWAYS = 20480  # channels x I x J above which torch asks oneDNN by itself
FEWEST = 256  # voxels below which unfolding is as fast


class SmallConvolution(nn.Conv3d):
    """A convolution with the same parameters under the same names that takes the fast way where there are two."""

    @staticmethod
    def fits(layer: nn.Module) -> bool:
        """Whether it can stand for a layer: plain, without stride, as many voxels out as in, a kernel of 1 or 3."""
        return (
            type(layer) is nn.Conv3d
            and torch.backends.mkldnn.is_available()
            and set(layer.stride) == set(layer.dilation) == {1}
            and layer.groups == 1
            and layer.padding_mode == "zeros"
            and (layer.kernel_size, layer.padding) in (((1, 1, 1), (0, 0, 0)), ((3, 3, 3), (1, 1, 1)))
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel_size == (1, 1, 1) and x.device.type == "cpu" and x.dim() == 5:
            return self._linear(x)
        if not self._is_slow_for(x):
            return super().forward(x)
        return _Same3.apply(x.contiguous(memory_format=torch.channels_last_3d), self.weight, self.bias)

    def _linear(self, x: Tensor) -> Tensor:
        """Rows without a copy where x is channels last; what comes out always is."""
        rows = functional.linear(x.movedim(1, 4).reshape(-1, self.in_channels), self.weight.flatten(1), self.bias)
        return rows.view(x.shape[0], *x.shape[2:], self.out_channels).movedim(4, 1)

    def _is_slow_for(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not _is_autocast()
            and x.dim() == 5
            and x.shape[0] == 1
            and x.shape[1] * x.shape[2] * x.shape[3] <= ALWAYS
            and x.shape[2] * x.shape[3] * x.shape[4] >= FEWEST
        )


def _is_autocast() -> bool:
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # before torch 2.4
        return torch.is_autocast_cpu_enabled()


class _Same3(torch.autograd.Function):
    """x (1, C, I, J, K), weight (O, C, 3, 3, 3), bias (O,) or None -> (1, O, I, J, K)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            mirrored = weight.flip(2, 3, 4).transpose(0, 1)
            of_x = _convolve(gradient, mirrored.contiguous(memory_format=torch.channels_last_3d), None)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(x, weight, gradient)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3, 4))
        return of_x, of_weight, of_bias


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.mkldnn_convolution(x, weight, bias, (1, 1, 1), (1, 1, 1), (1, 1, 1), 1)


def _weight_gradient(x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    """Of one sample as two: its halves along I, each with the voxels beside it, where none are, zeros."""
    half = -(-x.shape[2] // 2)
    odd = 2 * half - x.shape[2]
    x = functional.pad(x, (0, 0, 0, 0, 1, 1 + odd))
    gradient = functional.pad(gradient, (0, 0, 0, 0, 0, odd))
    pair = torch.cat((x[:, :, : half + 2], x[:, :, half:])).contiguous(memory_format=torch.channels_last_3d)
    wanted = torch.cat((gradient[:, :, :half], gradient[:, :, half:]))
    wanted = wanted.contiguous(memory_format=torch.channels_last_3d)
    plain, mask = ((1, 1, 1), False, (0, 0, 0), 1), (False, True, False)
    return torch.ops.aten.convolution_backward(wanted, pair, weight, None, (1, 1, 1), (0, 1, 1), *plain, mask)[1]
