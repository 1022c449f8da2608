"""How a training calculates: float32, or mixed with 16 bits where the device is fast at it.

bf16 keeps the range of float32 and needs nothing else. GPUs without it (before NVIDIA's Ampere) use fp16, whose small
range is met by scaling the loss.
"""

import logging
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
LOWEST_SCALE = 1.0  # of the loss in fp16; where gradients overflow even so, they are not too large but broken
AMPERE = (8, 0)  # compute capability of the first NVIDIA GPUs with bf16


class Precision:
    """Type of the fast operations and scale of the loss, for one training on one device."""

    def __init__(self, device: torch.device, dtype: torch.dtype | None) -> None:
        """`dtype`: float32 operations are done in it where that is safe; None: all stay in float32."""
        self.device, self.dtype = device, dtype
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)

    @classmethod
    def choose(cls, name: str, device: torch.device) -> "Precision":
        """For "fp32" or "bf16"; the latter is fp16 on a GPU that has no bf16."""
        if name == "fp32":
            return cls(device, None)
        if device.type == "cuda" and torch.cuda.get_device_capability(device) < AMPERE:
            log.info("This GPU has no bfloat16; training in float16 with a scaled loss.")
            return cls(device, torch.float16)
        return cls(device, torch.bfloat16)

    def autocast(self) -> AbstractContextManager:
        """What the forward pass runs in."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)

    def skips_a_step(self) -> bool:
        """Whether gradients that overflow are no fault: the scaler leaves out this step and lowers its scale."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > LOWEST_SCALE


def guarded(model: nn.Module, precision: Precision) -> nn.Module:
    """Let convolutions that are wrong in bf16 on CPUs, or slow, calculate in float32; changes and returns `model`.

    See `is_faulty` and `is_slow`.
    """
    if precision.device.type == "cpu" and precision.dtype == torch.bfloat16:
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                module.forward = _Guard(module)
    return model


class _Guard:
    """A convolution that looks at the size of what it is given."""

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d) -> None:
        self._convolution, self._plain = convolution, convolution.forward
        self._told = False

    def __call__(self, x: Tensor) -> Tensor:
        size = tuple(x.shape[2:])
        faulty = is_faulty(self._convolution, size)
        if not faulty and not is_slow(self._convolution, size):
            return self._plain(x)
        if faulty and not self._told:
            self._told = True
            said = " x ".join(str(length) for length in size)
            log.info("A level of the network is only %s large; it is trained in float32.", said)
        with torch.autocast("cpu", enabled=False):
            return self._plain(x.float())


def is_faulty(convolution: nn.Conv2d | nn.Conv3d, size: tuple[int, ...]) -> bool:
    """Whether oneDNN calculates a convolution over (I, J, K) voxels, or (H, W) pixels, wrongly in bf16.

    Measured with torch 2.13 on a CPU with AVX512-BF16, kernels of 3 with padding 1, plain and depthwise, 1 to 320
    channels, every size from 1 x 1 x 1 to 4 x 4 x 4 and a choice up to 12 x 16 x 8, against float32: weight gradients
    are garbage (or not finite, or the process dies) where the first axis is 2 long, whatever the others are, and where
    a convolution with a stride meets a second or third axis of 1; with one input channel even the forward pass is
    wrong where the first axis is 1 long. All else agreed to the precision of bf16, transposed convolutions everywhere.

    In two dimensions only one of these is left: a stride that meets a last axis of 1. Measured there in both layouts
    with batches of 1 to 32, 1 to 336 channels, kernels of 1, 3 and 7, dilations up to 18, strides of 1 and 2, plain,
    depthwise and transposed, sizes from 1 x 1 to 4 x 4 and a choice up to 16 x 16.
    """
    if max(convolution.kernel_size) == 1:
        return False
    if len(size) == 2:
        return max(convolution.stride) > 1 and size[1] == 1
    return size[0] <= 2 or (max(convolution.stride) > 1 and 1 in size[1:])


def is_slow(convolution: nn.Conv2d | nn.Conv3d, size: tuple[int, ...]) -> bool:
    """Whether a depthwise convolution over (H, W) pixels takes longer in bf16 than in float32 on a CPU.

    Measured with torch 2.13 on a CPU with AVX512-BF16, forward and backward, batches of 32: with a stride of 2 bf16
    takes 13 to 70 times as long (sides of 4 to 32); without one four times as long at a side of 2, and less time from a
    side of 8 on.
    """
    if len(size) != 2 or not 1 < convolution.groups == convolution.in_channels:
        return False
    return max(convolution.stride) > 1 or max(size) <= 2
