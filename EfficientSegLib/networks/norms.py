"""Instance normalisation in the form that is fastest for the work at hand; the mathematics stays the same.

On CPUs `InstanceNorm3d` is up to ten times slower in the channels-last layout than its equals: batch normalisation
without running statistics (for batches of one, forward and backward), and group normalisation with one group per
channel (any batch, forward only: its backward pass is slow in that layout). None of the three has parameters here, so
state dictionaries are interchangeable.
"""

from collections.abc import Callable

import torch
from torch import nn


def for_training(model: nn.Module) -> nn.Module:
    """Change `model` in place for batches of one sample; returns it."""
    return _swapped(
        model, lambda norm: nn.BatchNorm3d(norm.num_features, norm.eps, affine=False, track_running_stats=False)
    )


def for_inference(model: nn.Module) -> nn.Module:
    """Change `model` in place for any batch, without gradients, in evaluation mode; returns it."""
    swapped = _swapped(model, lambda norm: nn.GroupNorm(norm.num_features, norm.num_features, norm.eps, affine=False))
    return swapped.eval()


def _swapped(model: nn.Module, new: Callable[[nn.Module], nn.Module]) -> nn.Module:
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if _is_plain_instance_norm(child):
                setattr(parent, name, new(child))
    return model.to(memory_format=torch.channels_last_3d)


def _is_plain_instance_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.InstanceNorm3d) and not module.affine and not module.track_running_stats
