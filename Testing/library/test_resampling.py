"""Resampling against torch's own, region by region, and its way back."""

import pytest
import torch
from torch.nn import functional

from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.resampling import enlarge, linear_weights, shrink


@pytest.mark.parametrize("shape", [(20, 14, 33), (10, 7, 11), (25, 7, 12), (5, 14, 11)])
def test_enlarging_equals_torchs_trilinear_interpolation(shape):
    array = torch.randn(2, 10, 7, 11)
    expected = functional.interpolate(array[None], size=shape, mode="trilinear", align_corners=False)[0]
    torch.testing.assert_close(enlarge(array, shape, whole(shape)), expected, atol=1e-5, rtol=1e-5)
    box = PatchBox((2, 3, 4), (5, 7, 10))
    torch.testing.assert_close(enlarge(array, shape, box), expected[(slice(None), *box.slices())], atol=1e-5, rtol=1e-5)


def test_weights_of_each_point_add_to_one_and_positions_outside_take_the_rim():
    first, weights = linear_weights(torch.tensor([-3.0, 0.25, 6.9, 12.0], dtype=torch.float64), 8)
    assert first == 0
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert weights[0, 0] == 1
    assert weights[3, 7] == 1


def test_shrinking_by_a_whole_factor_averages():
    array = torch.randn(1, 6, 6, 6)
    expected = array.view(1, 2, 3, 2, 3, 2, 3).mean((2, 4, 6))
    torch.testing.assert_close(shrink(array, (2, 2, 2)), expected)


@pytest.mark.parametrize("shape", [(30, 31, 32), (77, 40, 20)])
def test_a_ramp_stays_where_it_is_when_shrunk_and_enlarged(shape):
    ramp = (torch.arange(64) + 0.5)[None, :, None, None].expand(1, 64, 40, 32) / 64
    back = enlarge(shrink(ramp, shape), (64, 40, 32), whole((64, 40, 32)))
    torch.testing.assert_close(back[:, 4:-4], ramp[:, 4:-4], atol=0.012, rtol=0)
