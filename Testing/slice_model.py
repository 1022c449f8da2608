"""A small network of slices with every part of the contract `SliceModel`, for tests."""

import torch
from torch import nn
from torch.nn import functional


class TinySlices(nn.Module):
    """Two convolutions on half the resolution; what it says depends on the neighbours and on the position.

    Args:
        labels: sigmoid channels.
        slices: of a stack.
        presence: whether it has a head that tells which labels are in the slice.
    """

    size_multiple = (8, 4)

    def __init__(self, labels=2, slices=3, presence=True):
        super().__init__()
        self.num_outputs, self.slices = labels, slices
        self.first = nn.Conv2d(slices, 6, 3, padding=1)
        self.last = nn.Conv2d(6, labels, 3, padding=1)
        self.shift = nn.Linear(1, labels)
        self.present = nn.Linear(6, labels) if presence else None

    def forward(self, stack, position=None):
        return self.with_presence(stack, position)[0]

    def with_presence(self, stack, position=None):
        assert stack.shape[1] == self.slices and not any(
            side % multiple for side, multiple in zip(stack.shape[2:], self.size_multiple)
        )
        features = functional.avg_pool2d(functional.relu(self.first(stack)), 2)
        logits = functional.interpolate(self.last(features), scale_factor=2, mode="bilinear", align_corners=False)
        if position is not None:
            logits = logits + self.shift(position[:, None])[:, :, None, None]
        return logits, None if self.present is None else self.present(features.mean((2, 3)))

    def heads(self, stack, position=None):
        raise NotImplementedError  # training only


def tiny(labels=2, slices=3, presence=True, seed=0):
    """The network with fixed random weights, ready for inference."""
    torch.manual_seed(seed)
    model = TinySlices(labels, slices, presence).eval()
    for parameter in model.parameters():
        parameter.data *= 3  # logits on both sides of 0
    return model
