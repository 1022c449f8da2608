"""A patch that a network cannot read is refused before anything is read, with a size that it can."""

from types import SimpleNamespace

import pytest
from transformer_bundle import DENSE, SMT, STP, options_in_nmsw

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks.patch_size import refuse_size

FIXED = SimpleNamespace(patch_size=(32, 48, 32), size_multiple=(16, 16, 16))
FREE = SimpleNamespace(size_multiple=(8, 8, 4))


def test_the_one_size_of_a_network_and_multiples_of_the_others_pass():
    refuse_size((32, 48, 32), FIXED)
    refuse_size((8, 16, 12), FREE)
    refuse_size((7, 1, 3), None)


@pytest.mark.parametrize("size", [(48, 32, 32), (32, 32, 32), (96, 96, 96)])
def test_a_network_of_one_size_names_it(size):
    with pytest.raises(OptionError, match=r"stp_unetr were made for .*Use \(32, 48, 32\)"):
        refuse_size(size, FIXED, "stp_unetr")


@pytest.mark.parametrize(
    "size, fitting", [((9, 8, 8), "(16, 8, 8)"), ((8, 8, 7), "(8, 8, 8)"), ((0, 8, -4), "(8, 8, 4)")]
)
def test_the_next_multiple_is_named_and_passes(size, fitting):
    with pytest.raises(OptionError) as caught:
        refuse_size(size, FREE)
    assert f"Use {fitting}." in str(caught.value)
    refuse_size(tuple(int(n) for n in fitting.strip("()").split(",")), FREE)


@pytest.mark.parametrize(
    "name, options",
    [
        ("unet", {"channels": [4, 8, 8], "strides": [2, 3, 1]}),
        ("mednext", {"channels": 2, "expansion": [1, 1, 1, 1, 1], "blocks": [1, 1, 1, 1, 1]}),
        ("swin_unetr", {"feature_size": 12, "depths": [1, 1, 1, 1], "window": 4}),
        ("swin_smt", SMT),
        ("stp_unetr", STP),
        ("stp_unetr", {**DENSE, "decoder": "original", "patch_size": None, "preset": "brats"}),
        ("nmsw", options_in_nmsw("stp_unetr", STP)),
    ],
)
def test_options_say_of_sizes_what_the_network_built_from_them_says(name, options):
    chosen, network = networks.read(name, options), networks.build(name, options, 1, 3)
    assert chosen.size_multiple == network.size_multiple
    for size in ((32, 32, 32), (64, 32, 32), (128, 128, 128), (48, 48, 48), (36, 36, 36), (10, 10, 10)):
        assert refused(chosen, size) == refused(network, size)


def refused(network, size):
    try:
        refuse_size(size, network)
    except OptionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("options", [STP, DENSE], ids=["sparse", "dense"])
def test_nmsw_takes_the_one_size_of_its_local_network_and_no_other(options):
    networks.build("nmsw", options_in_nmsw("stp_unetr", options), 1, 3)
    with pytest.raises(OptionError, match=r"stp_unetr.*\(32, 32, 32\) voxels.*Use \(32, 32, 32\)"):
        networks.build("nmsw", options_in_nmsw("stp_unetr", options, [48, 32, 32]), 1, 3)


def test_nmsw_refuses_a_size_that_swin_smt_cannot_halve():
    with pytest.raises(OptionError, match=r"swin_smt.*multiples of \(32, 32, 32\).*Use \(64, 64, 32\)"):
        networks.build("nmsw", options_in_nmsw("swin_smt", SMT, [64, 48, 32]), 1, 3)


@pytest.mark.parametrize(
    "local, options, size, fitting",
    [
        ("swin_unetr", {"window": 4}, [32, 32, 32], "Use 64 × 32 × 32"),
        ("swin_smt", SMT, [32, 32, 32], "Use 64 × 32 × 32"),
        ("swin_smt", SMT, [80, 64, 64], r"Use \(96, 64, 64\)"),
        ("stp_unetr", {}, [64, 64, 64], r"Use \(96, 96, 96\)"),  # the preset's
        ("stp_unetr", {"preset": "brats"}, [96, 96, 96], r"Use \(128, 128, 128\)"),
        ("unet", {}, [48, 48, 48], r"Use \(64, 64, 64\)"),
        ("segmate", {}, [64, 64, 64], "reads slices.*Use 'unet'"),
    ],
)
def test_nmsw_refuses_patches_that_do_not_fit_with_its_options_and_builds_nothing(
    local, options, size, fitting, monkeypatch
):
    monkeypatch.setattr(networks, "build", lambda *_: pytest.fail("A network was built."))
    for look in (networks.check, lambda *given: networks.check_patch(*given, (64, 64, 64))):
        with pytest.raises(OptionError, match=fitting):
            look("nmsw", options_in_nmsw(local, options, size))


def test_a_window_over_nmsw_is_one_that_its_local_network_reads():
    joined = options_in_nmsw("swin_smt", SMT)
    networks.check_patch("nmsw", joined, (96, 32, 32))
    with pytest.raises(OptionError, match=r"swin_smt.*Use \(64, 64, 64\)"):
        networks.check_patch("nmsw", joined, (40, 40, 40))
