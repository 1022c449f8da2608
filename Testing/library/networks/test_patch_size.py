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


@pytest.mark.parametrize("options", [STP, DENSE], ids=["sparse", "dense"])
def test_nmsw_takes_the_one_size_of_its_local_network_and_no_other(options):
    networks.build("nmsw", options_in_nmsw("stp_unetr", options), 1, 3)
    with pytest.raises(OptionError, match=r"stp_unetr.*\(32, 32, 32\) voxels.*Use \(32, 32, 32\)"):
        networks.build("nmsw", options_in_nmsw("stp_unetr", options, [48, 32, 32]), 1, 3)


def test_nmsw_refuses_a_size_that_swin_smt_cannot_halve():
    with pytest.raises(OptionError, match=r"swin_smt.*multiples of \(32, 32, 32\).*Use \(64, 64, 32\)"):
        networks.build("nmsw", options_in_nmsw("swin_smt", SMT, [64, 48, 32]), 1, 3)
