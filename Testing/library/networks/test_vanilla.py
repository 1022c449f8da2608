"""The plain U-Net beside SegMate."""

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import VolumeError


def build():
    torch.manual_seed(0)
    return networks.build("segmate_vanilla", {"encoder": "light"}, 1, 3)


def test_it_sees_one_slice_no_position_and_has_one_head():
    model, x = build().eval(), torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        mask, presence = model.with_presence(x, torch.tensor([0.1, 0.2]))
        heads = model.heads(x)
        assert model.slices == 1 and mask.shape == (2, 3, 64, 96)
        assert torch.equal(mask, model(x)) and torch.equal(mask, heads.mask)
    assert presence is None and heads.boundary is None and heads.presence is None and heads.deep == ()


def test_it_ends_at_full_resolution():
    """SegMate's last convolution but the head works at a quarter; this one's does not."""
    model, sizes = build().eval(), []
    model.last.register_forward_hook(lambda layer, given, result: sizes.append(tuple(result.shape)))
    model(torch.randn(1, 1, 64, 96))
    assert sizes == [(1, 24, 64, 96)]


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 1, 40, 32)])
def test_what_it_cannot_read_is_refused_in_words(shape):
    with pytest.raises(VolumeError):
        build()(torch.randn(*shape))
