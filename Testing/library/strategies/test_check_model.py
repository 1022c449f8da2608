"""Every strategy says what it cannot read, and a bundle that does not fit itself is found when it is loaded."""

from dataclasses import replace

import pytest
import torch
from slice_model import tiny
from token_model import BrightTokens
from transformer_bundle import SMT, STP, options_in_nmsw, write_nmsw_bundle, write_transformer_bundle

from EfficientSegLib import networks, strategies
from EfficientSegLib.bundle import Component
from EfficientSegLib.commands.bundles import check
from EfficientSegLib.errors import OptionError
from EfficientSegLib.segment import load_model
from EfficientSegLib.strategies import STRATEGIES, sliding_window

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_transformer_bundle(tmp_path_factory.mktemp("bundles") / "stp", "stp_unetr", STP)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_each_strategy_refuses_a_network_it_cannot_read(name):
    wrong = networks.build("unet", UNET, 1, 2) if name != "sliding_window" else tiny()
    with pytest.raises(OptionError, match="cannot use this network"):
        strategies.check_model(name, {}, wrong)


def test_a_window_of_another_size_than_the_networks_only_one_is_refused_before_anything_is_read():
    model = BrightTokens((16, 16, 16))
    volume = torch.zeros(1, 40, 40, 40)
    with pytest.raises(OptionError, match=r"patch_size is \(24, 16, 16\).*Use \(16, 16, 16\)"):
        sliding_window.predict(volume, model, sliding_window.Options(patch_size=(24, 16, 16)))
    assert not model.seen
    for size in ((16, 16, 16), None):
        assert sliding_window.predict(volume, model, sliding_window.Options(patch_size=size)).planned == 4**3


def test_a_window_that_a_network_cannot_halve_is_refused():
    model = networks.build("unet", UNET, 1, 2)
    with pytest.raises(OptionError, match=r"multiples of \(4, 4, 4\).*Use \(20, 16, 16\)"):
        sliding_window.predict(torch.zeros(1, 40, 40, 40), model, sliding_window.Options(patch_size=(18, 16, 16)))


@pytest.mark.parametrize(
    "network, strategy, words",
    [
        ("nmsw", None, "A patch is 32 × 32 × 32 voxels.*Use 64 × 32 × 32"),
        ("swin_smt", Component("sliding_window", {"patch_size": [48, 48, 48]}), r"Use \(64, 64, 64\)"),
    ],
)
def test_loading_refuses_patches_before_the_network_is_built(bundle, network, strategy, words, monkeypatch):
    monkeypatch.setattr(networks, "build", lambda *_: pytest.fail("A network was built."))
    options = SMT if network == "swin_smt" else options_in_nmsw("swin_smt", SMT, [32, 32, 32])
    wrong = replace(bundle, network=Component(network, options), strategy=strategy or Component("nmsw"))
    with pytest.raises(OptionError, match=words):
        load_model(wrong, "cpu")


@pytest.mark.parametrize(
    "strategy, words",
    [
        (Component("sliding_window", {"patch_size": [64, 64, 64]}), r"\(64, 64, 64\).*Use \(32, 32, 32\)"),
        (Component("sliding_window", {"prune_ratio": 0.999}), "prune_ratio is 0.999"),
        (Component("nmsw", {}), "cannot use this network"),
    ],
)
def test_loading_a_bundle_finds_what_does_not_fit_without_data(bundle, strategy, words):
    wrong = replace(bundle, strategy=strategy)
    for find in (lambda: load_model(wrong, "cpu"), lambda: check(wrong)):
        with pytest.raises(OptionError, match=words):
            find()


def test_bundles_of_transformers_pass_their_own_check(bundle, tmp_path):
    check(bundle)
    check(write_transformer_bundle(tmp_path / "smt", "swin_smt", SMT))
    check(write_nmsw_bundle(tmp_path / "joined", "stp_unetr", STP))
    check(write_nmsw_bundle(tmp_path / "joined smt", "swin_smt", SMT))
