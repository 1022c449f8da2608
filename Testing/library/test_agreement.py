"""Agreement of two label maps: what evaluation says of them, and what is known of drawn ones."""

import numpy as np
import pytest

from EfficientSegLib.agreement import Agreement, Counts, pairs
from EfficientSegLib.bundle import Label
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.evaluation.metrics import score

GREY = (1, 2, 3)
ONE = (Label(1, "Liver", GREY, "SCT:1"), Label(300, "Left kidney", GREY, "SCT:2", "SCT:L"), Label(3, "Colon", GREY))
OTHER = (
    Label(7, "Niere links", GREY, "SCT:2", "SCT:L"),
    Label(8, "Right kidney", GREY, "SCT:2", "SCT:R"),
    Label(9, "liver", GREY),
    Label(3, "Bladder", GREY),
)


def test_labels_are_paired_by_code_and_side_then_by_name_never_by_value():
    said = [(pair.name, pair.one and pair.one.value, pair.other and pair.other.value) for pair in pairs(ONE, OTHER)]
    assert said == [
        ("Liver", 1, 9),
        ("Left kidney", 300, 7),
        ("Colon", 3, None),
        ("Right kidney", None, 8),
        ("Bladder", None, 3),
    ]


def test_dice_and_volume_are_those_of_the_evaluation():
    random = np.random.default_rng(5)
    one, other = (random.integers(0, 4, (9, 8, 7)).astype(np.uint8) for _ in range(2))
    labels = tuple(Label(value, str(value), GREY) for value in (1, 2, 3))
    counts = Counts(pairs(labels, labels))
    for slab in range(0, 9, 2):
        counts.add(one[slab : slab + 2], other[slab : slab + 2])
    expected = score(one, other, (1.0, 2.0, 3.0), [1, 2, 3])
    for found in counts.agreements(0.006):
        wanted = expected[int(found.name)]
        assert found.dice == pytest.approx(wanted.dice)
        assert (found.one_ml, found.other_ml) == pytest.approx((wanted.prediction_ml, wanted.reference_ml))


def test_drawn_maps_with_values_of_their_own():
    one, other = np.zeros((10, 10, 10), np.uint16), np.zeros((10, 10, 10), np.uint8)
    one[:4, :5], other[2:6, :5] = 1, 9  # 200 voxels each, 100 of them shared
    one[9, 9], other[9, 9] = 3, 3  # colon here, bladder there: no agreement
    counts = Counts(pairs(ONE, OTHER))
    counts.add(one, other)
    liver, kidney, colon, right, bladder = counts.agreements(0.5)
    assert liver == Agreement("Liver", 100.0, 100.0, 0.5)
    assert kidney == Agreement("Left kidney", 0.0, 0.0, None), "neither has found it"
    assert (colon, bladder) == (Agreement("Colon", 5.0, None, None), Agreement("Bladder", None, 5.0, None))
    assert right.other_ml == 0.0


def test_maps_of_two_volumes_are_refused():
    with pytest.raises(VolumeError, match="same volume"):
        Counts(pairs(ONE, ONE)).add(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
