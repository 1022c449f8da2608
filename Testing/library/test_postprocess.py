"""Only the largest piece of a label stays, where the bundle says so."""

import numpy as np

from EfficientSegLib.bundle import Postprocess
from EfficientSegLib.postprocess import clean


def test_the_largest_piece_stays_and_other_labels_are_untouched():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[2:8, 2:8, 2:8] = 1
    labels[12:15, 2:5, 2:5] = 1
    labels[8, 8, 8] = 1  # touches by a corner only
    labels[12:15, 12:15, 12:15] = 2
    labels[18, 18, 18] = 2
    expected = labels.copy()
    expected[12:15, 2:5, 2:5] = 0
    expected[8, 8, 8] = 0
    clean(labels, Postprocess((1, 9)))
    assert np.array_equal(labels, expected)
