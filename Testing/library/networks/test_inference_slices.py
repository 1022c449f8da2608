"""Slice networks in their fast form answer as they did, with every encoder, after something like training."""

import copy

import pytest
import timm_here
import torch
from torch import nn

from EfficientSegLib import devices, networks
from EfficientSegLib.networks.encoders import ENCODERS
from EfficientSegLib.networks.fused import FusedConvolution, GatedBlock
from EfficientSegLib.networks.inference import for_inference

needs_bf16 = pytest.mark.skipif(
    devices.why_no_bfloat16("cpu") is not None, reason="this processor calculates bfloat16 by imitation only"
)


@pytest.fixture(scope="module", params=sorted(ENCODERS))
def trained(request):
    """SegMate whose norms have seen images, with weights and scales unlike their first values; in evaluation mode."""
    if request.param != "light" and timm_here.why_not():
        pytest.skip(timm_here.why_not())
    torch.manual_seed(0)
    return as_trained(networks.build("segmate", {"encoder": request.param}, 1, 4))


def as_trained(model):
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5, generator=draws)
                layer.bias.normal_(0, 0.2, generator=draws)
                layer.momentum = 0.5
            if isinstance(getattr(layer, "gamma", None), nn.Parameter):  # timm's layer scale begins near nothing
                layer.gamma.uniform_(0.1, 0.5, generator=draws)
        model.train()
        for _ in range(2):
            model(torch.rand(2, model.slices, 64, 64, generator=draws) ** 2)
        model.mask_head.weight.mul_(5)
    return model.eval()


def given(batch, height=64, width=96):
    draws = torch.Generator().manual_seed(batch)
    return torch.rand(batch, 3, height, width, generator=draws), torch.rand(batch, generator=draws)


def check(fast, plain, *x):
    with torch.inference_mode():
        for expected, found in zip(
            (plain(*x), *plain.with_presence(*x)), (fast(*x), *fast.with_presence(*x)), strict=True
        ):
            assert found.dtype == torch.float32 and float(expected.std()) > 0.05
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=3e-5 * max(1.0, float(expected.abs().max())))


def test_every_encoder_answers_as_before_for_other_sizes_batches_and_positions(trained):
    fast = for_inference(copy.deepcopy(trained))
    for batch in (1, 4, 2):
        check(fast, trained, *given(batch))
    check(fast, trained, given(3)[0], torch.tensor([-0.2, 0.0, 1.7]))
    check(fast, trained, given(1)[0], None)
    check(fast, trained, *given(1, 96, 32))


def test_nothing_is_left_beside_the_convolutions_that_could_be_in_them(trained):
    fast = for_inference(copy.deepcopy(trained))
    own = [layer for part in (fast.fusion, fast.encoder, fast.decoder.main) for layer in part.modules()]
    assert sum(isinstance(layer, (FusedConvolution, GatedBlock)) for layer in own) > 30
    # CBAM's channel gate asks the same two convolutions twice.
    assert sum(isinstance(layer, nn.Conv2d) for layer in own) <= 8
    assert not any(isinstance(layer, (nn.BatchNorm2d, nn.SiLU, nn.Dropout, nn.Dropout2d)) for layer in own)


@needs_bf16
def test_bfloat16_decides_nearly_every_pixel_alike_and_repeats_itself(trained):
    fast, x = for_inference(copy.deepcopy(trained), "bf16"), given(2)
    with torch.inference_mode():
        expected, found = trained(*x), fast(*x)
        assert torch.equal(found, fast(*x)) and found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert float((found - expected).abs().mean()) < 0.02 * float(expected.abs().mean())
    assert float(((found > 0) == (expected > 0)).float().mean()) > 0.99


def test_without_onednn_the_answers_are_the_same(monkeypatch):
    monkeypatch.setattr("EfficientSegLib.networks.fused._onednn_fuses", lambda: False)
    torch.manual_seed(0)
    plain = as_trained(networks.build("segmate", {"encoder": "light", "width": 0.25}, 1, 2))
    check(for_inference(copy.deepcopy(plain)), plain, *given(2))


def test_training_needs_no_gradients_here_and_the_plain_network_keeps_its_own():
    plain = networks.build("segmate", {"encoder": "light", "width": 0.25}, 1, 2)
    fast = for_inference(copy.deepcopy(plain))
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert all(parameter.requires_grad for parameter in plain.parameters())
    assert next(fast.parameters()).device.type == "cpu"  # callers ask the parameters for the device
