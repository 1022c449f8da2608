"""Labels of a volume that may overlap: a background logit in front, and all else as of networks that exclude."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from token_model import BrightTokens
from transformer_bundle import SMT, STP, write_transformer_bundle

from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks
from EfficientSegLib.__main__ import main
from EfficientSegLib.bundle import Component
from EfficientSegLib.commands.bundles import check
from EfficientSegLib.errors import BundleError, OptionError
from EfficientSegLib.networks.independent import with_background
from EfficientSegLib.preprocess import prepare
from EfficientSegLib.segment import load_model, segment
from EfficientSegLib.volume import read

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}


def independent(folder, network, options, strategy=None):
    """A bundle of two labels that may overlap."""
    bundle = write_transformer_bundle(folder, network, options, strategy)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = networks.build(network, options, 1, 2)
    torch.save(model.state_dict(), folder / "weights.pt")
    weights = dataclasses.replace(bundle.weights, sha256=bundles.checksum(folder / "weights.pt"))
    bundle = dataclasses.replace(bundle, outputs="independent", weights=weights)
    bundles.save(bundle, folder)
    return bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "ct.nii.gz", (40, 36, 44))
    independent(folder / "stp", "stp_unetr", STP)
    window = Component("sliding_window", {"patch_size": [16, 16, 16]})
    independent(folder / "unet", "unet", UNET, window)
    return folder


def test_the_background_is_0_and_the_labels_are_the_networks():
    torch.manual_seed(0)
    network = networks.build("unet", UNET, 1, 2).eval()
    model, patch = with_background(network), torch.randn(2, 1, 16, 16, 16)
    assert isinstance(model, networks.PatchModel) and not isinstance(model, networks.TokenModel)
    assert model.num_labels == 3 and not hasattr(model, "patch_size")
    with torch.inference_mode():
        logits = model(patch)
        assert not logits[:, 0].any()
        assert torch.equal(logits[:, 1:], network(patch))


def test_tokens_and_their_ratio_are_the_networks():
    network = BrightTokens(num_labels=2)
    model = with_background(network)
    assert isinstance(model, networks.TokenModel) and model.patch_size == network.patch_size
    model.prune_ratio = 0.75
    assert network.prune_ratio == model.prune_ratio == 0.75
    patch = torch.randn(1, 1, 16, 16, 16)
    logits, depths = model.with_depths(patch)
    expected, tokens = network.with_depths(patch)
    assert torch.equal(logits[:, 1:], expected) and torch.equal(depths, tokens)
    with pytest.raises(OptionError):
        model.prune_ratio = 2.0


@pytest.mark.parametrize("name", ["stp", "unet"])
def test_a_voxel_has_the_likeliest_label_above_one_half_and_all_of_them_in_masks(folder, name):
    bundle, volume = bundles.load(folder / name), read(folder / "ct.nii.gz")
    model = load_model(bundle, "cpu")
    found = segment(volume, bundle, model, overlapping=True, tokens=name == "stp")
    one, other = found.masks.mask(0), found.masks.mask(1)
    assert (one & other).any() and (one | other).any()
    np.testing.assert_array_equal(found.labels > 0, one | other)
    assert one[found.labels == 1].all() and other[found.labels == 2].all()
    assert (found.tokens is not None) == (name == "stp")
    plain = segment(volume, bundle, model)
    np.testing.assert_array_equal(plain.labels, found.labels)
    assert plain.masks is None


def test_one_window_gives_the_signs_of_the_networks_own_logits(tmp_path):
    bundle = independent(tmp_path / "b", "stp_unetr", STP)
    write_tiny_ct(tmp_path / "ct.nrrd", (32, 32, 32))
    volume = read(tmp_path / "ct.nrrd")
    model = load_model(bundle, "cpu")
    found = segment(volume, bundle, model, overlapping=True)
    seen = torch.from_numpy(prepare(volume, bundle.preprocess).array)[None]
    with torch.inference_mode():
        expected = (model.network(seen) > 0)[0].flip(1, 2).numpy()  # the scan is LPS, the bundle RAS
    for label in range(2):
        assert (found.masks.mask(label) == expected[label]).mean() > 0.999


def test_the_command_line_writes_overlapping_segments_and_the_check_passes(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["segment", str(folder / "ct.nii.gz"), "--bundle", str(folder / "unet"), "--threads", "1"]
    assert main([*given, "--overlapping", "-o", "out.seg.nrrd", "--record", "run.json"]) == 0
    header = (tmp_path / "out.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "dimension: 4" in header  # two layers
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["complete"]
    check(bundles.load(folder / "unet"))
    check(bundles.load(folder / "stp"))


def test_a_network_with_an_overview_needs_a_background(tmp_path):
    bundle = dataclasses.replace(write_tiny_bundle(tmp_path / "tiny"), outputs="independent")
    with pytest.raises(BundleError, match="outputs are called independent.*background does not win"):
        load_model(bundle, "cpu")


def test_swin_smt_may_have_independent_labels_too(tmp_path):
    check(independent(tmp_path / "smt", "swin_smt", SMT))
