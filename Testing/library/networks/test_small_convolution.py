"""Convolutions over few voxels: the fast way gives what torch gives, forward and backward, where it is taken."""

import time

import pytest
import torch
from torch import nn

from EfficientSegLib import networks
from EfficientSegLib.networks.inference import for_training
from EfficientSegLib.networks.small_convolution import SmallConvolution

CHANNELS_LAST = torch.channels_last_3d
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fast(layer: nn.Conv3d) -> nn.Conv3d:
    copy = nn.Conv3d(
        layer.in_channels, layer.out_channels, layer.kernel_size, padding=layer.padding, bias=layer.bias is not None
    )
    copy.load_state_dict(layer.state_dict())
    assert SmallConvolution.fits(copy)
    copy.__class__ = SmallConvolution
    return copy


def passed(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Answer, and gradients of input, weight and bias for a drawn gradient of the answer."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


@needs_onednn
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(8, 8, 8), (7, 6, 9), (1, 16, 16), (16, 1, 16), (16, 16, 1), (3, 11, 8)])
@pytest.mark.parametrize("channels", [(5, 3), (16, 16), (1, 4)])
def test_it_is_torchs_convolution_and_its_gradients(channels, size, bias, kernel):
    torch.manual_seed(0)
    plain = nn.Conv3d(*channels, kernel, padding=kernel // 2, bias=bias)
    x = torch.randn(1, channels[0], *size)
    for layout in (torch.contiguous_format, CHANNELS_LAST):
        for found, expected in zip(passed(fast(plain), x.contiguous(memory_format=layout)), passed(plain, x)):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels, size", [((32, 16), (40, 40, 40)), ((1, 4), (30, 30, 30)), ((4, 1), (2, 3, 4))])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_kernel_of_1_is_a_linear_layer_over_any_number_of_voxels_and_gives_channels_last(channels, size, batch, bias):
    torch.manual_seed(0)
    plain = nn.Conv3d(*channels, 1, bias=bias)
    x = torch.randn(batch, channels[0], *size)
    for layout in (torch.contiguous_format, CHANNELS_LAST):
        found = passed(fast(plain), x.contiguous(memory_format=layout))
        assert found[0].is_contiguous(memory_format=CHANNELS_LAST)
        for one, expected in zip(found, passed(plain, x)):
            torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_under_autocast_a_kernel_of_1_is_as_exact_as_bfloat16_and_keeps_channels_last():
    """Of one input channel torch's convolution cannot tell which layout is meant."""
    torch.manual_seed(0)
    plain = nn.Conv3d(1, 16, 1, bias=False)
    x = torch.randn(1, 1, 24, 24, 24)
    with torch.autocast("cpu", torch.bfloat16):
        found = passed(fast(plain), x)
    assert found[0].dtype == torch.bfloat16 and found[0].is_contiguous(memory_format=CHANNELS_LAST)
    for one, expected in zip(found, passed(plain, x)):
        torch.testing.assert_close(one.float(), expected, rtol=0.05, atol=0.01 * float(expected.abs().max()))


@needs_onednn
def test_gradients_agree_with_finite_differences_direction_by_direction():
    torch.manual_seed(0)
    layer = fast(nn.Conv3d(2, 3, 3, padding=1))
    x, direction = torch.randn(1, 2, 7, 7, 7), torch.randn(3, 2, 3, 3, 3)
    layer(x).square().sum().backward()
    weight, step = layer.weight.detach().clone(), 1e-2
    ends = []
    for sign in (1, -1):
        layer.weight.data = weight + sign * step * direction
        ends.append(float(layer(x).square().sum().detach()))
    expected = float((layer.weight.grad * direction).sum())
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, rel=1e-2)


@needs_onednn
def test_it_is_several_times_faster_where_torch_unfolds():
    torch.manual_seed(0)
    plain = nn.Conv3d(16, 16, 3, padding=1)
    x = torch.randn(1, 16, 32, 32, 32).contiguous(memory_format=CHANNELS_LAST)
    seconds = []
    for layer in (plain, fast(plain)):
        passed(layer, x)
        times = []
        for _ in range(3):
            start = time.process_time()  # of this process alone, however busy the machine is
            passed(layer, x)
            times.append(time.process_time() - start)
        seconds.append(min(times))
    assert seconds[0] > 2 * seconds[1]  # measured: ten times


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(4, 4, 3, stride=2, padding=1),
        nn.Conv3d(4, 4, 3, padding=1, groups=4),
        nn.Conv3d(4, 4, 3, padding=2, dilation=2),
        nn.Conv3d(4, 4, 3),
        nn.Conv3d(4, 4, 5, padding=2),
        nn.Conv3d(4, 4, 3, padding="same"),
        nn.Conv3d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.ConvTranspose3d(4, 4, 1),
        nn.Conv2d(4, 4, 1),
    ],
)
def test_others_are_left_alone(layer):
    assert not SmallConvolution.fits(layer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_and_batches_take_torchs_way(dtype, monkeypatch):
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda *_: pytest.fail("asked for"))
    layer = fast(nn.Conv3d(4, 4, 3, padding=1))
    assert layer(torch.randn(2, 4, 8, 8, 8)).shape == (2, 4, 8, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, 4, 8, 8, 8)).dtype == torch.bfloat16
    assert layer.to(dtype)(torch.randn(1, 4, 8, 8, 8, dtype=dtype)).dtype == dtype


@needs_onednn
@pytest.mark.parametrize(
    "name, options, size",
    [
        (
            "stp_unetr",
            {"patch_size": [32] * 3, "prune_ratio": 0.5, "width": 12, "heads": 2, "feature_size": 2, "noise": False},
            (32, 32, 32),
        ),
        ("swin_smt", {"feature_size": 12, "heads": [1, 2, 4, 4], "experts": 2}, (32, 32, 64)),
        ("unet", {"channels": [4, 6, 6], "strides": [2, 2, 1]}, (16, 16, 16)),
    ],
)
def test_a_network_made_for_training_is_the_same_network(name, options, size):
    torch.manual_seed(0)
    plain = networks.build(name, options, 1, 3).train()
    made = networks.build(name, options, 1, 3)
    made.load_state_dict(plain.state_dict())
    made = for_training(made).train()
    assert any(isinstance(layer, SmallConvolution) for layer in made.modules())
    x = torch.randn(1, 1, *size)
    answers, gradients = [], []
    for model in (plain, made):
        y = model(x)
        (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
        answers.append(y.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(answers[1], answers[0], rtol=1e-3, atol=1e-3 * float(answers[0].abs().max()))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.999
    assert made.state_dict().keys() == plain.state_dict().keys()
