"""References whose labels overlap: which file values stand for a label, and what cannot be compared with them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from EfficientSegLib.errors import OptionError
from EfficientSegLib.evaluation.cases import EvaluationCase, read_list
from EfficientSegLib.evaluation.references import read_reference, read_regions
from EfficientSegLib.volume import Volume, write

REGIONS = {1: 2, 2: (1, 2), 3: (1, 2, 3)}


@pytest.fixture
def case(tmp_path):
    """A label file of the values 0, 1, 2, 3 and 9, of which 9 is in no map."""
    values = np.arange(60).reshape(3, 4, 5) % 5
    write(Volume(np.where(values == 4, 9, values).astype(np.uint8)[None], (1.0, 2.0, 3.0)), tmp_path / "l.nii.gz")
    return EvaluationCase("c", None, tmp_path / "l.nii.gz", REGIONS)


def listed(tmp_path, given):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps([{"image": "a.nii.gz", "label": "l.nii.gz", "map": given}]), encoding="utf-8")
    return read_list(path)[0]


def test_each_label_is_where_any_of_its_file_values_is(case):
    values, found = np.arange(60).reshape(3, 4, 5) % 5, read_regions(case)
    assert found.volume.spacing_mm == (1.0, 2.0, 3.0)
    for label, of_file in ((1, (2, 3)), (2, (1, 2, 3)), (3, (3,)), (4, ())):
        np.testing.assert_array_equal(found.mask(label), np.isin(values, of_file))


def test_a_map_may_list_labels_and_they_overlap_where_it_lists_several(tmp_path):
    given = listed(tmp_path, {"1": [2], "2": [2, 1], "3": 3, "4": []})
    assert given.map == {1: (2,), 2: (1, 2), 3: 3, 4: ()} and given.lists_labels and given.overlaps
    apart = listed(tmp_path, {"1": [2], "2": 1, "3": 0})
    assert apart.lists_labels and not apart.overlaps
    assert not listed(tmp_path, {"1": 2, "2": 1}).lists_labels
    for wrong, words in (({"1": [0, 1]}, r"\[0, 1\].*0 is background"), ({"1": "x"}, r"'x'.*overlap")):
        with pytest.raises(OptionError, match=words):
            listed(tmp_path, wrong)


def test_a_label_map_cannot_stand_for_overlapping_labels(case):
    with pytest.raises(OptionError, match="labels of case 'c' overlap.*outputs are independent"):
        read_reference(case)
    apart = read_reference(replace(case, map={1: (2,), 2: 1, 3: ()}))
    np.testing.assert_array_equal(apart.array[0], np.array([0, 2, 1, 0, 0])[np.arange(60).reshape(3, 4, 5) % 5])
