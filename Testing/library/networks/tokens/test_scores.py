"""The score of a token depends on the token and on the mean of all."""

import torch

from EfficientSegLib.networks.tokens.scores import ScoreHead


def test_it_says_one_number_or_more_of_every_token_in_float32():
    torch.manual_seed(0)
    x = torch.randn(2, 9, 12)
    assert ScoreHead(12)(x).shape == (2, 9, 1) and ScoreHead(12, outputs=2)(x).shape == (2, 9, 2)


def test_it_calculates_in_float32_whatever_the_precision_around_it():
    torch.manual_seed(0)
    head, x = ScoreHead(12), torch.randn(2, 9, 12)
    with torch.autocast("cpu", torch.bfloat16):
        inside = head(x)
    assert inside.dtype == torch.float32 and torch.equal(inside, head(x))


def test_scores_follow_the_tokens_wherever_they_stand():
    torch.manual_seed(0)
    head, x, order = ScoreHead(12), torch.randn(2, 9, 12), torch.randperm(9)
    torch.testing.assert_close(head(x[:, order]), head(x)[:, order])


def test_another_token_changes_a_score_only_through_the_mean():
    torch.manual_seed(0)
    head, x = ScoreHead(12), torch.randn(1, 9, 12)
    other = x.clone()
    other[:, 8] += torch.randn(12)
    assert (head(other) - head(x))[:, :8].abs().min() > 0
    read = torch.zeros(12, 12)
    read[:6] = head.read[1].weight[:6]  # the shared half no longer reads the tokens
    head.read[1].weight.data = read
    torch.testing.assert_close(head(other)[:, :8], head(x)[:, :8])


def test_absent_tokens_do_not_count_in_the_mean():
    torch.manual_seed(0)
    head, x = ScoreHead(12), torch.randn(1, 9, 12)
    present = torch.tensor([[1.0, 1, 0, 1, 0, 1, 1, 0, 1]])
    torch.testing.assert_close(head(x, present)[:, present[0].bool()], head(x[:, present[0].bool()]))
    torch.testing.assert_close(head(x, torch.ones(1, 9)), head(x))
    assert head(x, torch.zeros(1, 9)).isfinite().all()
