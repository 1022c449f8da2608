"""The fast forms of instance normalisation compute what it computes."""

import pytest
import torch
from torch import nn

from EfficientSegLib import networks
from EfficientSegLib.networks import norms


def unet():
    torch.manual_seed(0)
    return networks.build("unet", {"channels": [4, 6, 6], "strides": [2, 2, 1]}, 1, 3)


@pytest.mark.parametrize("swap, batch", [(norms.for_training, 1), (norms.for_inference, 1), (norms.for_inference, 3)])
def test_the_swapped_network_gives_the_same_logits(swap, batch):
    plain, swapped = unet(), swap(unet())
    swapped.load_state_dict(plain.state_dict())
    image = torch.randn(batch, 1, 16, 16, 12)
    torch.testing.assert_close(swapped(image), plain(image), rtol=1e-4, atol=1e-4)


def test_the_training_form_gives_the_same_gradients():
    plain, swapped = unet(), norms.for_training(unet())
    image = torch.randn(1, 1, 16, 16, 12)
    for model in (plain, swapped):
        model(image).square().mean().backward()
    for one, other in zip(plain.parameters(), swapped.parameters()):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_no_instance_norm_is_left_and_none_with_parameters_is_touched():
    assert not any(isinstance(module, nn.InstanceNorm3d) for module in norms.for_training(unet()).modules())
    own = nn.Sequential(nn.InstanceNorm3d(4, affine=True), nn.InstanceNorm3d(4, track_running_stats=True))
    kept = norms.for_inference(own)
    assert all(isinstance(module, nn.InstanceNorm3d) for module in kept)
