"""The published costs of SegMate, from the networks alone. Numbers: SegMate (arXiv 2602.23903) and its code; 9 labels.

The last digit given is the tolerance everywhere: half a unit of it.
"""

from functools import lru_cache

import pytest
import timm_here
import torch
from torch import nn

from EfficientSegLib import networks
from EfficientSegLib.evaluation.cost import Cost
from EfficientSegLib.evaluation.slice_cost import count_fusion, count_slice, count_slice_volume
from EfficientSegLib.networks import encoders
from EfficientSegLib.networks.slice_parts.attention import SqueezeExcitation
from EfficientSegLib.networks.slice_parts.blocks import DecoderBlock

SIZE = (512, 512)
# encoder: parameters with and without slice position, of the encoder (M); operations as the paper counts them, work in
# convolutions and matrix products, that of the encoder alone (G per slice)
PUBLISHED = {
    "efficientnetv2": ((58.281, 58.198, 52.200), (31.597, 31.350, 27.770)),
    "mambaout": ((29.491, 29.408, 22.904), (27.192, 27.064, 23.276)),
    "fastvit": ((12.476, 12.393, 6.381), (9.238, 9.113, 5.500)),
}
VANILLA = {
    "efficientnetv2": (53.909, 37.252, 36.958),
    "mambaout": (29.295, 61.143, 60.874),
    "fastvit": (9.517, 22.767, 22.562),
}
WITHOUT_FUSION = {"efficientnetv2": 31.47, "mambaout": 27.06, "fastvit": 9.11}  # G per slice, as the paper counts
VOLUMES = {"efficientnetv2": 5097, "mambaout": 4384, "fastvit": 1476}  # G, of a mean volume of "162" slices
MEAN_SLICES = 161.965

why = timm_here.why_not()
needs_timm = pytest.mark.skipif(why is not None, reason=str(why))


@lru_cache
def segmate(encoder, **options):
    return ghost("segmate", {"encoder": encoder, **options})


def ghost(name, options):
    with torch.device("meta"):
        return networks.build(name, options, 1, 9)


@lru_cache
def slice_cost(encoder, **options):
    return count_slice(segmate(encoder, **options), SIZE)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def millions(count):
    return round(count / 1e6, 3)


def billions(count):
    return round(count / 1e9, 3)


def never_used():
    """Three blocks that the published code declares and never calls; its counts include them, our network does not."""
    with torch.device("meta"):
        blocks = [DecoderBlock(i, o, SqueezeExcitation(o)) for i, o in ((208, 48), (120, 32), (192, 32))]
    return sum(map(parameters, blocks))


@needs_timm
@pytest.mark.parametrize("encoder", PUBLISHED)
def test_parameters_of_segmate(encoder):
    with_position, without, alone = PUBLISHED[encoder][0]
    model = segmate(encoder)
    assert millions(parameters(model) + never_used()) == with_position
    assert millions(parameters(segmate(encoder, position=False)) + never_used()) == without
    assert millions(parameters(model.encoder)) == alone


def test_parameters_of_what_is_the_same_with_every_encoder():
    light = segmate("light")
    assert parameters(light.fusion) == 481
    assert parameters(light) - parameters(segmate("light", position=False)) == 82_816
    assert parameters(segmate("light", deep_supervision=True)) - parameters(light) == 9 * (160 + 88 + 48 + 3)
    assert millions(never_used()) == 0.240


@needs_timm
@pytest.mark.parametrize("encoder", PUBLISHED)
def test_operations_of_segmate(encoder):
    paper, pure, alone = PUBLISHED[encoder][1]
    cost = slice_cost(encoder)
    assert (billions(cost.paper_macs), billions(cost.macs)) == (paper, pure)
    assert billions(_of_encoder(encoder)) == alone


