"""Tokens lie where they say."""

import math

import torch

from EfficientSegLib.networks.tokens.embedding import Embedding, as_volume, fixed_positions


def test_tokens_are_in_raster_order_behind_the_class_token():
    torch.manual_seed(0)
    embedding = Embedding(1, 12, (8, 8, 8), (2, 3, 4))
    torch.nn.init.zeros_(embedding.positions)
    patch = torch.zeros(1, 1, 16, 24, 32)
    patch[0, 0, 8:, 16:, 16:24] = 1  # token (1, 2, 2)
    tokens = embedding(patch)
    assert tokens.shape == (1, 1 + 24, 12)
    torch.testing.assert_close(tokens[:, :1], embedding.first)
    different = (tokens[0, 1:] - embedding.projection.bias).abs().amax(1) > 1e-6
    assert different.nonzero().flatten().tolist() == [1 * 12 + 2 * 4 + 2]
    assert (as_volume(tokens[:, 1:], (2, 3, 4))[0] - embedding.projection.bias[:, None, None, None])[:, 1, 2, 2].any()


def test_a_volume_of_tokens_is_what_the_convolution_made_and_lies_channels_last():
    torch.manual_seed(0)
    tokens = torch.randn(2, 24, 5)
    volume = as_volume(tokens, (2, 3, 4))
    assert torch.equal(volume.flatten(2).transpose(1, 2), tokens)
    assert volume.is_contiguous(memory_format=torch.channels_last_3d) and volume.data_ptr() == tokens.data_ptr()


def test_fixed_positions_are_the_waves_of_the_paper():
    table = fixed_positions((2, 3, 4), 12)  # two waves each
    assert table.shape == (1 + 24, 12) and not table[0].any()
    for x, y, z in [(0, 0, 0), (1, 2, 3), (0, 2, 1)]:
        expected = []
        for place in (x, y, z):
            angles = [place, place * 10_000**-0.5]
            expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
        torch.testing.assert_close(table[1 + 12 * x + 4 * y + z], torch.tensor(expected))


def test_no_two_places_of_the_largest_preset_look_alike():
    table = fixed_positions((16, 16, 16), 768)[1:]
    distances = torch.cdist(table[::7], table[::7]) + 100 * torch.eye(len(table[::7]))
    assert distances.min() > 0.5
