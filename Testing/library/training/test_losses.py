"""Losses: known answers, and what partly annotated volumes must not teach."""

import math

import pytest
import torch

from EfficientSegLib.training.losses import IGNORE, SampleLoss, dice_ce, missed_errors, rows, selection_entropy


def random_case(labels=4, voxels=500, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(voxels, labels, generator=generator)
    return logits.requires_grad_(), torch.randint(labels, (voxels,), generator=generator)


def test_a_certain_and_right_answer_costs_nothing():
    target = torch.tensor([0, 1, 2, 2])
    logits = 100.0 * torch.nn.functional.one_hot(target, 3).float()
    assert dice_ce(logits, target).item() == pytest.approx(0, abs=1e-6)


def test_an_undecided_answer_has_the_cost_worked_out_by_hand():
    # Two voxels, one of label 1, p = 1/2 everywhere: Dice (2 * 0.5 + 1) / (1 + 1 + 1) = 2/3, cross-entropy log 2.
    cost = dice_ce(torch.zeros(2, 2), torch.tensor([0, 1]), dice_weight=0.8, ce_weight=0.2)
    assert cost.item() == pytest.approx(0.8 / 3 + 0.2 * math.log(2))


def test_it_is_monais_loss_where_all_labels_are_there():
    from monai.losses import DiceCELoss

    logits, target = random_case()
    theirs = DiceCELoss(
        include_background=False,
        softmax=True,
        to_onehot_y=True,
        smooth_nr=1,
        smooth_dr=1,
        lambda_dice=0.8,
        lambda_ce=0.2,
    )
    as_volume = logits.T.reshape(1, 4, 5, 10, 10)
    expected = theirs(as_volume, target.reshape(1, 1, 5, 10, 10))
    torch.testing.assert_close(dice_ce(logits, target), expected)


def test_squared_it_is_monais_loss_as_stp_uses_it_where_all_labels_are_there():
    from monai.losses import DiceCELoss

    logits, target = random_case()
    theirs = DiceCELoss(softmax=True, to_onehot_y=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-6)
    expected = theirs(logits.T.reshape(1, 4, 5, 10, 10), target.reshape(1, 1, 5, 10, 10))
    found = dice_ce(logits, target, dice_weight=1.0, ce_weight=1.0, squared=True)
    torch.testing.assert_close(found, expected)
    with_sample = SampleLoss(torch.ones(4, dtype=torch.bool), 1.0, 1.0, squared=True)
    volume = logits.T.reshape(1, 4, 5, 10, 10)
    torch.testing.assert_close(with_sample(volume, target.reshape(5, 10, 10)), expected)


def test_squared_a_background_that_is_not_annotated_takes_no_part_in_the_dice():
    logits, target = random_case()
    drawn = torch.tensor([False, True, True, True])
    known = dice_ce(logits, target, drawn, dice_weight=1.0, ce_weight=0.0, squared=True)
    p, truth = logits.softmax(1), torch.nn.functional.one_hot(target, 4)
    dice = 2 * (p * truth).sum(0) / (p.square().sum(0) + truth.sum(0))
    torch.testing.assert_close(known, 1 - dice[1:].mean())


@pytest.mark.parametrize("squared", [False, True])
def test_gradients_are_those_of_the_formula(squared):
    logits, target = random_case()
    logits = logits.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: dice_ce(values, target, squared=squared), logits)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_the_layout_of_the_logits_changes_neither_the_loss_nor_its_gradient(layout):
    torch.manual_seed(0)
    plain = torch.randn(1, 5, 6, 7, 8)
    target = torch.randint(5, (6, 7, 8))
    found = []
    for logits in (plain.clone(), plain.clone(memory_format=layout)):
        logits.requires_grad_()
        cost = dice_ce(*rows(logits, target))
        cost.backward()
        found.append((cost.detach(), logits.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_ignored_voxels_have_no_gradient():
    logits = torch.randn(1, 3, 4, 4, 4, requires_grad=True)
    target = torch.randint(3, (4, 4, 4), dtype=torch.uint8)
    target[:2] = IGNORE
    dice_ce(*rows(logits, target)).backward()
    assert logits.grad[:, :, :2].abs().max() == 0
    assert logits.grad[:, :, 2:].abs().max() > 0


def test_a_volume_ignored_as_a_whole_costs_nothing_and_teaches_nothing():
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    cost = dice_ce(*rows(logits, torch.full((2, 2, 2), IGNORE, dtype=torch.uint8)))
    cost.backward()
    assert cost == 0
    assert logits.grad.abs().max() == 0


def test_a_label_nobody_drew_is_not_taught_as_absent():
    logits = torch.tensor([[0.0, 0.0, 9.0]], requires_grad=True)  # sure of label 2, in a voxel without any label
    target = torch.tensor([0])
    drawn = torch.tensor([False, True, False])
    known = dice_ce(logits, target, drawn)
    assert known.item() == pytest.approx(0, abs=1e-3)
    everything_drawn = dice_ce(logits, target)
    assert everything_drawn > 5


def test_a_drawn_label_is_taught_as_absent_where_it_is_not():
    logits = torch.tensor([[0.0, 9.0, 0.0]], requires_grad=True)
    dice_ce(logits, torch.tensor([0]), torch.tensor([False, True, False])).backward()
    assert logits.grad[0, 1] > 0.5


def test_a_drawn_part_of_an_incompletely_drawn_label_still_teaches():
    logits = torch.zeros(1, 3, requires_grad=True)
    dice_ce(logits, torch.tensor([2]), torch.tensor([False, True, False])).backward()
    assert logits.grad[0, 2] < 0


def test_negatives_weigh_as_much_as_a_sample_with_labels():
    logits = torch.zeros(5, 2)
    assert dice_ce(logits, torch.zeros(5, dtype=torch.long)).item() == pytest.approx(math.log(2))


def test_rows_keep_every_voxel_with_its_label():
    logits = torch.randn(1, 3, 2, 3, 4)
    target = torch.arange(24).reshape(2, 3, 4) % 3
    flat, labels = rows(logits, target)
    assert torch.equal(flat[7], logits[0, :, 0, 1, 3])
    assert labels[7] == target[0, 1, 3]


def test_entropy_is_highest_when_all_patches_are_alike_and_zero_when_one_is_certain():
    assert selection_entropy(torch.zeros(8)).item() == pytest.approx(math.log(8))
    assert selection_entropy(torch.tensor([100.0, 0, 0])).item() == pytest.approx(0, abs=1e-6)
    assert math.isfinite(selection_entropy(torch.tensor([0.0, -87.3, -300.0])).item())


def test_missed_errors_are_least_where_the_choice_is_as_the_errors_are():
    errors = torch.tensor([0.0, 3.0, 1.0, 0.0])
    right = torch.log(errors / 4 + 1e-6)
    least = float(missed_errors(right, errors))
    assert least == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), abs=1e-4)
    for other in (torch.zeros(4), right.flip(0), right + torch.tensor([0.0, 0.0, 2.0, 0.0])):
        assert float(missed_errors(other, errors)) > least + 0.05


def test_where_nothing_is_wrong_nothing_is_taught():
    scores = torch.randn(5, requires_grad=True)
    loss = missed_errors(scores, torch.zeros(5))
    loss.backward()
    assert float(loss.detach()) == 0 and not scores.grad.any()
