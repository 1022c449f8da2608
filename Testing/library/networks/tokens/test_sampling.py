"""How many tokens stay, and which."""

import pytest
import torch

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks.tokens.sampling import (
    gumbel,
    keep_counts,
    smallest_count,
    soft_mask,
    split,
    straight_through,
)


@pytest.mark.parametrize(
    "tokens, ratio, counts",
    [
        (1728, 0.9, (172, 17, 1)),
        (4096, 0.75, (1024, 256, 64)),
        (4096, 0.9, (409, 40, 3)),  # 40 (1 - 0.9) is a little less than 4
        (1000, 0.9, (99, 9)),  # and 1000 (1 - 0.9) than 100
    ],
)
def test_counts_known_from_the_paper_and_its_code(tokens, ratio, counts):
    assert keep_counts(tokens, ratio, len(counts)) == counts


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_ratio_outside_0_and_1_is_refused(ratio):
    with pytest.raises(OptionError, match="prune_ratio is .*above 0 and below 1"):
        keep_counts(1728, ratio, 3)


@pytest.mark.parametrize("ratio", [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_the_smallest_number_of_tokens_leaves_one_and_one_fewer_leaves_none(ratio, stages):
    smallest = smallest_count(ratio, stages)
    assert keep_counts(smallest, ratio, stages)[-1] >= 1
    if smallest > 1:
        with pytest.raises(OptionError, match=f"needs {smallest} tokens"):
            keep_counts(smallest - 1, ratio, stages)


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_kept_and_dropped_are_ascending_and_together_all(count):
    torch.manual_seed(count)
    scores = torch.randn(3, 12)
    kept, dropped = split(scores, count)
    assert kept.shape == (3, count) and dropped.shape == (3, 12 - count)
    for row in range(3):
        assert sorted([*kept[row].tolist(), *dropped[row].tolist()]) == list(range(12))
        assert kept[row].tolist() == sorted(kept[row].tolist())
        assert dropped[row].tolist() == sorted(dropped[row].tolist())
        if 0 < count < 12:
            assert scores[row, kept[row]].min() > scores[row, dropped[row]].max()


def test_of_equal_scores_the_first_ones_stay():
    kept, dropped = split(torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0, 0.0]]), 3)
    assert (kept.tolist(), dropped.tolist()) == ([[0, 1, 4]], [[2, 3, 5]])


def test_the_hard_mask_of_a_noisy_draw_has_k_ones_and_the_gradient_of_the_soft_one():
    torch.manual_seed(0)
    scores = torch.randn(2, 40, requires_grad=True)
    soft = soft_mask(scores.log_softmax(1), noise=True)
    torch.testing.assert_close(soft.sum(1), torch.ones(2))
    kept, _ = split(soft.detach(), 7)
    mask = straight_through(soft, torch.zeros(2, 40).scatter(1, kept, 1.0))
    assert mask.sum(1).tolist() == [7, 7] and set(mask.unique().tolist()) == {0.0, 1.0}
    weights = torch.randn(2, 40)
    (of_mask,) = torch.autograd.grad((mask * weights).sum(), scores, retain_graph=True)
    (of_soft,) = torch.autograd.grad((soft * weights).sum(), scores)
    assert torch.equal(of_mask, of_soft) and of_mask.abs().min() > 0


def test_without_noise_the_best_are_kept_and_with_noise_all_are_now_and_then():
    scores = torch.linspace(0, -2, 6)[None]
    assert torch.equal(split(soft_mask(scores, noise=False), 2)[0], torch.tensor([[0, 1]]))
    torch.manual_seed(0)
    drawn = [split(soft_mask(scores, noise=True), 2)[0] for _ in range(200)]
    times = torch.cat(drawn, dim=1)[0].bincount(minlength=6)
    assert times.min() > 0 and times[0] > 2 * times[5]


def test_the_noise_is_gumbels_finite_and_repeats_with_torchs_seed():
    torch.manual_seed(3)
    noise = gumbel(torch.empty(200_000))
    torch.manual_seed(3)
    assert torch.equal(noise, gumbel(torch.empty(200_000))) and noise.isfinite().all()
    assert abs(float(noise.mean()) - 0.5772) < 0.01 and abs(float(noise.var()) - 1.6449) < 0.03
