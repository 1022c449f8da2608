"""Ordering by coverage: a known answer, nothing lost, no patch on top of another while there is fresh ground."""

import numpy as np
import pytest

from EfficientSegLib.geometry import PatchBox, patch_grid
from EfficientSegLib.strategies import coverage
from EfficientSegLib.strategies.coverage import by_coverage


def along(*starts, length=4):
    """Boxes of one row."""
    return [PatchBox((a, 0, 0), (a + length, 4, 4)) for a in starts]


def test_a_neighbour_of_the_best_waits_until_its_fresh_half_is_worth_more():
    boxes = along(0, 2, 4, 6)
    scores = np.log([8.0, 7.0, 3.0, 1.0])
    # After the first: 7 * 1/2 = 3.5 of the second against 3 of the third; then 3 * 1/2 against 1.
    assert by_coverage(boxes, scores) == [0, 1, 2, 3]
    # Now 5 * 1/2 of the second is less than 3 of the third, and covered by both it is worth nothing any more.
    assert by_coverage(boxes, np.log([8.0, 5.0, 3.0, 1.0])) == [0, 2, 3, 1]


def test_boxes_apart_keep_the_order_of_their_scores_and_ties_go_by_index():
    boxes = along(0, 4, 8, 12)
    assert by_coverage(boxes, np.array([1.0, 3.0, 3.0, 2.0])) == [1, 2, 3, 0]


@pytest.mark.parametrize("longest", [1024, 7])
def test_every_box_is_ordered_once_and_the_first_ones_cover_more_than_by_score_alone(longest, monkeypatch):
    monkeypatch.setattr(coverage, "LONGEST", longest)
    shape = (40, 36, 44)
    boxes = patch_grid(shape, (16, 16, 16), 0.5)
    middles = np.array([[(a + b) / 2 for a, b in zip(box.start, box.stop)] for box in boxes])
    scores = -((middles - [14, 20, 25]) ** 2).sum(1) / 300  # one smooth hill
    order = by_coverage(boxes, scores)
    assert sorted(order) == list(range(len(boxes)))
    assert order[0] == int(scores.argmax())

    def covered(indices):
        mask = np.zeros(shape, dtype=bool)
        for index in indices:
            mask[boxes[index].slices()] = True
        return mask.sum()

    assert covered(order[:6]) > 1.3 * covered(np.argsort(-scores)[:6])
    assert by_coverage(boxes, scores) == order
