"""Sparse encoders: what is dropped, what goes on, what learns."""

import pytest
import torch
from torch import nn

from EfficientSegLib.networks.tokens.encoder import (
    AttendedPruning,
    Encoder,
    LearnedPruning,
    Shape,
    SparseEncoder,
)
from EfficientSegLib.networks.tokens.encoding import Tokens

SHAPE = Shape(1, 12, 5, 3, 0.0, (8, 8, 8), (2, 3, 4))
COUNTS = (12, 6, 3)
PRUNINGS = {"stp": lambda: LearnedPruning(12, noise=True), "evit": AttendedPruning}


def encoder(kind="stp"):
    torch.manual_seed(0)
    return SparseEncoder(SHAPE, (1, 2, 4), [PRUNINGS[kind]() for _ in range(3)], reads=True)


def patches():
    return torch.randn(2, 1, 16, 24, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", PRUNINGS)
@pytest.mark.parametrize("training", [False, True])
def test_the_sets_part_all_tokens(kind, training):
    encoding = encoder(kind).train(training)(patches(), COUNTS)
    assert [each.values.shape for each in encoding.sets] == [(2, 12, 12), (2, 6, 12), (2, 3, 12), (2, 3, 12)]
    places = torch.cat([each.places for each in encoding.sets], dim=1)
    assert torch.equal(places.sort(1).values, torch.arange(24).expand(2, -1))
    assert all((each.places.diff(dim=1) > 0).all() for each in encoding.sets)
    assert encoding.first.shape == (2, 1, 12)


def test_samples_of_a_batch_choose_for_themselves_and_do_not_see_each_other():
    model, x = encoder().eval(), patches()
    both, alone = model(x, COUNTS), [model(each[None], COUNTS) for each in x]
    assert not torch.equal(both.sets[0].places[0], both.sets[0].places[1])
    for number, each in enumerate(alone):
        for one, other in zip(both.sets, each.sets):
            assert torch.equal(one.places[number], other.places[0])
            torch.testing.assert_close(one.values[number], other.values[0])


def test_in_inference_the_same_tokens_stay_and_in_training_others():
    model, x = encoder(), patches()
    one, other = (model.eval()(x, COUNTS) for _ in range(2))
    assert all(torch.equal(a.values, b.values) for a, b in zip(one.sets, other.sets))
    torch.manual_seed(1)
    first, second = (model.train()(x, COUNTS).sets[0].places for _ in range(2))
    torch.manual_seed(1)
    assert not torch.equal(first, second) and torch.equal(first, model(x, COUNTS).sets[0].places)


def test_without_noise_training_keeps_what_inference_keeps_with_the_same_values():
    model = encoder()
    for pruning in model.prunings:
        pruning.noise = False
    trained, inferred = model.train()(patches(), COUNTS), model.eval()(patches(), COUNTS)
    for one, other in zip(trained.sets, inferred.sets):
        assert torch.equal(one.places, other.places)
        torch.testing.assert_close(one.values, other.values, rtol=0, atol=0)  # the masks are exactly 1


@pytest.mark.parametrize("of", ["kept", "dropped"])
def test_every_score_head_learns_from_kept_and_from_dropped_tokens(of):
    model = encoder()
    encoding = model(patches(), COUNTS)
    read = encoding.sets[3:] if of == "kept" else encoding.sets[2:3]  # dropped last: behind all three choices
    sum((each.values * torch.randn_like(each.values)).sum() for each in read).backward()
    for pruning in model.prunings:
        for name, parameter in pruning.head.named_parameters():
            # Adding one number to all scores changes no softmax, but for the curve of the log-sigmoid.
            assert parameter.grad.abs().max() > 0, name


def test_tokens_that_are_kept_have_no_order():
    """The blocks behind a choice give the same, token for token, however those that are left are lined up."""

    class Shuffled(nn.Module):
        def __init__(self, pruning):
            super().__init__()
            self.pruning = pruning

        def forward(self, *given):
            pruned = self.pruning(*given)
            order = torch.randperm(pruned.kept.places.shape[1])
            return pruned._replace(kept=Tokens(pruned.kept.values[:, order], pruned.kept.places[:, order]))

    plain, shuffled = encoder().eval(), encoder().eval()
    shuffled.prunings = nn.ModuleList(Shuffled(pruning) for pruning in shuffled.prunings)
    expected, found = plain(patches(), COUNTS), shuffled(patches(), COUNTS)
    assert not torch.equal(expected.sets[-1].places, found.sets[-1].places)
    assert torch.equal(expected.depths(), found.depths())
    torch.testing.assert_close(found.joined(found.values), expected.joined(expected.values))
    torch.testing.assert_close(found.first, expected.first)


@pytest.mark.parametrize("kind", ["stp"])
def test_keeping_all_is_the_dense_encoder(kind):
    sparse = encoder(kind).eval()
    dense = Encoder(SHAPE).eval()
    dense.load_state_dict(sparse.state_dict(), strict=False)
    encoding = sparse(patches(), (24, 24, 24))
    torch.testing.assert_close(encoding.sets[-1].values, dense(patches())[-1])
    assert (encoding.depths() == 3).all()


def test_a_dense_encoder_hands_over_the_blocks_asked_for():
    torch.manual_seed(0)
    dense = Encoder(SHAPE).eval()
    found = dense(patches(), (0, 3))
    x = dense.embedding(patches())
    for number, block in enumerate(dense.blocks):
        x = block(x)
        if number in (0, 3):
            torch.testing.assert_close(found[number // 3], x[:, 1:])
    torch.testing.assert_close(found[2], dense.norm(x)[:, 1:])


def test_evit_keeps_what_the_class_token_attends_to_and_fuses_the_rest_by_it():
    torch.manual_seed(0)
    block, x = encoder("evit").blocks[0], torch.randn(1, 2 + 9, 12)
    after, attention = block.with_first(x)
    pruned = AttendedPruning()(block, x, 2, 4)
    order = attention[0, 2:].argsort(descending=True)
    assert pruned.kept.places[0].tolist() == sorted(order[:4].tolist())
    weights = attention[0, 2:][order[4:]]
    fused = (weights[:, None] * after[0, 2:][order[4:]]).sum(0) / weights.sum()
    torch.testing.assert_close(pruned.front[0], torch.cat((after[0, :2], fused[None])))


def test_only_tokens_that_are_left_are_computed():
    lengths, model = [], encoder().train()
    for block in model.blocks:
        block.mlp.register_forward_pre_hook(lambda _, given: lengths.append(given[0].shape[1]))
    model(patches(), COUNTS)
    assert lengths == [25, 13, 7, 7, 4]
