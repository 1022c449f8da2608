"""Attention and blocks, against their formulas."""

import pytest
import torch

from EfficientSegLib.networks.tokens.transformer import Attention, Block, DropPath, blocks


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return Attention(12, 3)


def as_written(attention, x, visible=None):
    """Softmax of scaled products, by loops over the heads; `visible` (N,) hides tokens from all but themselves."""
    queries, keys, values = (part.unflatten(2, (3, 4)) for part in attention.qkv(x).chunk(3, dim=2))
    heads, weights = [], []
    for head in range(3):
        pairs = queries[:, :, head] @ keys[:, :, head].mT / 2.0
        if visible is not None:
            hidden = ~(visible.bool()[None] | torch.eye(x.shape[1], dtype=torch.bool))
            pairs = pairs.masked_fill(hidden, -torch.inf)
        weights.append(pairs.softmax(2))
        heads.append(weights[-1] @ values[:, :, head])
    return attention.proj(torch.cat(heads, dim=2)), torch.stack(weights).mean(0)


def test_attention_is_softmax_of_scaled_products(attention):
    x = torch.randn(2, 7, 12)
    torch.testing.assert_close(attention(x), as_written(attention, x)[0])


def test_it_tells_how_much_the_first_token_attends_to_each(attention):
    x = torch.randn(2, 7, 12)
    answer, weights = attention.with_first(x)
    expected, pairs = as_written(attention, x)
    torch.testing.assert_close(answer, expected)
    torch.testing.assert_close(weights, pairs[:, 0])
    torch.testing.assert_close(weights.sum(1), torch.ones(2))


def test_hidden_tokens_are_seen_by_themselves_only(attention):
    x = torch.randn(2, 7, 12)
    visible = torch.tensor([1.0, 0, 1, 1, 0, 0, 1])
    found = attention.masked(x, visible.expand(2, -1))
    torch.testing.assert_close(found, as_written(attention, x, visible)[0])
    torch.testing.assert_close(attention.masked(x, torch.ones(2, 7)), attention(x))
    stay = visible.bool()  # for those that are seen, the others might as well not be there
    torch.testing.assert_close(found[:, stay], attention(x[:, stay]))


def test_a_hidden_token_is_told_whether_it_should_be_seen(attention):
    visible = torch.tensor([[1.0, 0, 1, 1, 0, 0, 1]], requires_grad=True)
    attention.masked(torch.randn(1, 7, 12), visible).square().sum().backward()
    assert visible.grad.isfinite().all() and visible.grad.abs().min() > 0


def test_a_hidden_token_that_all_would_attend_to_leaves_finite_numbers(attention):
    """Its products are so high that the others' exponentials vanish beside its own."""
    x = torch.randn(1, 7, 12, requires_grad=True)
    visible = torch.tensor([[1.0, 0, 1, 1, 0, 0, 1]], requires_grad=True)
    with torch.no_grad():
        attention.qkv.weight[:24] *= 100
        x[:, 1] *= 30
    found = attention.masked(x, visible)
    pairs = attention._parts(x)[0][:, :, 0] @ attention._parts(x)[1][:, :, 1, :, None] / 2.0
    assert pairs.abs().max() > 1000  # what would not survive
    torch.testing.assert_close(found, as_written(attention, x, visible[0])[0])
    found.square().sum().backward()
    assert x.grad.isfinite().all() and visible.grad.isfinite().all()


def test_tokens_have_no_order_of_their_own():
    torch.manual_seed(0)
    block, x, order = Block(12, 3), torch.randn(2, 9, 12), torch.randperm(9)
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order])


def test_the_three_ways_through_a_block_agree():
    torch.manual_seed(0)
    block, x = Block(12, 3), torch.randn(2, 9, 12)
    torch.testing.assert_close(block.with_first(x)[0], block(x))
    torch.testing.assert_close(block.masked(x, torch.ones(2, 9)), block(x))


def test_drop_path_leaves_out_whole_samples_in_training_only_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(4000, 2, 3)
    values = drop(x).flatten(1)
    assert (values == values[:, :1]).all()
    torch.testing.assert_close(values.unique(), torch.tensor([0, 4 / 3]))
    assert abs(float(values.mean()) - 1) < 0.03
    assert torch.equal(drop.eval()(x), x)


def test_drop_path_grows_linearly_over_the_depth():
    found = [block.drop_path.probability for block in blocks(12, 5, 3, 0.2)]
    assert found == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert blocks(12, 1, 3, 0.2)[0].drop_path.probability == 0
