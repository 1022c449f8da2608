"""The published costs, from the networks alone. Numbers: NMSW (arXiv 2501.10814), tables and code; 20 labels, 128³."""

from functools import lru_cache

import pytest
import torch
from torch import nn

from EfficientSegLib import networks
from EfficientSegLib.evaluation.cost import Cost, count, count_nmsw, count_sliding_window

PATCH, VOLUME = (128, 128, 128), (480, 480, 480)
BACKBONES = ["unet", "swin_unetr", "mednext"]


@lru_cache
def nmsw(local):
    torch.manual_seed(0)
    return networks.build("nmsw", {"local_backbone": local}, 1, 20)


@lru_cache
def patch_cost(local):
    return count(nmsw(local).local_network, PATCH)


@lru_cache
def global_cost():
    return count(nmsw("unet").global_network, (160, 160, 160))


def parameters_without(model, *kinds):
    inside = {id(p) for layer in model.modules() if isinstance(layer, kinds) for p in layer.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in inside)


# The last digit given is the tolerance everywhere below: half a unit of it.


def test_parameters_of_the_u_net():
    model = nmsw("unet").local_network
    assert round(patch_cost("unet").parameters / 1e6, 4) == 26.5379
    parts = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder)]
    assert [round(part / 1e6, 3) for part in parts] == [17.395, 9.143]
    with torch.device("meta"):
        fewer = networks.build("unet", {}, 1, 17)
    assert round(sum(p.numel() for p in fewer.parameters()) / 1e6, 4) == 26.5297


def test_parameters_of_swin_unetr_with_and_without_the_tables_that_the_paper_leaves_out():
    model = nmsw("swin_unetr").local_network
    tables = sum(p.numel() for name, p in model.named_parameters() if "relative_position_bias_table" in name)
    total = patch_cost("swin_unetr").parameters
    assert (round(total / 1e6, 4), round((total - tables) / 1e6, 4)) == (15.7035, 15.5057)


def test_parameters_of_mednext_and_as_its_authors_and_the_paper_count_them():
    """The authors' code has two parameters more (dummies for checkpointing); the paper's counter omits GroupNorm."""
    total = patch_cost("mednext").parameters
    assert round((total + 2) / 1e6, 4) == 17.5496
    assert round(parameters_without(nmsw("mednext").local_network, nn.GroupNorm) / 1e6, 3) == 17.535


@pytest.mark.parametrize(
    "local, pure, paper",
    [("unet", 73.12, 183.174), ("swin_unetr", 200.41, 200.634), ("mednext", 244.76, 255.468)],
)
def test_multiply_adds_of_one_patch_by_both_counters(local, pure, paper):
    cost = patch_cost(local)
    assert (round(cost.macs / 1e9, 2), round(cost.paper_macs / 1e9, 3)) == (pure, paper)


def test_multiply_adds_of_the_global_network():
    assert (round(global_cost().macs / 1e9, 2), round(global_cost().paper_macs / 1e9, 3)) == (142.82, 357.761)


@pytest.mark.parametrize(
    "local, few, thirty, every",
    [("unet", 1.274, 5.853, 63.19), ("swin_unetr", 1.361, 6.377, 69.18), ("mednext", 1.635, 8.022, 87.98)],
)
def test_multiply_adds_of_a_whole_volume_as_published(local, few, thirty, every):
    """480³: 5, 30 and all 343 patches, global network included. The paper's sliding window rows are the last."""
    found = [count_nmsw(nmsw(local), VOLUME, patches).paper_macs / 1e12 for patches in (5, 30, None)]
    assert (round(found[0], 3), round(found[1], 3), round(found[2], 2)) == (few, thirty, every)


@pytest.mark.parametrize(
    "local, thirty, window", [("unet", 2.336, 25.08), ("swin_unetr", 6.155, 68.74), ("mednext", 7.486, 83.95)]
)
def test_multiply_adds_of_a_whole_volume_as_really_done(local, thirty, window):
    found = (
        count_nmsw(nmsw(local), VOLUME, 30).macs,
        count_sliding_window(nmsw(local).local_network, VOLUME, PATCH, 0.5),
    )
    assert (round(found[0] / 1e12, 3), round(found[1].macs / 1e12, 2)) == (thirty, window)


def test_multiply_adds_of_nmsw_with_few_and_with_all_patches_as_really_done():
    found = [count_nmsw(nmsw("unet"), VOLUME, patches).macs / 1e12 for patches in (5, None)]
    assert (round(found[0], 3), round(found[1], 2)) == (0.508, 25.22)


@pytest.mark.parametrize("local, plain", [("unet", 62.83), ("swin_unetr", 68.82), ("mednext", 87.63)])
def test_thirty_patches_save_nine_tenths(local, plain):
    """As published: against NMSW with all patches, 90.7 to 90.9 %."""
    assert round(count_sliding_window(nmsw(local).local_network, VOLUME, PATCH, 0.5).paper_macs / 1e12, 2) == plain
    saving = 1 - count_nmsw(nmsw(local), VOLUME, 30).paper_macs / count_nmsw(nmsw(local), VOLUME, None).paper_macs
    assert 0.907 <= round(saving, 3) <= 0.909


def test_layers_whose_cost_is_known_by_hand():
    shape = (4, 6, 8)
    voxels = 4 * 6 * 8
    for layer, pure, paper in [
        (nn.Conv3d(3, 5, 3, padding=1), 27 * 15 * voxels, 27 * 15 * voxels),
        (nn.Conv3d(4, 4, 3, padding=1, groups=4), 27 * 4 * voxels, 27 * 4 * voxels),
        (nn.ConvTranspose3d(3, 5, 2, 2), 8 * 15 * voxels, 8 * 15 * 8 * voxels),
        (nn.InstanceNorm3d(3), 0, 2 * 3 * voxels),
        (nn.InstanceNorm3d(3, affine=True), 0, 4 * 3 * voxels),
        (nn.GroupNorm(3, 3), 0, 0),
        (nn.PReLU(), 0, 3 * voxels),
        (nn.Softmax(1), 0, (3 * 3 - 1) * voxels),
    ]:
        channels = getattr(layer, "in_channels", 3)
        cost = count(nn.Sequential(layer), shape, channels)
        assert (cost.macs, cost.paper_macs) == (pure, paper), layer


def test_a_volume_smaller_than_a_patch_and_of_odd_size_is_counted_as_padded():
    options = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
    settings = {"global_options": options, "local_options": options, "patch_size": [16, 16, 16]}
    model = networks.build("nmsw", {**settings, "downsampling": [2, 2, 2]}, 1, 3)
    cost = count_nmsw(model, (9, 17, 33), None)
    low, local = count(model.global_network, (8, 12, 20)), count(model.local_network, (16, 16, 16))
    assert cost == Cost(2 * local.parameters, low.macs + 8 * local.macs, low.paper_macs + 8 * local.paper_macs)


def test_counting_leaves_the_model_as_it_is():
    model = networks.build("unet", {"channels": [4, 8, 8], "strides": [2, 2, 1]}, 1, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert count(model, (16, 16, 16)) == count(model, (16, 16, 16))
    assert model.training and all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model.modules())