@needs_timm
@pytest.mark.parametrize("encoder", PUBLISHED)
def test_operations_do_not_depend_on_slice_position(encoder):
    """But for its 82,048 products: less than the last digit."""
    with_position, without = slice_cost(encoder), slice_cost(encoder, position=False)
    assert with_position.macs - without.macs == 128 + 128 * 128 + 2 * 128 * 256


def test_operations_of_slice_fusion_which_published_numbers_leave_out():
    convolutions, norms = (432 + 16) * 512 * 512, 2 * 16 * 512 * 512
    assert count_fusion(segmate("light"), SIZE) == Cost(481, convolutions, convolutions + norms)
    assert count_fusion(segmate("light", slices=1), SIZE) == Cost(0, 0, 0)


@needs_timm
@pytest.mark.parametrize("encoder", PUBLISHED)
def test_operations_of_a_slice_and_of_a_volume_as_published(encoder):
    """One mean number of slices per volume, 162 when rounded, explains all three totals.

    With 162 slices exactly they are 5,098, 4,385 and 1,476.
    """
    per_slice = slice_cost(encoder).paper_macs - count_fusion(segmate(encoder), SIZE).paper_macs
    assert per_slice / 1e9 == pytest.approx(WITHOUT_FUSION[encoder], abs=0.01)
    assert round(per_slice * MEAN_SLICES / 1e9) == VOLUMES[encoder]
    assert 0 <= round(per_slice * 162 / 1e9) - VOLUMES[encoder] <= 1


@needs_timm
@pytest.mark.parametrize("encoder", VANILLA)
def test_parameters_and_operations_of_the_plain_u_net(encoder):
    model = ghost("segmate_vanilla", {"encoder": encoder})
    cost = count_slice(model, SIZE)
    assert (millions(cost.parameters), billions(cost.paper_macs), billions(cost.macs)) == VANILLA[encoder]


def test_inference_leaves_the_boundary_and_presence_heads_out():
    model = segmate("light")
    heads, mask = count_slice(model, SIZE), count_slice(model, SIZE, "mask")
    assert heads.macs - mask.macs == 9 * 32 * 128 * 128 + 9 * 32


def test_a_volume_is_counted_slice_by_slice_as_it_is_padded():
    model = segmate("light")
    expected = count_slice(model, (96, 64), "mask").times(7)
    assert count_slice_volume(model, (70, 64, 7)) == expected
    assert expected.parameters == parameters(model)


def test_layers_whose_cost_is_known_by_hand():
    class Enlarged(nn.Module):
        def forward(self, x):
            return nn.functional.interpolate(x, scale_factor=2, mode="bilinear")

    values = 3 * 8 * 12
    for layer, pure, beside in [
        (nn.Conv2d(3, 5, 3, padding=1), 9 * 5 * values, 0),
        (nn.ConvTranspose2d(3, 5, 2, 2), 4 * 5 * values, 0),
        (nn.BatchNorm2d(3), 0, 2 * values),
        (nn.LayerNorm([8, 12]), 0, 5 * values),
        (nn.AdaptiveAvgPool2d(1), 0, values),
        (Enlarged(), 0, 4 * 4 * values),
        (nn.SiLU(), 0, 0),
    ]:
        model = _AsSliceModel(layer)
        cost = count_slice(model, (8, 12), "mask")
        assert (cost.macs, cost.paper_macs) == (pure, pure + beside), layer


def test_counting_leaves_the_model_as_it_is():
    model = networks.build("segmate", {"encoder": "light", "width": 0.25}, 1, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert count_slice(model, (64, 64)) == count_slice(model, (64, 64))
    assert model.training and all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def _of_encoder(name):
    with torch.device("meta"):
        return count_slice(_AsSliceModel(encoders.build(name), slices=1), SIZE, "mask").macs


class _AsSliceModel(nn.Module):
    def __init__(self, layer, slices=3):
        super().__init__()
        self.layer, self.slices = layer, slices

    def forward(self, stack, position=None):
        return self.layer(stack)
