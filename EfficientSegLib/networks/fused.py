"""Steps of a network that calculate several layers at once, for inference. Used by `networks.fuse`.

On CPUs oneDNN does activation and sum within the convolution, while its result is still in the cache; torch offers it
to its own compiler (`torch.ops.mkldnn`), and here it is called without one. Where it is not offered, and on GPUs, the
same is calculated by torch's usual functions.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_ACTIVATIONS = {"none": lambda x: x, "relu": torch.relu_, "sigmoid": torch.sigmoid_, "gelu": functional.gelu}
_ACTIVATIONS["swish"] = lambda x: functional.silu(x, inplace=True)
_ALGORITHM = {"gelu": "none"}  # not the approximation by tanh
_PIXELS_AT_ONCE = 2048  # of a gated block: what they become (a few MB) stays in the cache
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class FusedConvolution(nn.Module):
    """activation(convolution(x) + other), the sum and the activation where there are any.

    Made of a convolution as it is; what follows it is taken in with `take_norm`, `take_factor` and the attribute
    `activation`, and then `finish` is called once.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = (None if own is None else own.detach().float() for own in (layer.weight, layer.bias))
        self.kernel, self.stride, self.dilation = layer.kernel_size, layer.stride, layer.dilation
        self.groups, self.channels = layer.groups, layer.out_channels
        self.pads_by_size = type(layer).__name__ == "Conv2dSame"  # timm's: more at the end than at the beginning
        self.padding = (0, 0) if self.pads_by_size else layer.padding
        # One channel read by several kernels is slow in oneDNN; several equal channels with one kernel each are fast.
        self.repeats = self.channels // self.groups if self.groups == layer.in_channels > 1 else 1
        self.groups *= self.repeats
        self.activation = "none"
        self.overwrites = False  # the sum may be written into `other`
        self._packed: Tensor | None = None
        self._packed_for: tuple[int, int] | None = None

    @staticmethod
    def takes(layer: nn.Module) -> bool:
        """Whether a layer can be turned into one of these."""
        known = type(layer) is nn.Conv2d or type(layer).__name__ == "Conv2dSame"
        return known and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)

    def take_norm(self, norm: nn.BatchNorm2d) -> None:
        """Batch normalisation of this convolution's result by running statistics."""
        factor = torch.rsqrt(norm.running_var.double() + norm.eps)
        shift = -norm.running_mean.double() * factor
        if norm.affine:
            factor, shift = factor * norm.weight.detach().double(), shift * norm.weight.detach() + norm.bias.detach()
        self.take_factor(factor)
        self.bias = shift.float() if self.bias is None else (self.bias + shift).float()

    def take_factor(self, factor: Tensor) -> None:
        """One factor per channel of the result."""
        factor = factor.detach().double().flatten()
        self.weight = (self.weight * factor[:, None, None, None]).float()
        if self.bias is not None:
            self.bias = (self.bias * factor).float()

    def finish(self, precision: str) -> "FusedConvolution":
        """Fix the precision; returns itself."""
        self.dtype = _DTYPES[precision]
        weight = self.weight.to(self.dtype).clone(memory_format=torch.channels_last)
        bias = None if self.bias is None else self.bias.to(self.dtype)
        del self.weight, self.bias
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        return self

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """x (B, C, H, W) -> (B, C', H', W'), both channels last; `other` has the result's shape."""
        x = _channels_last(x.to(self.dtype))
        if self.repeats > 1:
            pixels = x.permute(0, 2, 3, 1).unsqueeze(-1)  # (B, H, W, C, 1)
            x = pixels.expand(*pixels.shape[:-1], self.repeats).flatten(3).permute(0, 3, 1, 2)
        if self.pads_by_size:
            x = self._padded(x)
        if x.device.type == "cpu" and _onednn_fuses():
            self._pack(x)
        if self._packed is None:
            found = functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
            return _ACTIVATIONS[self.activation](found if other is None else found + other)
        how = (self._packed, self.bias, self.padding, self.stride, self.dilation, self.groups)
        algorithm = _ALGORITHM.get(self.activation, "")
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *how, self.activation, [], algorithm)
        if other.shape != self._shape(x):  # a sum that repeats one of its parts is torch's own
            found = torch.ops.mkldnn._convolution_pointwise(x, *how, "none", [], "")
            return _ACTIVATIONS[self.activation](found + other)
        after = None if self.activation == "none" else self.activation
        other = _channels_last(other.to(self.dtype))
        if self.overwrites:
            torch.ops.mkldnn._convolution_pointwise_.binary(other, x, *how, "add", 1.0, after, [], algorithm)
            return other
        return torch.ops.mkldnn._convolution_pointwise.binary(x, other, *how, "add", 1.0, after, [], algorithm)

    def _pack(self, x: Tensor) -> None:
        """Bring the weights into the order that oneDNN wants for images of this size.

        In another one's order they would be correct, and up to a hundred times slower. They are never there twice.
        """
        size = tuple(x.shape[2:])
        if size == self._packed_for:
            return
        weight = self.weight if self._packed is None else self._packed.to_dense()
        plain = weight.contiguous(memory_format=torch.channels_last).to_mkldnn()
        self._packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
            plain, self.padding, self.stride, self.dilation, self.groups, list(x.shape)
        )
        self._packed_for, self.weight = size, None

    def _shape(self, x: Tensor) -> tuple[int, ...]:
        sizes = zip(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        return (x.shape[0], self.channels, *((n + 2 * pad - dil * (k - 1) - 1) // s + 1 for n, k, s, pad, dil in sizes))

    def _padded(self, x: Tensor) -> Tensor:
        pads = []
        for length, kernel, stride, dilation in zip(x.shape[2:], self.kernel, self.stride, self.dilation):
            missing = max((math.ceil(length / stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
            pads = [missing // 2, missing - missing // 2, *pads]
        return functional.pad(x, pads) if any(pads) else x


class FusedLinear(nn.Module):
    """activation(linear(x)), on CPUs with its weights in oneDNN's order."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str, precision: str) -> None:
        super().__init__()
        self.dtype, self.activation = _DTYPES[precision], activation
        self.weight = nn.Parameter(weight.detach().to(self.dtype, copy=True), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().to(self.dtype, copy=True), requires_grad=False)
        self._packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) -> (N, C')."""
        x = x.to(self.dtype)
        if self._packed is None and x.device.type == "cpu" and _onednn_fuses():
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, x.shape[0])
            self.weight = None  # not twice in memory
        if self._packed is None:
            return _ACTIVATIONS[self.activation](functional.linear(x, self.weight, self.bias))
        return torch.ops.mkldnn._linear_pointwise(
            x, self._packed, self.bias, self.activation, [], _ALGORITHM.get(self.activation, "")
        )


class GatedBlock(nn.Module):
    """MambaOut's block (timm's `GatedConvBlock`), which sees neighbours by one depthwise convolution only.

    All else is done for a few pixels at a time: their four to five times wider features then never leave the cache.
    Maps are (B, H, W, C).
    """

    def __init__(self, block: nn.Module, overwrites: bool, precision: str) -> None:
        super().__init__()
        gate, kept, seen = block.split_indices
        self._kept = kept
        weight, bias = block.fc1.weight, block.fc1.bias
        parts = (slice(0, gate), slice(gate, gate + kept), slice(gate + kept, gate + kept + seen))
        of_gate, of_kept, of_seen = ((weight[part], None if bias is None else bias[part]) for part in parts)
        self.norm = block.norm
        self.gate = FusedLinear(*of_gate, "gelu", precision)
        self.kept = FusedLinear(*of_kept, "none", precision)
        self.seen = FusedLinear(*of_seen, "none", precision)
        self.conv = FusedConvolution(block.conv).finish(precision)
        self.join = FusedLinear(block.fc2.weight, block.fc2.bias, "none", precision)
        self.overwrites = overwrites  # nobody else reads what it is given

    @staticmethod
    def takes(block: nn.Module) -> bool:
        """Whether this computes what a block does."""
        return (
            type(block).__name__ == "GatedConvBlock"
            and isinstance(block.norm, nn.LayerNorm)
            and isinstance(block.act, nn.Module)
            and activation_of(block.act) == "gelu"
            and isinstance(block.ls, nn.Identity)
            and FusedConvolution.takes(block.conv)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous()
        normed = self.norm(x)
        seen = self.seen(normed.flatten(0, 2)).view(*x.shape[:3], -1)
        seen = self.conv(seen.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        result = x if self.overwrites else torch.empty_like(x)
        whole = (tensor.flatten(0, 2).split(_PIXELS_AT_ONCE) for tensor in (x, normed, seen, result))
        for own, looked, around, into in zip(*whole, strict=True):
            wide = self.gate(looked)
            wide[:, : self._kept].mul_(self.kept(looked))
            wide[:, self._kept :].mul_(around)
            torch.add(own, self.join(wide), out=into)
        return result


def activation_of(layer: nn.Module) -> str | None:
    """oneDNN's name of an activation, "none" of an identity, None of what it has not."""
    if isinstance(layer, nn.Identity):
        return "none"
    if type(layer).__name__ == "GELU" and getattr(layer, "approximate", "none") != "none":
        return None
    return {"ReLU": "relu", "SiLU": "swish", "Sigmoid": "sigmoid", "GELU": "gelu"}.get(type(layer).__name__)


def times(x: Tensor, gate: Tensor) -> Tensor:
    """x * gate written into x, where that has room for it."""
    if x.dim() == gate.dim() and all(own in (1, length) for own, length in zip(gate.shape, x.shape)):
        return x.mul_(gate)
    return x * gate


def _channels_last(x: Tensor) -> Tensor:
    if x.shape[1] == 1:  # fits both layouts, and its strides must say which one is meant
        return x.squeeze(1).contiguous().unsqueeze(-1).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)


def _onednn_fuses() -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    )
