"""The map of a case: one label, none, several, or nothing said."""

import pytest

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.label_maps import read_map, refuse_overlaps, refuse_overlaps_of_exclusive


def case(**given):
    return Case("a/image.nii.gz", map=given)


def test_all_ways_to_write_a_label():
    given = {"1": [2], "2": [3, 1, 3], "3": 7, "4": 0, "5": None, "6": []}
    assert read_map(case(**given)) == {1: (2,), 2: (1, 3), 3: (7,), 4: (), 5: None, 6: ()}


@pytest.mark.parametrize(
    "given, words",
    [
        ({"1": [0, 2]}, r"maps 1 to \[0, 2\].*0 is background.*Leave 0 out"),
        ({"1": "liver"}, "holds 'liver'.*overlap"),
        ({"1": [[2]]}, r"holds \[2\]"),
        ({"one": 1}, "holds 'one'"),
    ],
)
def test_what_is_no_label_is_refused_in_words(given, words):
    with pytest.raises(TrainingError, match=words):
        read_map(case(**given))


def test_several_labels_for_one_value_are_refused_where_labels_exclude_each_other():
    plain, regions = case(**{"1": [2], "2": 1}), case(**{"1": 2, "2": [1, 2]})
    refuse_overlaps([plain], "why", "mend")
    refuse_overlaps_of_exclusive([plain, regions], "independent")
    with pytest.raises(TrainingError, match=r'a/image.nii.gz maps 2 to \[1, 2\].*exclusive.*"independent"'):
        refuse_overlaps_of_exclusive([plain, regions], "exclusive")
