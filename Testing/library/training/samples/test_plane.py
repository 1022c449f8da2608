"""Changes within the plane: known places, millimetres, and what lies beyond the image."""

import numpy as np
import pytest
import torch

from EfficientSegLib.training.samples.plane import bend, placed, places, resample, turn_matrix

SQUARE = (1.0, 1.0)


def stack(h=12, w=16, slices=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, slices, h, w, generator=generator), torch.randint(0, 4, (1, h, w), generator=generator).byte()


def moved(image, target, matrix=None, shift=(0.0, 0.0), size=None):
    matrix = np.eye(2) if matrix is None else matrix
    where = places(size or tuple(target.shape[1:]), matrix[None], np.array(shift)[None])
    return resample(image, target, where, pad_value=-9.0)


def test_no_change_gives_the_case_back():
    image, target = stack()
    found, labels, inside = moved(image, target)
    torch.testing.assert_close(found, image, atol=1e-5, rtol=0)
    assert torch.equal(labels, target) and bool(inside.all())


def test_a_shift_shows_what_lies_beside_and_pads_the_rest():
    image, target = stack()
    found, labels, inside = moved(image, target, shift=(2.0, -3.0))
    torch.testing.assert_close(found[:, :, :-2, 3:], image[:, :, 2:, :-3], atol=1e-5, rtol=0)
    assert torch.equal(labels[:, :-2, 3:], target[:, 2:, :-3])
    assert not inside[:, -2:].any() and not inside[:, :, :3].any() and inside[:, :-2, 3:].all()
    assert (found[:, :, -2:] == -9).all() and not labels[:, -2:].any()


def test_a_quarter_turn_on_square_pixels_is_a_rotation_of_the_array():
    image, target = stack(12, 12)
    found, labels, _ = moved(image, target, turn_matrix(1.0, np.pi / 2, (0.0, 0.0), SQUARE))
    turned = [k for k in (1, 3) if torch.equal(labels, torch.rot90(target, k, (1, 2)))]
    assert len(turned) == 1
    torch.testing.assert_close(found, torch.rot90(image, turned[0], (2, 3)), atol=1e-4, rtol=0)


def test_a_quarter_turn_exchanges_the_steps_of_pixels_that_are_not_square():
    matrix = turn_matrix(1.0, np.pi / 2, (0.0, 0.0), (2.0, 1.0))
    np.testing.assert_allclose(np.abs(matrix), [[0, 0.5], [2, 0]], atol=1e-12)


def test_a_scale_above_one_enlarges_the_body():
    target = torch.zeros(1, 40, 40, dtype=torch.uint8)
    target[0, 10:30, 10:30] = 1
    _, labels, _ = moved(torch.zeros(1, 1, 40, 40), target, turn_matrix(1.2, 0.0, (0.0, 0.0), SQUARE))
    assert int(labels.sum()) == pytest.approx(24 * 24, rel=0.05)


def test_a_shear_keeps_the_area_and_moves_one_end_against_the_other():
    matrix = turn_matrix(1.0, 0.0, (np.deg2rad(10), 0.0), SQUARE)
    assert np.linalg.det(matrix) == pytest.approx(1)
    target = torch.zeros(1, 40, 40, dtype=torch.uint8)
    target[0, 10:30, 15:25] = 1
    labels = moved(torch.zeros(1, 1, 40, 40), target, matrix)[1][0]
    first, last = (float(labels[:, column].nonzero().float().mean()) for column in (15, 24))
    assert abs(first - last) == pytest.approx(9 * np.tan(np.deg2rad(10)), abs=1.0)


def test_a_bend_is_smooth_and_as_large_as_asked():
    fields = torch.stack([bend((64, 48), 0.02, np.random.default_rng(seed)) for seed in range(40)])
    assert fields.shape == (40, 2, 64, 48)
    spread = fields.std((0, 2, 3))
    assert 0.4 * 0.02 * 64 < spread[0] < 0.02 * 64 and 0.4 * 0.02 * 48 < spread[1] < 0.02 * 48
    assert float(fields.diff(dim=2).abs().max()) < 1  # pixel per pixel: nothing folds


@pytest.mark.parametrize("centred, start", [(True, (2, 1)), (False, (0, 0))])
def test_a_case_lies_in_the_middle_or_at_the_beginning_of_a_larger_plane(centred, start):
    image, target = stack(12, 13)
    found, labels, inside = placed(image, target, (16, 16), -9.0, centred)
    box = (..., slice(start[0], start[0] + 12), slice(start[1], start[1] + 13))
    assert torch.equal(found[box], image) and torch.equal(labels[box], target) and bool(inside[box].all())
    assert int(inside.sum()) == 12 * 13
    assert (found[(~inside)[:, None].expand_as(found)] == -9).all()
