"""Laws that every registered network obeys."""

import io

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import GlobalLocalModel, PatchModel, SliceModel

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
SMALL = {
    "unet": UNET,
    "mednext": {"channels": 4, "expansion": [2, 2, 3, 2, 2], "blocks": [1, 1, 2, 1, 1]},
    "stp_unetr": {
        **{"patch_size": [32, 32, 48], "prune_ratio": 0.5, "width": 24, "depth": 5, "heads": 2},
        **{"prune_after": [1, 2, 3], "feature_size": 4},
    },
    "swin_unetr": {"feature_size": 12, "depths": [2, 1, 1, 1], "heads": [1, 2, 2, 2], "window": 3},
    "swin_smt": {"feature_size": 12, "depths": [1, 2, 1, 1], "heads": [1, 2, 2, 2], "window": 3, "experts": 3},
    "nmsw": {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]},
    "segmate": {"encoder": "light", "width": 0.25, "deep_supervision": True},
    "segmate_vanilla": {"encoder": "light"},
}
SHAPES = {  # batch and channels, or slices of a stack, first
    "stp_unetr": (1, 1, 32, 32, 48),
    "swin_unetr": (1, 1, 64, 32, 32),
    "swin_smt": (1, 1, 64, 32, 32),
    "segmate": (2, 3, 64, 96),
    "segmate_vanilla": (2, 1, 64, 96),
}


def image(name):
    return torch.randn(*SHAPES.get(name, (1, 1, 32, 16, 24)))


def build(name, num_outputs=3):
    torch.manual_seed(0)
    return networks.build(name, SMALL[name], 1, num_outputs)


def outputs(model, x):
    """All that the network can be asked for."""
    if isinstance(model, SliceModel):
        heads = model.heads(x, torch.linspace(0, 1, len(x)))
        return [each for each in (*heads[:3], *heads.deep) if each is not None]
    if isinstance(model, GlobalLocalModel):
        proposal = model.propose(model.shrink(x), tuple(x.shape[2:]))
        return [proposal.logits, proposal.scores, model.local(x[..., :16, :16, :16]), model.class_weights]
    return [model(x)]


def test_every_registered_network_is_tested_here():
    assert set(SMALL) == set(networks.NETWORKS)


@pytest.mark.parametrize("name", SMALL)
def test_it_reads_either_volumes_or_slices(name):
    model = build(name)
    assert isinstance(model, (PatchModel, GlobalLocalModel)) != isinstance(model, SliceModel)


@pytest.mark.parametrize("name", SMALL)
def test_it_maps_shapes_as_its_contract_says(name):
    model = build(name)
    x = image(name)
    if isinstance(model, GlobalLocalModel):
        logits, scores, patch, weights = outputs(model, x)
        assert logits.shape == (1, 3, 16, 8, 12)
        assert scores.shape == (3 * 1 * 2,)
        assert patch.shape == (1, 3, 16, 16, 16)
        assert weights.shape == (3,)
        assert model.num_labels == 3
        return
    assert not any(length % multiple for length, multiple in zip(x.shape[2:], model.size_multiple, strict=True))
    assert model(x).shape == (len(x), 3, *x.shape[2:])
    if isinstance(model, PatchModel):
        assert model.num_labels == 3
    else:
        assert model.num_outputs == 3 and model.slices == x.shape[1]
        mask, presence = model.with_presence(x, torch.linspace(0, 1, len(x)))
        assert mask.shape == model(x).shape and (presence is None or presence.shape == (len(x), 3))


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_receives_a_gradient(name):
    model = build(name)
    sum(output.square().sum() for output in outputs(model, image(name))).backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not silent


@pytest.mark.parametrize("name", SMALL)
def test_saved_and_loaded_weights_give_the_same_answer(name):
    model, other = build(name).eval(), networks.build(name, SMALL[name], 1, 3).eval()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    x = image(name)
    for first, second in zip(outputs(model, x), outputs(other, x), strict=True):
        assert torch.equal(first, second)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="Unknown network 'unnet'. Known: .*nmsw, .*unet"):
        networks.build("unnet", {}, 1, 2)
