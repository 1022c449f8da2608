"""Samples: framing keeps the truth in place, mirrors exchange the sides, seeds decide."""

import numpy as np
import pytest
import torch

from EfficientSegLib.errors import OptionError
from EfficientSegLib.training.body import drawings
from EfficientSegLib.training.body.augment import Grid, Options, draw_sample
from EfficientSegLib.training.body.prepare import OUTSIDE, PreparedCase
from EfficientSegLib.training.cases import Case, Contrast
from EfficientSegLib.training.losses import IGNORE

STILL = dict(
    rotation_deg=(0.0, 0.0, 0.0), scale=(1.0, 1.0), stretch=0.0, bend_mm=0.0, mirror=0.0, slab=0.0, focus=0.0,
    contrast=0.0, gain=(1.0, 1.0), shift=0.0, thick=0.0, blur=0.0, noise=0.0, arms=0.0, table=0.0,
    longest_mm=64.0, shortest_mm=64.0,
)  # fmt: skip
GRID = Grid((2.0, 2.0, 2.0), (8, 8, 8), (8, 8, 8), (64, 64, 32), -1000, 1000, (0.0, 1.0), torch.tensor([0, 2, 1]))


def left_and_right(**case):
    """A body with label 1 (200 HU) in its left half and label 2 (-200 HU) in its right half; air around it."""
    source = torch.full((32, 24, 32), float(OUTSIDE))
    source[4:28, 4:20] = 0
    source[6:14, 8:16], source[18:26, 8:16] = 1, 2
    hu = torch.where(source == OUTSIDE, -1000.0, 0.0)
    hu[source == 1], hu[source == 2] = 200.0, -200.0
    values = torch.zeros(OUTSIDE + 1, dtype=torch.long)
    values[1], values[2] = 1, 2
    heights = (np.arange(32), np.arange(32))
    annotated = torch.tensor([False, True, False])
    return PreparedCase("drawn", hu, source, values, annotated, heights, Case("drawn", **case))


def sample(seed=0, prepared=None, **options):
    return draw_sample(prepared or left_and_right(), Options(**{**STILL, **options}), GRID, np.random.default_rng(seed))


def test_without_any_change_a_sample_is_the_case_moved_about():
    drawn = sample()
    assert drawn.image.shape == (1, 32, 24, 32)
    assert (drawn.target == 1).sum() > 0.8 * 8 * 8 * 32
    inside = drawn.image[0][drawn.target == 1]
    assert inside.median() == pytest.approx((200 + 1000) / 2000)


def test_a_mirror_exchanges_the_sides_of_place_label_and_annotation():
    plain, mirrored = sample(), sample(mirror=1.0)
    for one in (plain, mirrored):
        left = one.target[: one.target.shape[0] // 2]
        assert (left == 1).sum() > 0
        assert (left == 2).sum() == 0
    assert plain.image[0][plain.target == 1].median() > plain.image[0][plain.target == 2].median()
    assert mirrored.image[0][mirrored.target == 1].median() < mirrored.image[0][mirrored.target == 2].median()
    assert plain.annotated.tolist() == [False, True, False]
    assert mirrored.annotated.tolist() == [False, False, True]


def test_a_slab_is_filled_up_with_air_that_is_ignored():
    drawn = sample(slab=1.0, slab_mm=(20.0, 20.0))
    ignored = (drawn.target == IGNORE).all(dim=0).all(dim=0)
    assert (~ignored).sum() == 10
    assert drawn.image[0][:, :, ignored].max() == 0


def test_image_and_labels_move_together():
    turned = sample(seed=3, rotation_deg=(20.0, 20.0, 20.0), scale=(0.8, 1.2), bend_mm=4.0)
    bright, dark = turned.image[0][turned.target == 1], turned.image[0][turned.target == 2]
    assert bright.median() == pytest.approx(0.6, abs=0.01)
    assert dark.median() == pytest.approx(0.4, abs=0.01)


def test_the_same_seed_draws_the_same_sample_and_another_seed_another_one():
    assert torch.equal(sample(5, noise=1.0, mirror=0.5).image, sample(5, noise=1.0, mirror=0.5).image)
    assert not torch.equal(sample(5, noise=1.0).image, sample(6, noise=1.0).image)


def test_contrast_changes_its_own_labels_only():
    prepared = left_and_right(contrast=(Contrast((1,), (300.0, 300.0)),))
    before, after = sample(prepared=prepared), sample(prepared=prepared, contrast=1.0)
    core = before.target == 2
    assert after.image[0][after.target == 1].median() > before.image[0][before.target == 1].median() + 0.1
    torch.testing.assert_close(after.image[0][core], before.image[0][core])


@pytest.mark.parametrize("draw", [drawings.with_arms, drawings.with_table])
def test_arms_and_table_lie_only_in_the_air(draw):
    prepared = left_and_right()
    outside = prepared.source == OUTSIDE
    changed = draw(prepared.hu, outside, (10.0, 10.0, 10.0), np.random.default_rng(1)) != prepared.hu
    assert changed.any()
    assert not changed[~outside].any()


def test_a_probability_above_one_is_refused():
    with pytest.raises(OptionError, match="slab is 1.5"):
        Options(slab=1.5)
