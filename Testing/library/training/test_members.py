"""Targets of labels that may overlap: numbers stand for sets of labels, and each label is found in all of its sets."""

import pytest
import torch

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.members import has_label, label_sets, present_labels, table

REGIONS = [(2,), (1, 2), (1, 2, 3)]  # of oedema, core and enhancing tumour: WT is 2, TC is 1, ET is 3


def test_single_labels_keep_their_channel_and_further_sets_follow():
    sets = label_sets([*REGIONS, (1, 2), ()], 4)
    assert sets == [(), (1,), (2,), (3,), (1, 2), (1, 2, 3)]
    members = table(sets, 4)
    assert members.shape == (6, 4) and members.dtype == torch.bool
    assert [row.nonzero()[:, 0].tolist() for row in members] == [[0], [1], [2], [3], [1, 2], [1, 2, 3]]


def test_a_label_is_where_any_of_its_sets_is():
    members = table(label_sets(REGIONS, 4), 4)
    target = torch.tensor([[0, 2, 4], [5, 3, IGNORE]], dtype=torch.uint8)
    assert has_label(target, 2, members).tolist() == [[False, True, True], [True, False, False]]
    assert has_label(target, 3, members).tolist() == [[False, False, False], [True, True, False]]
    assert not has_label(target, 1, table(label_sets([], 4), 4)[:4]).any()


def test_labels_that_are_there_are_those_of_all_numbers():
    members = table(label_sets(REGIONS, 4), 4)
    assert present_labels(torch.tensor([0, 4, IGNORE], dtype=torch.uint8), members).tolist() == [1, 2]
    assert present_labels(torch.tensor([0, IGNORE], dtype=torch.uint8), members).tolist() == []


def test_a_table_of_single_labels_changes_nothing():
    target = torch.randint(0, 4, (9, 8, 7), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    target[0] = IGNORE
    members = table(label_sets([], 4), 4)
    assert present_labels(target, members).tolist() == present_labels(target).tolist() == [1, 2, 3]
    for label in (1, 2, 3):
        assert torch.equal(has_label(target, label, members), has_label(target, label))


def test_more_sets_than_a_byte_can_tell_apart_are_refused():
    many = [(one, other) for one in range(1, 25) for other in range(one + 1, 25)]
    assert len(label_sets(many[: 255 - 25], 25)) == 255
    with pytest.raises(TrainingError, match="overlap in 231 ways.*at most 230"):
        label_sets(many[: 255 - 24], 25)
