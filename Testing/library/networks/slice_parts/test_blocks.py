"""Blocks of SegMate: shapes, counts, and what a padded or dilated convolution sees."""

import pytest
import torch
from torch import nn

from EfficientSegLib.networks.slice_parts.blocks import ASPP, DecoderBlock, SliceFusion


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_slice_fusion_makes_one_image_of_a_stack():
    fusion = SliceFusion(3)
    assert fusion(torch.randn(2, 3, 8, 12)).shape == (2, 1, 8, 12)
    assert parameters(fusion) == 432 + 32 + 17


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 20)])
def test_aspp_keeps_the_size_however_small(size):
    context = ASPP(6, 4).eval()
    assert context(torch.randn(2, 6, *size)).shape == (2, 4, *size)


def test_aspp_sees_as_far_as_its_widest_dilation_and_no_farther():
    torch.manual_seed(0)
    context, x = ASPP(2, 8).eval(), torch.randn(1, 2, 41, 41)
    changed = x.clone()
    changed[..., 20, 20] += 5
    differs = (context(changed) != context(x)).any(1)[0]
    rows = differs.any(1).nonzero().flatten().tolist()
    assert rows == [20 + step for step in (-18, -12, -6, 0, 6, 12, 18)]


@pytest.mark.parametrize("given, made, shortcut", [(8, 8, 0), (12, 8, 12 * 8 + 2 * 8)])
def test_a_decoder_block_has_a_shortcut_that_is_learnt_only_where_the_channels_change(given, made, shortcut):
    block = DecoderBlock(given, made, nn.Identity())
    assert block(torch.randn(2, given, 4, 6)).shape == (2, made, 4, 6)
    assert parameters(block) == 9 * (given * made + made * made) + 4 * made + shortcut


def test_a_decoder_block_whose_body_is_nothing_passes_the_positive_part_on():
    class Nothing(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    block, x = DecoderBlock(4, 4, Nothing()), torch.randn(2, 4, 3, 3)
    assert torch.equal(block(x), x.relu())
