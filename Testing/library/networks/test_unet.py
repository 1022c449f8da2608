"""The published numbers of the U-Net (spec section 9): they need no data."""

import pytest
import torch
from torch import nn

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Pure multiply-adds of all convolutions; a transposed one is counted on its input. Nothing is computed."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        side = inputs[0] if isinstance(module, nn.ConvTranspose3d) else output
        total += side[0, 0].numel() * module.weight.numel()

    for module in model.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            module.register_forward_hook(count)
    model.to("meta")(torch.empty(shape, device="meta"))
    return total


@pytest.mark.parametrize("num_labels, published_millions", [(20, 26.5379), (17, 26.5297)])
def test_parameters_are_the_published_ones(num_labels, published_millions):
    model = networks.build("unet", {}, 1, num_labels)
    assert round(parameters(model) / 1e6, 4) == published_millions


def test_encoder_and_decoder_share_the_parameters_as_published():
    model = networks.build("unet", {}, 1, 20)
    assert round(parameters(model.encoder) / 1e6, 3) == 17.395
    assert round(parameters(model.decoder) / 1e6, 3) == 9.143


@pytest.mark.parametrize("size, num_labels, giga", [(128, 20, 73.12), (160, 20, 142.82)])
def test_multiply_adds_are_the_published_ones(size, num_labels, giga):
    model = networks.build("unet", {}, 1, num_labels)
    assert round(multiply_adds(model, (1, 1, size, size, size)) / 1e9, 2) == giga


def test_features_are_those_before_the_last_stage():
    model = networks.build("unet", {"channels": [4, 8, 8], "strides": [2, 2, 1]}, 1, 3)
    features, logits = model.features_and_logits(torch.zeros(1, 1, 16, 8, 12))
    assert features.shape == (1, 4, 8, 4, 6)
    assert logits.shape == (1, 3, 16, 8, 12)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"channels": [4, 8]}, "2 channels and 6 strides"),
        ({"channels": [4, 8], "strides": [2, 1]}, "three or more levels"),
        ({"channels": [4, 8, 8], "strides": [2, 2, 2]}, "end with 1"),
        ({"channels": [4, 0, 8], "strides": [2, 2, 1]}, "positive"),
    ],
)
def test_impossible_widths_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        networks.build("unet", options, 1, 2)
