"""UNETR's decoders."""

import pytest
import torch
from monai.networks import nets

from EfficientSegLib.networks.tokens.decoder import PLANS, Decoder


@pytest.mark.parametrize("kind", PLANS)
def test_maps_of_tokens_and_the_image_become_logits_of_every_voxel(kind):
    torch.manual_seed(0)
    size = PLANS[kind].token_size
    decoder = Decoder(kind, 2, 3, 12, 4)
    maps = [torch.randn(1, 12, 4, 4, 6) for _ in range(decoder.maps)]
    assert decoder(torch.randn(1, 2, 4 * size, 4 * size, 6 * size), maps).shape == (1, 3, 4 * size, 4 * size, 6 * size)


@pytest.mark.parametrize("kind", PLANS)
def test_every_map_and_the_image_reach_the_logits(kind):
    torch.manual_seed(0)
    size, decoder = PLANS[kind].token_size, Decoder(kind, 1, 3, 12, 4)
    given = [torch.randn(1, 12, 4, 4, 4, requires_grad=True) for _ in range(decoder.maps)]
    image = torch.randn(1, 1, *[4 * size] * 3, requires_grad=True)
    # Random weights, since every one of 3 logits less their mean is nothing that instance norms would hide.
    (decoder(image, given) * torch.randn(1, 3, *[4 * size] * 3)).sum().backward()
    assert all(each.grad.abs().max() > 0 for each in (image, *given))


def test_the_original_decoder_computes_what_monais_unetr_computes():
    torch.manual_seed(0)
    theirs = nets.UNETR(1, 3, (32, 32, 32), feature_size=4, hidden_size=12, mlp_dim=24, num_heads=2).eval()
    ours = Decoder("original", 1, 3, 12, 4).eval()
    pairs = [(ours.image, theirs.encoder1), (ours.out, theirs.out)]
    pairs += zip(ours.laterals, (theirs.encoder2, theirs.encoder3, theirs.encoder4))
    pairs += zip(ours.ups, (theirs.decoder5, theirs.decoder4, theirs.decoder3, theirs.decoder2))
    for own, their in pairs:
        own.load_state_dict(their.state_dict())
    x = torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode():
        last, hidden = theirs.vit(x)
        read = [hidden[number] for number in PLANS["original"].blocks_read(12)]
        maps = [each.transpose(1, 2).reshape(1, 12, 2, 2, 2) for each in (*read, last)]
        torch.testing.assert_close(ours(x, maps), theirs(x))


def test_blocks_that_a_dense_encoder_hands_over():
    assert PLANS["v2"].blocks_read(12) == [3, 6, 9] and PLANS["v1"].blocks_read(12) == [4, 8]
