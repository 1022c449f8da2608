"""Tokens of several depths become one volume again, each in its place."""

import torch

from EfficientSegLib.networks.tokens.encoding import Parted, Shared, Tokens, take


def example():
    """Twelve tokens of two samples, dropped at different times."""
    torch.manual_seed(0)
    whole = torch.randn(2, 12, 4)
    order = torch.stack([torch.randperm(12), torch.randperm(12)])
    places = [part.sort(1).values for part in order.split([6, 4, 2], dim=1)]
    return whole, Parted(torch.randn(2, 1, 4), [Tokens(take(whole, each), each) for each in places])


def test_what_was_parted_is_joined_again():
    whole, encoding = example()
    assert torch.equal(encoding.joined(encoding.values), whole)


def test_what_is_missing_is_filled():
    whole, encoding = example()
    filler = torch.arange(4.0)
    found = encoding.filled(encoding.values[-1], filler)
    for sample in range(2):
        kept = encoding.sets[-1].places[sample].tolist()
        for place in range(12):
            assert torch.equal(found[sample, place], whole[sample, place] if place in kept else filler)


def test_depths_say_in_which_set_a_token_is():
    _, encoding = example()
    depths = encoding.depths()
    assert depths.shape == (2, 12) and depths.dtype == torch.uint8
    for number, each in enumerate(encoding.sets):
        assert (depths.gather(1, each.places) == number).all()


def test_shares_of_zero_and_one_are_the_same_as_parts():
    whole, parted = example()
    depths = parted.depths()
    shared = Shared(parted.first, [whole] * 3, [(depths == number).float() for number in range(3)])
    factors = [2.0, -1.0, 5.0]
    made = [factor * values for factor, values in zip(factors, parted.values)]
    of_all = [factor * values for factor, values in zip(factors, shared.values)]
    assert torch.equal(shared.joined(of_all), parted.joined(made))
    filler = torch.arange(4.0)
    assert torch.equal(shared.filled(of_all[-1], filler), parted.filled(made[-1], filler))
    assert torch.equal(shared.depths(), depths)
