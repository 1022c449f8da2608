"""Completion: a token for every place again."""

import pytest
import torch

from EfficientSegLib.networks.tokens.assembly import MaskTokens, MultiLayerAssembly
from EfficientSegLib.networks.tokens.encoding import Parted, Tokens, take

GRID = (2, 2, 3)


def example():
    torch.manual_seed(0)
    whole, order = torch.randn(2, 12, 12), torch.stack([torch.randperm(12), torch.randperm(12)])
    places = [part.sort(1).values for part in order.split([6, 4, 2], dim=1)]
    return whole, Parted(torch.randn(2, 1, 12), [Tokens(take(whole, each), each) for each in places])


def test_every_token_goes_through_the_layer_of_its_depth_into_its_place():
    whole, encoding = example()
    assembly = MultiLayerAssembly(12, 3, GRID, stages=2)
    found, depths = assembly.assemble(encoding), encoding.depths()
    torch.testing.assert_close(found[:, :1], assembly.inputs[2](encoding.first) + assembly.depth_tokens[2])
    for sample in range(2):
        for place in range(12):
            depth = int(depths[sample, place])
            expected = assembly.inputs[depth](whole[sample, place]) + assembly.depth_tokens[depth]
            torch.testing.assert_close(found[sample, 1 + place], expected)


def test_mask_tokens_stand_where_tokens_were_dropped():
    whole, encoding = example()
    completion = MaskTokens(12, 3, GRID)
    found, kept = completion.assemble(encoding), encoding.depths() == 2
    torch.testing.assert_close(found[:, 1:][~kept], completion.mask.expand(int((~kept).sum()), -1))
    torch.testing.assert_close(found[:, 1:][kept], completion.input(whole[kept]))


@pytest.mark.parametrize("kind", [lambda: MultiLayerAssembly(12, 3, GRID, 2), lambda: MaskTokens(12, 3, GRID)])
def test_the_way_on_is_positions_block_norm_and_layer_without_the_class_token(kind):
    _, encoding = example()
    model = kind()
    x = model.block(model.assemble(encoding) + model.positions)
    assert torch.equal(model(encoding), model.out(model.norm(x))[:, 1:])
    assert model(encoding).shape == (2, 12, 12)
    assert "positions" not in model.state_dict() and not model.positions.requires_grad


def test_dropped_tokens_reach_the_answer_of_mta_and_not_of_mim():
    _, encoding = example()
    for each in encoding.sets:
        each.values.requires_grad_()
    for model, reached in [
        (MultiLayerAssembly(12, 3, GRID, 2), [True, True, True]),
        (MaskTokens(12, 3, GRID), [False, False, True]),
    ]:
        gradients = torch.autograd.grad(model(encoding).square().sum(), encoding.values, allow_unused=True)
        assert [gradient is not None for gradient in gradients] == reached
