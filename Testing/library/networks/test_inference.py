"""The fast settings compute what the plain networks compute."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices, networks
from EfficientSegLib.environment import ROOT
from EfficientSegLib.networks import GlobalLocalModel, SliceModel
from EfficientSegLib.networks.compact import unpack
from EfficientSegLib.networks.inference import for_inference, for_training

UNET = {"channels": [4, 6, 6], "strides": [2, 2, 1]}
TOKENS = {"patch_size": [32, 32, 48], "prune_ratio": 0.5, "width": 24, "depth": 5, "heads": 2, "feature_size": 4}
SMALL = {
    "unet": (UNET, (16, 16, 12)),
    "mednext": ({"channels": 4, "expansion": [2, 3, 2], "blocks": [1, 2, 1]}, (16, 16, 12)),
    "stp_unetr": ({**TOKENS, "prune_after": [1, 2, 3]}, (32, 32, 48)),
    "swin_unetr": ({"feature_size": 12, "depths": [2, 1, 1, 1], "heads": [1, 2, 2, 2], "window": 3}, (64, 32, 32)),
    "swin_smt": (
        {"feature_size": 12, "depths": [1, 2, 1, 1], "heads": [1, 2, 2, 2], "window": 3, "experts": 3, "version": "v2"},
        (64, 64, 32),
    ),
    "nmsw": (
        {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]},
        (32, 16, 16),
    ),
    "segmate": ({"encoder": "light", "width": 0.25}, (64, 96)),
    "segmate_vanilla": ({"encoder": "light"}, (64, 96)),
}
needs_bf16 = pytest.mark.skipif(
    devices.why_no_bfloat16("cpu") is not None, reason="this processor calculates bfloat16 by imitation only"
)


def build(name="unet"):
    """A plain network in evaluation mode whose every parameter differs from its first value."""
    torch.manual_seed(0)
    model = networks.build(name, SMALL[name][0], 1, 3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.rand_like(parameter)
    return model


def answers(model, x):
    with torch.inference_mode():
        if isinstance(model, SliceModel):
            position = torch.linspace(0, 1, len(x))
            return [part for part in (model(x, position), *model.with_presence(x, position)) if part is not None]
        if isinstance(model, GlobalLocalModel):
            proposal = model.propose(model.shrink(x), tuple(x.shape[2:]))
            return [proposal.logits, proposal.scores, model.local(x[..., :16, :16, :16])]
        return [model(x)]


def image(name, batch=1):
    channels = 3 if name == "segmate" else 1  # neighbouring slices
    return torch.randn(batch, channels, *SMALL[name][1], generator=torch.Generator().manual_seed(5))


def test_every_registered_network_is_tested_here():
    assert set(SMALL) == set(networks.NETWORKS)


@pytest.mark.parametrize(
    "name, batch",
    [*((name, 1) for name in SMALL), ("unet", 3), ("mednext", 2), ("swin_unetr", 2), ("swin_smt", 2), ("segmate", 3)],
)
def test_the_settings_change_no_answer(name, batch):
    plain = build(name)
    x = image(name, batch)
    for expected, found in zip(answers(plain, x), answers(for_inference(copy.deepcopy(plain)), x), strict=True):
        assert found.dtype == torch.float32
        # Instance norms over the two voxels of Swin UNETR's deepest level magnify rounding.
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=3e-4 * max(1.0, float(expected.abs().max())))


@pytest.mark.parametrize("name", SMALL)
def test_the_input_stays_as_it_was_and_a_second_run_gives_the_same(name):
    model, x = for_inference(build(name)), image(name)
    before = x.clone()
    for first, second in zip(answers(model, x), answers(model, x), strict=True):
        assert torch.equal(first, second)
    assert torch.equal(x, before)


@needs_bf16
@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_is_near_gives_float32_and_repeats_itself(name):
    plain = build(name)
    model, x = for_inference(copy.deepcopy(plain), "bf16"), image(name)
    found = answers(model, x)
    for one, two, expected in zip(found, answers(model, x), answers(plain, x), strict=True):
        assert one.dtype == torch.float32 and torch.equal(one, two)
        assert float((one - expected).abs().mean()) < 0.05 * float(expected.abs().mean())
    exact = answers(for_inference(copy.deepcopy(plain)), x)
    if name == "nmsw":  # which patches are read does not depend on the precision
        assert torch.equal(found[0], exact[0]) and torch.equal(found[1], exact[1])
    assert not torch.equal(found[-1], exact[-1])  # it was bfloat16 indeed


@pytest.mark.parametrize("folder", sorted((ROOT / "Resources" / "Bundles").iterdir()), ids=lambda path: path.name)
def test_the_settings_change_no_answer_of_a_shipped_bundle_with_its_trained_weights(folder: Path):
    bundle = bundles.load(folder)
    plain = networks.build(bundle.network.name, bundle.network.options, 1, bundle.num_outputs).eval()
    plain.load_state_dict(unpack(torch.load(bundle.weights_path, weights_only=True)))
    plain.float()
    fast = for_inference(copy.deepcopy(plain))
    for expected, found in zip(answers_to_soft_blobs(plain), answers_to_soft_blobs(fast), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
        assert float(found.std()) > 0.1


def answers_to_soft_blobs(model):
    """Of images in the range of the network's values."""
    noise = torch.rand(1, 1, 6, 6, 6, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        if isinstance(model, SliceModel):
            stack = functional.interpolate(noise, size=(model.slices, 96, 64), mode="trilinear")[0]
            return [model(stack, torch.tensor([0.4]))]
        low = [4 * multiple for multiple in model.global_network.size_multiple]
        return [
            model.local(functional.interpolate(noise, size=model.patch_size, mode="trilinear")),
            *model.global_network.features_and_logits(functional.interpolate(noise, size=low, mode="trilinear")),
        ]


@pytest.mark.parametrize("name", ["unet", "mednext", "swin_unetr", "swin_smt"])
def test_the_settings_change_no_answer_of_a_network_that_has_learnt_something(name):
    """Training makes weights and activations of very different sizes, which random weights do not show."""
    torch.manual_seed(0)
    model = for_training(networks.build(name, SMALL[name][0], 1, 3).train())
    x = image(name)
    target = torch.bucketize(functional.avg_pool3d(x[0], 5, 1, 2)[0], torch.tensor([-0.1, 0.1]))[None]
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    losses = []
    for _ in range(12):
        loss = functional.cross_entropy(model(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    plain = networks.build(name, SMALL[name][0], 1, 3).eval()
    plain.load_state_dict(model.state_dict())
    with torch.inference_mode():
        expected, found = plain(x), for_inference(copy.deepcopy(plain))(x)
    # Instance normalisation over few voxels magnifies rounding.
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-4 * float(expected.abs().max()))
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.999


@pytest.mark.parametrize("name", SMALL)
def test_what_is_slow_on_cpus_is_gone(name):
    model = for_inference(build(name))
    assert not any(isinstance(layer, (nn.InstanceNorm3d, nn.PReLU, nn.GELU)) for layer in _networks_of(model))


def _networks_of(model):
    """Layers of the patch networks; Swin's GELUs stand behind dropouts and linear layers, and stay."""
    return [
        layer
        for network in ([model.global_network, model.local_network] if isinstance(model, GlobalLocalModel) else [model])
        for name, layer in network.named_modules()
        if "swinViT" not in name
    ]


@pytest.mark.parametrize("name", ["unet", "mednext"])
def test_every_convolution_reads_channels_last_from_the_first_one_on(name):
    """Behind a transposed convolution of a small input (as in this U-Net's decoder) torch loses it for one norm."""
    model, layouts = for_inference(build(name)), []

    def note(layer, given):
        (x,) = given
        if x.shape[1] > 1:
            layouts.append(x.is_contiguous(memory_format=torch.channels_last_3d))

    for part, layer in model.named_modules():
        if isinstance(layer, (nn.Conv3d, nn.GroupNorm)) and not (name == "unet" and "decoder" in part):
            layer.register_forward_pre_hook(note)
    answers(model, image(name))
    assert len(layouts) > 10 and all(layouts)


def test_norms_with_weights_keep_them_and_those_with_statistics_stay():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.ReLU(), nn.InstanceNorm2d(4, track_running_stats=True)
    ).eval()
    nn.init.uniform_(plain[1].weight)
    nn.init.uniform_(plain[1].bias)
    plain[3].running_mean += 0.5
    fast = for_inference(copy.deepcopy(plain))
    assert isinstance(fast[1], nn.GroupNorm) and isinstance(fast[3], nn.InstanceNorm2d)
    x = torch.randn(2, 2, 8, 9)
    with torch.inference_mode():
        torch.testing.assert_close(fast(x), plain(x))


def test_an_activation_whose_input_is_read_elsewhere_is_not_done_in_place():
    class Shortcut(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv3d(1, 1, 1), nn.ReLU()

        def forward(self, x):
            return self.act(x) + self.conv(x)

    torch.manual_seed(0)
    plain = nn.Sequential(nn.ReLU(), Shortcut(), nn.PReLU())  # the first and the last read what is not theirs
    x = torch.randn(1, 1, 4, 4, 4)
    with torch.inference_mode():
        expected = plain(x.clone())
        torch.testing.assert_close(for_inference(plain)(x), expected)
    assert isinstance(plain[2], nn.PReLU) and not plain[0].inplace and not plain[1].act.inplace


def test_the_training_form_gives_the_same_logits_and_gradients_and_a_state_that_fits():
    torch.manual_seed(0)
    plain, swapped = networks.build("unet", UNET, 1, 3), for_training(networks.build("unet", UNET, 1, 3))
    swapped.load_state_dict(plain.state_dict())
    assert not any(isinstance(module, nn.InstanceNorm3d) for module in swapped.modules())
    x = image("unet")
    for model in (plain, swapped):
        model(x).square().mean().backward()
    torch.testing.assert_close(swapped(x), plain(x), rtol=1e-4, atol=1e-4)
    for one, other in zip(plain.parameters(), swapped.parameters()):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)
