"""What a patch takes, against measured peaks of single passes, and where a patch's size is written."""

import pytest
from transformer_bundle import SMT, STP

from EfficientSegLib import networks
from EfficientSegLib.bundle import Component
from EfficientSegLib.networks import stp_unetr, swin_smt, swin_unetr
from EfficientSegLib.patch_memory import LOGITS_COPIES, STP_PATCHES, SWIN, pass_bytes, patch_bytes, patch_size, reader

CUBE = (96, 96, 96)
# Peak of one pass in float32 beyond the loaded network, bytes per voxel of the patch (torch 2.13, one core).
MEASURED = [
    ("stp_unetr", {"width": 192, "feature_size": 8}, (64, 64, 64), 419),
    ("stp_unetr", {"width": 384}, CUBE, 651),
    ("stp_unetr", {"width": 384, "feature_size": 32}, CUBE, 1468),
    ("stp_unetr", {"preset": "brats"}, (128, 128, 128), 626),
    ("stp_unetr", {"width": 384, "selection": "none"}, CUBE, 772),
    ("swin_smt", {"feature_size": 24, "experts": 4}, (64, 64, 64), 1532),
    ("swin_smt", {"feature_size": 24, "experts": 4}, CUBE, 1265),
    ("swin_smt", {"feature_size": 48, "experts": 4}, CUBE, 1588),
    ("swin_smt", {"feature_size": 48, "experts": 32}, (128, 128, 128), 1330),
    ("swin_unetr", {"feature_size": 24}, CUBE, 1257),
    ("swin_unetr", {"feature_size": 48}, CUBE, 1523),
]


@pytest.mark.parametrize("name, options, patch, found", MEASURED)
def test_a_pass_is_estimated_from_above_and_by_less_than_twice(name, options, patch, found):
    assert found <= pass_bytes(Component(name, options), patch) < 2 * found


def test_the_logits_of_a_transformer_come_when_its_widest_layer_has_gone():
    swin, unet, labels = Component("swin_smt"), Component("unet"), 119
    assert patch_bytes(swin, CUBE, labels) == patch_bytes(swin, CUBE, 2) == pass_bytes(swin, CUBE)
    assert patch_bytes(swin, CUBE, 1000) == LOGITS_COPIES * 4000
    assert patch_bytes(unet, CUBE, labels) == LOGITS_COPIES * 4 * labels + pass_bytes(unet, CUBE)


@pytest.mark.parametrize("name", ["stp_unetr", "swin_smt", "unet"])
def test_nmsw_reads_with_its_local_network(name):
    options = {"local_backbone": name, "local_options": {"feature_size": 24}, "patch_size": [64, 64, 64]}
    assert reader(Component("nmsw", options)) == Component(name, {"feature_size": 24})
    assert reader(Component("nmsw", {})).name == "unet"
    alone = pass_bytes(Component(name, {"feature_size": 24}), (64, 64, 64))
    assert pass_bytes(Component("nmsw", options), (64, 64, 64)) == alone


def test_what_is_written_here_is_what_the_networks_say():
    assert {name: preset.patch_size for name, preset in stp_unetr.PRESETS.items()} == STP_PATCHES
    assert {"swin_unetr": swin_unetr.Options().feature_size, "swin_smt": swin_smt.Options().feature_size} == SWIN
    assert swin_unetr.Options().window == 7 and swin_unetr.Options().heads[0] == 3
    assert (stp_unetr.Options().width, stp_unetr.Options().feature_size) == (768, 16)


def test_the_size_of_a_patch_is_the_networks_or_the_strategys_or_the_presets():
    assert patch_size(Component("stp_unetr", STP), {}) == (32, 32, 32)
    assert patch_size(Component("swin_smt", SMT), {"patch_size": [64, 32, 32]}) == (64, 32, 32)
    assert patch_size(Component("unet"), {}) is None
    for preset in STP_PATCHES:
        options = {"preset": preset, "width": 12, "heads": 2, "depth": 4, "prune_after": [1], "feature_size": 4}
        built = networks.build("stp_unetr", options, 1, 2)
        assert patch_size(Component("stp_unetr", options), {}) == built.patch_size
