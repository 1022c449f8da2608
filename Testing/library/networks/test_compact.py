"""Packed weights: half the bytes, nearly the same network."""

import io

import torch

from EfficientSegLib import networks
from EfficientSegLib.networks.compact import halved, pack, unpack

UNET = {"channels": [32, 64, 64], "strides": [2, 2, 1]}


def size(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.tell()


def test_a_packed_network_is_half_as_large_and_answers_nearly_the_same():
    torch.manual_seed(0)
    model = networks.build("unet", UNET, 1, 3).eval()
    half = {name: tensor.half() for name, tensor in model.state_dict().items()}
    packed = pack(model.state_dict())
    assert size(packed) < 0.56 * size(half)
    other = networks.build("unet", UNET, 1, 3).eval()
    other.load_state_dict(unpack(packed), strict=True)
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.inference_mode():
        expected, found = model(x), other(x)
    assert float((expected - found).abs().mean()) < 0.03 * float(expected.std())


def test_the_error_stays_below_half_a_step_of_each_row():
    weights = torch.randn(64, 32, 3, 3, 3) * torch.logspace(-3, 2, 64)[:, None, None, None, None]
    error = (unpack(pack({"w": weights}))["w"] - weights).abs().flatten(1).amax(1)
    assert (error <= weights.abs().flatten(1).amax(1) / 254 * 1.001).all()


def test_what_is_small_or_no_fraction_keeps_its_numbers_and_plain_states_pass():
    state = {"bias": torch.tensor([0.5, -2.0]), "count": torch.tensor(7)}
    packed = pack(state)
    assert torch.equal(unpack(packed)["bias"].float(), state["bias"]) and packed["count"] == 7
    assert all(torch.equal(unpack(state)[name], state[name]) for name in state)


def test_an_empty_channel_stays_empty():
    weights = torch.zeros(128, 256)
    weights[1:] = 1
    assert torch.equal(unpack(pack({"w": weights}))["w"], weights)


def test_running_statistics_keep_every_digit():
    norm = torch.nn.BatchNorm2d(2)
    norm.running_var.copy_(torch.tensor([3e-6, 1e6]))  # half precision makes 2.98e-6 and infinity of them
    for stored in (halved(norm.state_dict()), unpack(pack(norm.state_dict()))):
        assert torch.equal(stored["running_var"], norm.running_var)
        assert stored["weight"].dtype == torch.float16
