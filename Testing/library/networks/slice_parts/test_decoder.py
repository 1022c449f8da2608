"""The asymmetric decoder: shapes, width, and that its two ways share what they should."""

import pytest
import torch

from EfficientSegLib.networks.slice_parts.decoder import Decoder

CHANNELS = (6, 8, 10, 12)


def maps(height=64, width=96):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(2, c, height // s, width // s, generator=generator) for c, s in zip(CHANNELS, (4, 8, 16, 32))]


@pytest.mark.parametrize(
    "width, fine, coarse", [(1.0, 32, (160, 88, 48)), (0.5, 16, (80, 48, 24)), (0.1, 8, (16, 8, 8))]
)
def test_its_features_lie_at_stride_4_and_its_channels_follow_the_width(width, fine, coarse):
    decoder = Decoder(CHANNELS, width).eval()
    found = decoder(maps())
    assert (decoder.fine_channels, decoder.coarse_channels) == (fine, coarse)
    assert found.fine.shape == (2, fine, 16, 24)
    expected = [(2, c, 64 // s, 96 // s) for c, s in zip(coarse, (32, 16, 8), strict=True)]
    assert [tuple(level.shape) for level in found.coarse] == expected


def test_the_nested_way_uses_the_up_sampling_weights_of_the_main_one():
    torch.manual_seed(0)
    whole, main = Decoder(CHANNELS, 0.3).eval(), Decoder(CHANNELS, 0.3, nested=False).eval()
    own = {name.split(".")[0] for name in whole.state_dict()} - {name.split(".")[0] for name in main.state_dict()}
    assert own == {"nested"} and not any("up" in name for name, _ in whole.nested.named_parameters())
    with torch.no_grad():
        before = whole(maps())
        for up in whole.up[:-1]:
            up.bias += 1
        after = whole(maps())
    assert torch.equal(before.coarse[0], after.coarse[0]) and not torch.equal(before.fine, after.fine)


def test_without_the_nested_way_the_main_way_ends_the_same():
    torch.manual_seed(0)
    whole, main = Decoder(CHANNELS, 0.3).eval(), Decoder(CHANNELS, 0.3, nested=False).eval()
    main.load_state_dict({name: value for name, value in whole.state_dict().items() if not name.startswith("nested")})
    with torch.no_grad():
        for one, other in zip(whole(maps()).coarse, main(maps()).coarse, strict=True):
            assert torch.equal(one, other)


def test_attention_and_position_are_there_only_where_asked_for():
    plain = Decoder(CHANNELS, 0.3, position=False, cbam=False, nested=True, squeeze=False)
    kinds = {type(module).__name__ for module in Decoder(CHANNELS, 0.3).modules()}
    left = {type(module).__name__ for module in plain.modules()}
    assert kinds - left >= {"CBAM", "SqueezeExcitation", "SlicePosition"}
