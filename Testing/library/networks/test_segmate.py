"""SegMate on its light encoder: what it says, what it refuses, and the steps of its ablation."""

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError, VolumeError

SMALL = {"encoder": "light", "width": 0.25}
OFF = {"slices": 1, "position": False, "cbam": False, "nested": False, "squeeze": False}
STEPS = {
    "asymmetric decoder": OFF,
    "with its nested way": {**OFF, "nested": True},
    "and CBAM": {**OFF, "nested": True, "cbam": True},
    "and SE": {**OFF, "nested": True, "cbam": True, "squeeze": True},
    "and neighbours": {"position": False},
    "and position": {},
    "and deep supervision": {"deep_supervision": True},
}


def build(options=None, num_outputs=3):
    torch.manual_seed(0)
    return networks.build("segmate", {**SMALL, **(options or {})}, 1, num_outputs)


def stack(batch=2, slices=3, height=64, width=96):
    return torch.randn(batch, slices, height, width, generator=torch.Generator().manual_seed(1))


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("step", STEPS)
def test_every_step_of_the_ablation_trains_and_maps_shapes_as_its_contract_says(step):
    model = build(STEPS[step])
    x = stack(slices=model.slices)
    heads = model.heads(x, torch.tensor([0.2, 0.7]))
    assert heads.mask.shape == heads.boundary.shape == (2, 3, 64, 96)
    assert heads.presence.shape == (2, 3)
    assert [level.shape for level in heads.deep] == [(2, 3, 64, 96)] * (3 if "deep" in step else 0)
    sum(each.square().sum() for each in (heads.mask, heads.boundary, heads.presence, *heads.deep)).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_the_steps_add_parameters_one_after_the_other_and_no_two_are_alike():
    counts = [parameters(build(options)) for options in STEPS.values()]
    assert counts == sorted(set(counts))


def test_the_three_ways_to_ask_say_the_same():
    model, x, z = build({"deep_supervision": True}).eval(), stack(), torch.tensor([0.1, 0.9])
    with torch.inference_mode():
        mask, (again, presence), heads = model(x, z), model.with_presence(x, z), model.heads(x, z)
    assert torch.equal(mask, again) and torch.equal(mask, heads.mask) and torch.equal(presence, heads.presence)


def test_a_label_map_does_not_need_the_boundary_head():
    model, read = build().eval(), []
    model.boundary_head.register_forward_hook(lambda *_: read.append("boundary"))
    model.presence_head.register_forward_hook(lambda *_: read.append("presence"))
    with torch.inference_mode():
        model(stack())
        assert read == []
        model.with_presence(stack())
    assert read == ["presence"]


def test_no_position_is_a_network_without_it():
    with_position, without = build().eval(), build({"position": False}).eval()
    state = with_position.state_dict()
    without.load_state_dict({name: value for name, value in state.items() if not name.startswith("decoder.position")})
    x = stack()
    with torch.inference_mode():
        expected = without(x)
        assert torch.equal(with_position(x), expected)
        assert torch.equal(without(x, torch.tensor([0.3, 0.4])), expected)
        assert not torch.equal(with_position(x, torch.tensor([0.3, 0.4])), expected)


def test_a_slice_is_labelled_alike_whatever_shares_its_batch():
    model, x, z = build().eval(), stack(batch=4), torch.tensor([0.0, 0.3, 0.6, 1.0])
    with torch.inference_mode():
        together = model(x, z)
        alone = torch.cat([model(x[i : i + 1], z[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_masks_are_enlarged_from_corner_to_corner():
    """The mask at the corners is the head's own value there."""
    model, seen = build().eval(), []
    model.mask_head.register_forward_hook(lambda head, given, result: seen.append(result))
    with torch.inference_mode():
        mask = model(stack())
    (own,) = seen
    assert own.shape[2:] == (16, 24)
    torch.testing.assert_close(mask[..., ::63, ::95], own[..., ::15, ::23])


@pytest.mark.parametrize("size", [(50, 64), (64, 33), (0, 32)])
def test_a_size_that_is_no_multiple_of_32_is_refused_in_words(size):
    with pytest.raises(VolumeError, match=f"{size[0]} × {size[1]} pixels.*multiples of 32.*Pad"):
        build()(torch.randn(1, 3, *size))


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 5, 32, 32), (3, 32, 32)])
def test_a_stack_of_another_number_of_slices_is_refused_in_words(shape):
    with pytest.raises(VolumeError, match="reads 3 neighbouring slices"):
        build()(torch.randn(*shape))


@pytest.mark.parametrize("shape", [(2, 1), (3,), ()])
def test_positions_that_are_not_one_per_slice_are_refused_in_words(shape):
    with pytest.raises(VolumeError, match="positions of 2 slices have shape"):
        build()(stack(), torch.zeros(shape))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"encoder": "resnet"}, "Unknown encoder 'resnet'"),
        ({"slices": 2}, "slices is 2.*odd number"),
        ({"slices": -1}, "slices is -1"),
        ({"width": 0.0}, "width is 0.0"),
        ({"width": 9.0}, "width is 9.0"),
        ({"depth": 3}, "Unknown option 'depth'"),
    ],
)
def test_options_that_make_no_network_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        build(options)


@pytest.mark.parametrize("name", ["segmate", "segmate_vanilla"])
def test_volumes_of_several_channels_are_refused(name):
    with pytest.raises(OptionError, match="2 channels.*one channel"):
        networks.build(name, {"encoder": "light"}, 2, 3)


def test_a_demo_sized_network_has_less_than_three_million_parameters():
    assert parameters(networks.build("segmate", {"encoder": "light", "width": 0.5}, 1, 9)) < 3_000_000
