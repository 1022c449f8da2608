"""What a network costs: parameters, and multiply-adds by two counters. Nothing is computed: shapes pass through.

For networks over volumes; `slice_cost` counts slice networks.

`macs` is the work that is really done in convolutions and matrix products, as torch's own counter sees it: a transposed
convolution is counted on its input, attention counts. `paper_macs` is the convention of the NMSW paper (the counter
"thop" 0.1.1), needed to compare with published numbers: a transposed convolution is counted on its *output* voxels (8
times too much for a stride of 2), matrix products outside layers, such as attention's, are left out, and of the norms
and activations some are counted: two operations per value for instance, layer and batch normalisation, four where they
have weights, none for group normalisation; one for PReLU, three for softmax.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from EfficientSegLib.evaluation.profile_cost import count_as_torchprofile
from EfficientSegLib.geometry import Index, patch_grid

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Cost:
    """Of one pass, or of several."""

    parameters: int
    macs: int  # multiply-adds really done
    paper_macs: int  # the same as the method's paper counts them

    def __add__(self, other: "Cost") -> "Cost":
        """Both networks, both passes."""
        return Cost(self.parameters + other.parameters, self.macs + other.macs, self.paper_macs + other.paper_macs)

    def times(self, passes: int) -> "Cost":
        """The same network, several passes."""
        return Cost(self.parameters, self.macs * passes, self.paper_macs * passes)


def count(model: nn.Module, shape: Index, in_channels: int = 1) -> Cost:
    """Cost of one pass of a `PatchModel` over a patch of `shape` voxels, a batch of one.

    The model is not changed, and may lie on any device; it should be the plain network, not one that was changed by
    `networks.inference`, where group normalisation hides from the paper's counter.
    """
    ghost = without_values(model).eval()
    profiled = getattr(model, "paper_counter", "thop") == "torchprofile"
    counted = [] if profiled else _count_as_the_paper(ghost)
    patch = torch.empty(1, in_channels, *shape, device="meta")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        if profiled:
            counted.append(count_as_torchprofile(lambda: ghost(patch)))
        else:
            ghost(patch)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters, counter.get_total_flops() // 2, sum(counted))


def count_sliding_window(
    model: nn.Module, shape: Index, patch_size: Index, overlap: float, in_channels: int = 1
) -> Cost:
    """Cost of reading every patch of a volume of `shape` voxels, each at least the patch's."""
    return count(model, patch_size, in_channels).times(len(patch_grid(shape, patch_size, overlap)))


def count_nmsw(model: nn.Module, shape: Index, patches: int | None, in_channels: int = 1) -> Cost:
    """Cost of NMSW: one global pass over a volume of `shape` voxels, and the local network on `patches` patches.

    Args:
        model: an NMSW network; its score head (819 parameters, one value per patch) is left out as in the paper.
        shape: voxels of the full grid; padded up to the network's multiples.
        patches: None is all of the grid.
    """
    padded = [-(-max(n, p) // m) * m for n, p, m in zip(shape, model.patch_size, model.size_multiple)]
    low = tuple(length // factor for length, factor in zip(padded, model.downsampling))
    grid = patch_grid(tuple(max(n, p) for n, p in zip(shape, model.patch_size)), model.patch_size, model.overlap)
    reads = len(grid) if patches is None else patches
    return count(model.global_network, low, in_channels) + count(
        model.local_network, model.patch_size, in_channels
    ).times(reads)


def without_values(model: nn.Module) -> nn.Module:
    """A copy whose tensors have shapes only; the weights are never copied."""
    memo = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo)


def _count_as_the_paper(model: nn.Module) -> list[int]:
    """A list that grows by one number for each layer that is passed."""
    counted: list[int] = []

    def passed(layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        counted.append(_paper_operations(layer, given[0], result))

    for layer in model.modules():
        if not list(layer.children()):
            layer.register_forward_hook(passed)
    return counted


def _paper_operations(layer: nn.Module, given: Tensor, result: Tensor) -> int:
    if isinstance(layer, _CONVOLUTIONS):
        return result.numel() * (layer.in_channels // layer.groups) * layer.weight[0, 0].numel()
    if isinstance(layer, nn.Linear):
        return result.numel() * layer.in_features
    if isinstance(layer, _NORMS):
        has_weights = getattr(layer, "affine", False) or getattr(layer, "elementwise_affine", False)
        return given.numel() * (4 if has_weights else 2)
    if isinstance(layer, nn.PReLU):
        return given.numel()
    if isinstance(layer, nn.Softmax):
        return 3 * given.numel() - given.numel() // given.shape[layer.dim]
    return 0
