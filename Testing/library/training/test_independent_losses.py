"""Losses of labels that may overlap: the formula, MONAI's loss, and what is not known teaches nothing."""

import math

import pytest
import torch
from torch.nn import functional

from EfficientSegLib.training.independent_losses import IndependentLoss, sigmoid_dice_ce
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.members import label_sets, table

REGIONS = [(2,), (1, 2), (1, 2, 3)]
MEMBERS = table(label_sets(REGIONS, 4), 4)
ALL = torch.ones(4, dtype=torch.bool)


def random_case(voxels=500, seed=0):
    """Logits (voxels, 3) and a target in which labels overlap."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(voxels, 3, generator=generator)
    numbers = torch.tensor([0, 2, 4, 5], dtype=torch.uint8)  # nothing, WT, TC in WT, ET in both
    return logits.requires_grad_(), numbers[torch.randint(4, (voxels,), generator=generator)]


def as_volume(rows):
    return rows.T.reshape(1, 3, 5, 10, 10)


@pytest.mark.parametrize("squared", [False, True])
def test_it_is_monais_loss_and_binary_cross_entropy_where_all_labels_are_there(squared):
    from monai.losses import DiceLoss

    logits, target = random_case()
    truth = MEMBERS[target.long()][:, 1:].float()
    smooth = {"smooth_nr": 0, "smooth_dr": 1e-6} if squared else {"smooth_nr": 1, "smooth_dr": 1}
    dice = DiceLoss(sigmoid=True, squared_pred=squared, **smooth)(as_volume(logits), as_volume(truth))
    ce = functional.binary_cross_entropy_with_logits(logits, truth)
    for weights in ((1.0, 0.0), (0.0, 1.0), (0.8, 0.2)):
        found = IndependentLoss(ALL, MEMBERS, *weights, squared)(as_volume(logits), target.reshape(5, 10, 10))
        torch.testing.assert_close(found, weights[0] * dice + weights[1] * ce)


def test_an_undecided_answer_has_the_cost_worked_out_by_hand():
    # Two voxels, one of the label, p = 1/2: Dice 2 * 0.5 / (0.25 + 0.25 + 1) = 2/3; another label is in both: 2 / 2.5.
    truth = torch.tensor([[1, 1], [0, 1]])
    cost = sigmoid_dice_ce(torch.zeros(2, 2), truth, dice_weight=1.0, ce_weight=0.5, squared=True)
    assert cost.item() == pytest.approx((1 / 3 + 0.2) / 2 + 0.5 * math.log(2), abs=1e-5)


def test_a_certain_and_right_answer_costs_nothing_although_labels_overlap():
    truth = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    for squared in (False, True):
        assert sigmoid_dice_ce(200.0 * truth - 100, truth, squared=squared).item() == pytest.approx(0, abs=1e-6)


def test_a_label_that_is_nowhere_is_unlearnt_by_its_cross_entropy_even_where_the_dice_alone_counts():
    logits = torch.zeros(4, 2, requires_grad=True)
    truth = torch.tensor([[1, 0], [0, 0], [0, 0], [0, 0]])
    cost = sigmoid_dice_ce(logits, truth, dice_weight=1.0, ce_weight=0.0, squared=True)
    assert cost.item() == pytest.approx((1 - 1 / 2 + math.log(2)) / 2, abs=1e-5)
    cost.backward()
    assert (logits.grad[:, 1] > 0.05).all()


def test_a_label_nobody_drew_says_nothing_and_the_others_do_not_notice():
    logits, target = random_case()
    drawn = torch.tensor([False, True, False, True])
    volume, numbers = as_volume(logits), target.reshape(5, 10, 10)
    cost = IndependentLoss(drawn, MEMBERS, 1.0, 1.0, squared=True)(volume, numbers)
    truth = MEMBERS[target.long()][:, 1:]
    torch.testing.assert_close(cost, sigmoid_dice_ce(logits[:, [0, 2]], truth[:, [0, 2]], None, 1.0, 1.0, squared=True))
    cost.backward()
    assert not logits.grad[:, 1].any() and logits.grad[:, 0].any() and logits.grad[:, 2].any()


def test_ignored_voxels_have_no_gradient_and_cost_nothing():
    logits, target = random_case()
    volume, numbers = as_volume(logits), target.reshape(5, 10, 10).clone()
    numbers[:2] = IGNORE
    cost = IndependentLoss(ALL, MEMBERS)(volume, numbers)
    torch.testing.assert_close(cost, IndependentLoss(ALL, MEMBERS)(volume[:, :, 2:], numbers[2:]))
    cost.backward()
    assert not logits.grad[:200].any() and logits.grad[200:].any(1).all()


@pytest.mark.parametrize("nothing", ["ignored", "undrawn"])
def test_where_nothing_is_known_nothing_is_taught(nothing):
    logits, target = random_case()
    numbers = target.reshape(5, 10, 10)
    drawn = ALL if nothing == "ignored" else torch.zeros(4, dtype=torch.bool)
    numbers = torch.full_like(numbers, IGNORE) if nothing == "ignored" else numbers
    cost = IndependentLoss(drawn, MEMBERS)(as_volume(logits), numbers)
    cost.backward()
    assert cost == 0 and not logits.grad.any()


def test_single_labels_with_a_plain_table_are_one_mask_each():
    logits, _ = random_case()
    target = torch.randint(4, (500,), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    plain = IndependentLoss(ALL, table(label_sets([], 4), 4))(as_volume(logits), target.reshape(5, 10, 10))
    truth = functional.one_hot(target.long(), 4)[:, 1:]
    torch.testing.assert_close(plain, sigmoid_dice_ce(logits, truth))
