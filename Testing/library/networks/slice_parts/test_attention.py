"""Gates of attention, against their definitions."""

import pytest
import torch

from EfficientSegLib.networks.slice_parts.attention import CBAM, SqueezeExcitation


@pytest.mark.parametrize("kind", [SqueezeExcitation, CBAM])
@pytest.mark.parametrize("channels", [8, 32, 48])
def test_what_goes_in_is_only_ever_made_smaller(kind, channels):
    torch.manual_seed(0)
    x = torch.randn(2, channels, 5, 7)
    found = kind(channels)(x)
    assert found.shape == x.shape
    assert (found.abs() <= x.abs()).all() and (found * x >= 0).all()


def test_squeeze_and_excitation_gives_a_channel_one_gate_that_forgets_where_things_are():
    torch.manual_seed(0)
    block, x = SqueezeExcitation(32), torch.rand(2, 32, 4, 6) + 0.1
    gates = block(x) / x
    torch.testing.assert_close(gates, gates[..., :1, :1].expand_as(gates))
    torch.testing.assert_close(block(x.flip(3)), block(x).flip(3))


@pytest.mark.parametrize("channels, hidden", [(32, 2), (48, 3), (88, 5), (8, 1)])
def test_the_gates_have_a_sixteenth_of_the_channels_inside(channels, hidden):
    count = [sum(p.numel() for p in kind(channels).parameters()) for kind in (SqueezeExcitation, CBAM)]
    assert count == [2 * channels * hidden, 2 * channels * hidden + 2 * 49]


def test_with_gates_of_nothing_cbam_halves_twice():
    block, x = CBAM(16), torch.randn(1, 16, 3, 3)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(block(x), x / 4)
