"""What a slice network costs: parameters, and multiply-adds by two counters. Nothing is computed: shapes pass through.

`macs` is the work in convolutions and matrix products, as torch's own counter sees it. `paper_macs` is the convention
of the SegMate paper (the counter "fvcore"), needed to compare with published numbers: beside that work, per value, two
operations for a batch normalisation and five for a layer normalisation, four for a bilinear enlargement, one for an
average over a whole map. Activations, gates, sums and maxima are left out.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from EfficientSegLib.evaluation.cost import Cost, without_values
from EfficientSegLib.networks import SliceModel

_PER_VALUE_READ = {functional.batch_norm: 2, functional.layer_norm: 5, functional.adaptive_avg_pool2d: 1}
_PER_VALUE_MADE = {functional.interpolate: 4}


def count_slice(model: SliceModel, size: tuple[int, int], reads: Literal["mask", "heads"] = "heads") -> Cost:
    """Cost of labelling one slice of `size` pixels (height, width: multiples of the network's).

    Args:
        model: the plain network, on any device, not changed by `networks.inference`; it is left as it is.
        size: height and width.
        reads: "heads" counts every head, as published; "mask" what inference computes.
    """
    ghost = without_values(model).eval()
    call = ghost.heads if reads == "heads" else ghost
    return _count(ghost, lambda: call(*_ghostly(model.slices, size)))


def count_fusion(model: SliceModel, size: tuple[int, int]) -> Cost:
    """The part of `count_slice` that joins neighbouring slices; published numbers of SegMate leave it out."""
    ghost = without_values(getattr(model, "fusion", nn.Identity())).eval()
    return _count(ghost, lambda: ghost(_ghostly(model.slices, size)[0]))


def count_slice_volume(model: SliceModel, shape: tuple[int, int, int]) -> Cost:
    """Cost of the masks of all slices of a volume (I, J, K), each padded up to the network's multiples, read once."""
    height, width = (-(-length // multiple) * multiple for length, multiple in zip(shape[:2], model.size_multiple))
    return count_slice(model, (height, width), "mask").times(shape[2])


def _ghostly(slices: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    return torch.empty(1, slices, *size, device="meta"), torch.empty(1, device="meta")


def _count(network: nn.Module, run) -> Cost:
    with FlopCounterMode(display=False) as counter, _Beside() as beside, torch.inference_mode():
        run()
    macs = counter.get_total_flops() // 2
    return Cost(sum(parameter.numel() for parameter in network.parameters()), macs, macs + beside.operations)


class _Beside(TorchFunctionMode):
    """Counts what the paper counts beside convolutions and matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_function__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if function in _PER_VALUE_READ:
            self.operations += _PER_VALUE_READ[function] * arguments[0].numel()
        elif function in _PER_VALUE_MADE:
            self.operations += _PER_VALUE_MADE[function] * result.numel()
        return result
