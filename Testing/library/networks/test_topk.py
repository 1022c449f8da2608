"""Laws of the differentiable choice."""

import pytest
import torch

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks.topk import mask_background, sample_without_replacement, top_k


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_the_choice_is_nested_and_ties_go_to_the_lower_index():
    scores = torch.tensor([1.0, 3.0, 3.0, -2.0, 3.0])
    assert top_k(scores, 5).tolist() == [1, 2, 4, 0, 3]
    for k in range(5):
        assert top_k(scores, k).tolist() == top_k(scores, k + 1).tolist()[:k]


@pytest.mark.parametrize("k", [-1, 6])
def test_a_count_out_of_range_is_refused(k):
    with pytest.raises(OptionError, match=f"top_k is {k}.*5 candidate"):
        top_k(torch.zeros(5), k)


def test_background_comes_after_all_else_and_keeps_its_order():
    scores = torch.tensor([70.0, -10.0, 50.0, 0.0])
    foreground = torch.tensor([False, True, False, True])
    assert top_k(mask_background(scores, foreground), 4).tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize("temperature", [2.0, 0.33])
def test_no_patch_is_drawn_twice_even_when_all_is_background(temperature):
    scores = mask_background(torch.linspace(-60, 60, 12), torch.zeros(12, dtype=torch.bool))
    for seed in range(30):
        selection = sample_without_replacement(scores, 12, temperature, generator(seed))
        assert sorted(selection.indices.tolist()) == list(range(12))


def test_each_relaxed_draw_is_a_distribution():
    selection = sample_without_replacement(torch.randn(9), 4, 0.7, generator(1))
    assert selection.soft.shape == (4, 9)
    torch.testing.assert_close(selection.soft.sum(1), torch.ones(4))


def test_first_draws_follow_the_softmax_of_the_scores():
    scores = torch.tensor([0.0, 1.0, 2.0])
    draws = torch.stack([sample_without_replacement(scores, 1, 1.0, generator(s)).indices[0] for s in range(3000)])
    share = torch.bincount(draws, minlength=3) / 3000
    torch.testing.assert_close(share, torch.softmax(scores, 0), atol=0.03, rtol=0)


def test_the_scale_is_the_soft_value_forward_and_the_product_rule_backward():
    scores = torch.tensor([0.3, 1.2, -0.4, 0.1], requires_grad=True)
    selection = sample_without_replacement(scores, 2, 0.9, generator(3))
    hot = selection.soft.gather(1, selection.indices[:, None])[:, 0]
    torch.testing.assert_close(selection.scale, hot)
    gradient = torch.autograd.grad(selection.scale.sum(), scores, retain_graph=True)[0]
    # z s with z = 1 - sg(s) + s is 1 * s forward; its derivative is (s' * s + z * s') = (s + 1) s'.
    expected = torch.autograd.grad(((hot.detach() + 1) * hot).sum(), scores)[0]
    torch.testing.assert_close(gradient, expected)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(OptionError, match="temperature is 0"):
        sample_without_replacement(torch.zeros(3), 1, 0)
