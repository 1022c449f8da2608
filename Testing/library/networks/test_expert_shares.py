"""Expert shares are the dispatch table's sums, and the table is never made."""

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import expert_shares
from EfficientSegLib.networks.expert_shares import dispatch_shares, mixtures, shares_of_patch, token_size
from EfficientSegLib.networks.inference import for_inference
from EfficientSegLib.networks.soft_moe import SoftMoE

SMALL = {"feature_size": 12, "depths": [1, 2, 1, 1], "heads": [1, 2, 2, 2], "window": 3, "experts": 3}
SHAPE = (64, 32, 32)


def build(**options):
    torch.manual_seed(0)
    return networks.build("swin_smt", {**SMALL, **options}, 1, 3).eval()


def patch(batch=1):
    return torch.randn(batch, 1, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("strip", [1, 50, 1 << 24])
@pytest.mark.parametrize("count, experts", [(64, 4), (61, 4), (5, 8)])
def test_they_are_the_sums_of_the_table_whatever_the_width_of_the_strips(monkeypatch, strip, count, experts):
    monkeypatch.setattr(expert_shares, "STRIP", strip)
    torch.manual_seed(0)
    moe = SoftMoE(12, experts).double()
    tokens = moe.tokens(torch.randn(2, count, 12).double())
    slots = moe.slots(tokens)
    table = (tokens @ slots.mT).softmax(1)
    expected = table.unflatten(2, (experts, -1)).sum(3).mT
    torch.testing.assert_close(dispatch_shares(tokens, slots, experts), expected)


@pytest.mark.parametrize("stage, block, slots", [(2, 1, 342), (2, 2, 342), (3, 1, 43), (4, 1, 6)])
def test_of_each_expert_they_add_to_the_number_of_its_slots(stage, block, slots):
    model = build()
    with torch.inference_mode():
        shares = shares_of_patch(model, mixtures(model)[stage, block], patch(2))
    assert shares.shape == (2, 3, *(n // token_size(stage) for n in SHAPE))
    torch.testing.assert_close(shares.sum((2, 3, 4)), torch.full((2, 3), float(slots)))
    assert float(shares.std()) > 0


def test_they_are_those_of_a_whole_pass_and_leave_the_network_as_it_was():
    model, seen = build(), []
    mixture = mixtures(model)[3, 1]
    with torch.inference_mode():
        before = model(patch())
        shares = shares_of_patch(model, mixture, patch())
        assert torch.equal(model(patch()), before)
        mixture.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        model(patch())
        tokens = mixture.tokens(seen[0])
        expected = dispatch_shares(tokens, mixture.slots(tokens), 3)
    assert torch.equal(shares.flatten(2), expected)


def test_what_follows_the_layer_is_not_computed():
    model, passed = build(), []
    for name, layer in model.named_modules():
        layer.register_forward_hook(lambda *_, name=name: passed.append(name))
    with torch.inference_mode():
        shares_of_patch(model, mixtures(model)[2, 1], patch())
    assert "network.swinViT.layers1.0" in passed and not any("layers3" in n or "coder" in n for n in passed)


def test_settings_for_inference_and_nmsw_change_nothing():
    plain = build()
    options = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
    nmsw = {"global_options": options, "local_backbone": "swin_smt", "local_options": SMALL, "patch_size": SHAPE}
    joined = networks.build("nmsw", nmsw, 1, 3).eval()
    joined.local_network.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        expected = shares_of_patch(plain, mixtures(plain)[2, 2], patch())
        found = shares_of_patch(joined.local, mixtures(for_inference(joined))[2, 2], patch())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name, options", [("swin_smt", {**SMALL, "experts": 0}), ("unet", {}), ("swin_unetr", {})])
def test_networks_without_experts_are_refused(name, options):
    with pytest.raises(OptionError, match="no experts.*'swin_smt'"):
        mixtures(networks.build(name, options, 1, 2))


def test_layers_are_counted_from_one_and_the_finest_comes_first():
    assert list(mixtures(build())) == [(2, 1), (2, 2), (3, 1), (4, 1)]
    assert list(mixtures(build(moe_stages=1))) == [(4, 1)]
