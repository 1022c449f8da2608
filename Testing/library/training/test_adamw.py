"""The optimiser: the fused kernel of CPUs gives what torch's own loop gives, in whatever order memory is."""

import io

import pytest
import torch
from torch import nn

from EfficientSegLib.training.adamw import adamw, load_state

CPU, CHANNELS_LAST = torch.device("cpu"), torch.channels_last_3d
OPTIONS = {"lr": 1e-2, "betas": (0.8, 0.9), "weight_decay": 0.1}


def network() -> nn.Module:
    """Its larger weights are channels last, as those of a network made for training."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(3, 5, 3), nn.Conv3d(5, 1, 1), nn.Linear(7, 3))
    model[0].weight.data = model[0].weight.data.clone(memory_format=CHANNELS_LAST)
    return model


def fused(model: nn.Module) -> torch.optim.AdamW:
    return adamw(list(model.parameters()), CPU, **OPTIONS)


def plain(model: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), **OPTIONS)


def train(model: nn.Module, optimiser: torch.optim.Optimizer, steps: range, layout=torch.preserve_format) -> None:
    """With drawn gradients, the same for a step whoever takes it."""
    for step in steps:
        draw = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            gradient = torch.randn(parameter.shape, generator=draw)
            parameter.grad = gradient.clone(memory_format=layout if gradient.dim() == 5 else torch.preserve_format)
        optimiser.step()


def stored(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_equal(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize("layout", [torch.contiguous_format, CHANNELS_LAST])
def test_it_is_torchs_loop_whatever_the_layout_of_the_gradients(layout):
    ours, theirs = network(), network()
    train(ours, fused(ours), range(4), layout)
    train(theirs, plain(theirs), range(4))
    assert_equal(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_training_goes_on_bit_for_bit_from_a_checkpoint():
    whole, first, second = network(), network(), network()
    train(whole, fused(whole), range(5))
    optimiser = fused(first)
    train(first, optimiser, range(2))
    second.load_state_dict(first.state_dict())
    resumed = fused(second)
    load_state(resumed, stored(optimiser.state_dict()))
    train(second, resumed, range(2, 5))
    assert_equal(second, whole, rtol=0, atol=0)


@pytest.mark.parametrize("contiguous", [True, False])
def test_checkpoints_of_other_kernels_and_layouts_are_gone_on_from(contiguous):
    """Of older trainings, and of those on a GPU; and the other way round."""
    model, expected = network(), network()
    train(expected, plain(expected), range(5))
    other = plain(model)
    train(model, other, range(2))
    state = stored(other.state_dict())
    if contiguous:
        for moments in state["state"].values():
            moments.update({name: values.contiguous() for name, values in moments.items()})
    ours = fused(model)
    load_state(ours, state)
    train(model, ours, range(2, 4))
    back = plain(model)
    load_state(back, stored(ours.state_dict()))
    assert not back.param_groups[0]["fused"]
    train(model, back, range(4, 5))
    assert_equal(model, expected, rtol=1e-5, atol=1e-6)


def test_without_a_fused_kernel_for_cpus_and_on_other_devices_it_is_torchs_own_choice(monkeypatch):
    model = network()
    assert fused(model).defaults["fused"]
    assert not adamw(list(model.parameters()), torch.device("cuda"), **OPTIONS).defaults["fused"]

    def refused(*given, fused=None, _torchs=torch.optim.AdamW, **options):
        if fused:
            raise RuntimeError("`fused=True` requires all the params to be floating point Tensors of ['cuda']")
        return _torchs(*given, **options)

    monkeypatch.setattr(torch.optim, "AdamW", refused)
    optimiser = fused(model)
    assert not optimiser.defaults["fused"]
    train(model, optimiser, range(1))
