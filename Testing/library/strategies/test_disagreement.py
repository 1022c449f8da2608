"""Disagreement of coarse pass and patches: known probabilities, known answers."""

import pytest
import torch

from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.strategies.disagreement import Disagreement, centres
from EfficientSegLib.strategies.overview import Overview

SURE = 50.0


def overview(logits, covers):
    return Overview(torch.zeros(1, *covers), (0, 0, 0), covers, logits, covers, (), torch.zeros(0), torch.zeros(0))


def coarse(labels, of, cells=(4, 4, 4)):
    logits = torch.zeros(labels, *cells)
    logits[of] = SURE
    return overview(logits, tuple(3 * n for n in cells))


def patch(labels, of, shape=(6, 6, 6)):
    logits = torch.zeros(labels, *shape)
    logits[of] = SURE
    return logits


BOX = PatchBox((0, 0, 0), (6, 6, 6))
WINDOW = torch.ones(6, 6, 6)


@pytest.mark.parametrize("local, expected", [(1, 0.0), (2, 1.0), (0, 1.0)])
def test_two_that_are_sure_differ_wholly_or_not_at_all(local, expected):
    measure = Disagreement(coarse(3, 1))
    measure.add(patch(3, local), BOX, WINDOW)
    doubt, seen, near = measure.measured()
    inside = (slice(0, 2),) * 3  # the centres of two cells of three voxels lie in six voxels
    assert torch.allclose(doubt[inside], torch.tensor(expected))
    assert (near[inside] == local).all() and (near == -1).sum() == 4**3 - 8 and (seen == 1).all()


def test_where_nothing_is_known_two_of_n_labels_differ_as_dice_do():
    measure = Disagreement(overview(torch.zeros(4, 4, 4, 4), (12, 12, 12)))
    measure.add(torch.zeros(4, 6, 6, 6), BOX, WINDOW)
    assert torch.allclose(measure.measured()[0], torch.tensor(0.75))


def test_labels_that_nobody_sees_count_as_background():
    measure = Disagreement(coarse(4, 2), unseen=(0, 2, 3))
    measure.add(patch(4, 3), BOX, WINDOW)
    doubt, seen, near = measure.measured()
    assert torch.allclose(doubt, torch.tensor(0.0), atol=1e-6)
    assert (seen == 0).all() and (near[near >= 0] == 0).all()


def test_of_two_patches_the_heavier_counts_more_and_its_label_stands():
    measure = Disagreement(coarse(3, 1))
    measure.add(patch(3, 1), BOX, WINDOW * 3)
    measure.add(patch(3, 2), BOX, WINDOW)
    doubt, _, near = measure.measured()
    assert doubt[0, 0, 0] == pytest.approx(0.25) and near[0, 0, 0] == 1


def test_both_layouts_of_the_logits_give_the_same():
    first, last = Disagreement(coarse(3, 1)), Disagreement(coarse(3, 1))
    logits = torch.randn(3, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    first.add(logits, BOX, WINDOW)
    last.add(logits.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2), BOX, WINDOW)
    assert all(torch.equal(a, b) for a, b in zip(first.measured(), last.measured()))


def test_a_logit_that_is_no_number_is_full_doubt():
    measure = Disagreement(coarse(3, 1))
    measure.add(torch.full((3, 6, 6, 6), torch.nan), BOX, WINDOW)
    assert measure.measured()[0][0, 0, 0] == 1.0


def test_centres_lie_in_the_middle_of_their_cells():
    assert centres(4, 12).tolist() == [1, 4, 7, 10]
    assert centres(3, 3).tolist() == [0, 1, 2]
    assert centres(2, 4).tolist() == [1, 3]
