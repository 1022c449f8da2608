"""Laws of the differentiable choice."""

from itertools import pairwise

import pytest
import torch

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import patch_grid
from EfficientSegLib.networks import topk
from EfficientSegLib.networks.topk import chosen_patches, mask_background, sample_without_replacement, top_k


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


def test_the_choice_is_nested_whatever_ties_there_are():
    for seed in range(20):
        scores = torch.randint(-2, 3, (40,), generator=generator(seed)).float()  # many ties
        scores = mask_background(scores, torch.rand(40, generator=generator(seed)) < 0.5)
        everything = top_k(scores, 40)
        for k in range(40):
            chosen = top_k(scores, k)
            assert torch.equal(chosen, everything[:k])
        for one, other in pairwise(everything):
            assert scores[one] > scores[other] or (scores[one] == scores[other] and one < other)


def test_draws_without_replacement_follow_successive_draws_of_what_is_left():
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.double)
    expected = {}
    for one in range(4):
        for other in set(range(4)) - {one}:
            expected[one, other] = float(weights[one] * weights[other] / (1 - weights[one]))
    counts = dict.fromkeys(expected, 0)
    source, draws = generator(5), 4000
    for _ in range(draws):
        counts[tuple(sample_without_replacement(weights.log(), 2, 0.7, source).indices.tolist())] += 1
    chi_square = sum((counts[pair] - draws * share) ** 2 / (draws * share) for pair, share in expected.items())
    assert chi_square < 31.3  # 0.1 % of correct samplers exceed it at 11 degrees of freedom


def test_masked_patches_are_drawn_only_when_no_other_is_left():
    foreground = torch.tensor([True, False, True, False, False])
    scores = mask_background(torch.tensor([-3.0, 5.0, 0.0, 2.0, 9.0]), foreground)
    for seed in range(50):
        drawn = sample_without_replacement(scores, 4, 1.0, generator(seed)).indices
        assert set(drawn[:2].tolist()) == {0, 2}


def test_one_noise_serves_all_draws_so_they_follow_its_order():
    scores = torch.randn(8, generator=generator(0))
    for seed in range(10):
        everything = sample_without_replacement(scores, 8, 1.0, generator(seed)).indices
        assert torch.equal(sample_without_replacement(scores, 3, 0.4, generator(seed)).indices, everything[:3])


def test_low_temperatures_make_the_draw_hard_and_high_ones_make_it_flat():
    scores = torch.linspace(0, 3, 6, dtype=torch.double)
    hard = sample_without_replacement(scores, 3, 1e-4, generator(2))
    torch.testing.assert_close(hard.hot, torch.ones(3, dtype=torch.double))
    assert (hard.soft.sum(0) <= 1 + 1e-9).all()
    flat = sample_without_replacement(scores, 1, 1e6, generator(2))
    torch.testing.assert_close(flat.soft, torch.full((1, 6), 1 / 6, dtype=torch.double), atol=1e-4, rtol=0)


def a_draw(k=3, seed=4):
    """A small volume, its 18 candidates, and scores in double precision."""
    volume = torch.randn(2, 8, 7, 6, dtype=torch.double, generator=generator(seed))
    grid = patch_grid((8, 7, 6), (4, 4, 3), 0.5)
    scores = torch.randn(len(grid), dtype=torch.double, generator=generator(seed + 1))
    return volume, grid, scores, k


def of_all_patches(volume, grid, selection):
    """The sum over all N patches as the paper writes it, through autograd."""
    everything = torch.stack([volume[(slice(None), *box.slices())] for box in grid])
    one_hot = torch.zeros_like(selection.soft).scatter(1, selection.indices[:, None], 1.0)
    straight = one_hot - selection.soft.detach() + selection.soft
    return torch.einsum("kn,ncxyz->kcxyz", straight * selection.soft, everything)


def gradients(patches_of, volume, grid, scores, k):
    volume, scores = volume.clone().requires_grad_(), scores.clone().requires_grad_()
    selection = sample_without_replacement(scores, k, 0.8, generator(9))
    selection.soft.retain_grad()
    patches = patches_of(volume, grid, selection)
    weights = torch.randn(patches.shape, dtype=torch.double, generator=generator(10))
    (weights * patches).sin().sum().backward()
    return patches.detach(), volume.grad, scores.grad, selection


def test_the_exact_gradient_is_that_of_the_sum_over_all_patches(monkeypatch):
    monkeypatch.setattr(topk, "AT_ONCE", 300)  # three candidates at a time
    case = a_draw()
    for ours, theirs in zip(gradients(chosen_patches, *case)[:3], gradients(of_all_patches, *case)[:3], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_lean_gradient_is_the_exact_ones_entry_of_the_chosen_patch():
    def lean(volume, grid, selection):
        return chosen_patches(volume, grid, selection, "chosen")

    patches, of_volume, _, selection = gradients(lean, *a_draw())
    expected, of_volume_exactly, _, exact = gradients(chosen_patches, *a_draw())
    torch.testing.assert_close(patches, expected)
    torch.testing.assert_close(of_volume, of_volume_exactly)
    chosen = torch.zeros_like(exact.soft).scatter(1, exact.indices[:, None], 1.0)
    torch.testing.assert_close(selection.soft.grad, exact.soft.grad * chosen)
    assert ((exact.soft.grad * (1 - chosen)).abs().amax(1) > 1e-3).all()


def test_the_exact_gradient_learns_that_an_unread_patch_would_have_been_better():
    volume = torch.zeros(1, 12, 4, 4)
    volume[:, 4:] = 1
    grid = patch_grid((12, 4, 4), (4, 4, 4), 0.0)
    soft = torch.tensor([[0.6, 0.3, 0.1]], requires_grad=True)
    patches = chosen_patches(volume, grid, topk.Selection(torch.tensor([0]), soft))
    (-patches.sum()).backward()  # the loss falls with the brightness of the patch, and the chosen one is black
    torch.testing.assert_close(soft.grad, torch.tensor([[0.0, -0.3 * 64, -0.1 * 64]]))


@pytest.mark.parametrize("length", [40, 136])  # 2 and 8 chunks of candidates
def test_the_memory_of_the_exact_gradient_does_not_grow_with_the_number_of_candidates(length, monkeypatch):
    monkeypatch.setattr(topk, "AT_ONCE", 4 * 16**3)
    volume = torch.rand(1, length, 16, 16)
    grid = patch_grid((length, 16, 16), (16, 16, 16), 0.75)
    soft = torch.softmax(torch.randn(2, len(grid)), 1).requires_grad_()
    patches = chosen_patches(volume, grid, topk.Selection(torch.tensor([0, 1]), soft))
    loss = patches.square().sum()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        loss.backward()
    held = highest = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    assert 0 < highest < 4 * (2 + 2 * 4) * 16**3 + 20_000  # both gradients, and four candidates with room to spare


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(OptionError, match="temperature is 0"):
        sample_without_replacement(torch.zeros(3), 1, 0)
