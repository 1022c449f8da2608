"""Slice position: nothing at first, and then what was learnt."""

import torch

from EfficientSegLib.networks.slice_parts.film import SlicePosition


def test_at_first_it_is_the_identity_but_for_weights_of_a_hundredth():
    torch.manual_seed(0)
    film, x = SlicePosition(256).eval(), torch.randn(2, 256, 4, 4)
    position = torch.tensor([0.0, 1.0])
    told = film.trunk(position[:, None])
    for layer, start in ((film.gamma, 1.0), (film.beta, 0.0)):
        noise = (layer(told) - start).std(dim=1) / told.norm(dim=1)
        torch.testing.assert_close(noise, torch.full((2,), 1e-2), rtol=0.2, atol=0)
        torch.nn.init.zeros_(layer.weight)
    assert torch.equal(film(x, position), x)


def test_it_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in SlicePosition(256).parameters()) == 82_816


def test_every_slice_is_changed_by_its_own_position():
    torch.manual_seed(0)
    film, x = SlicePosition(8).eval(), torch.randn(1, 8, 2, 2).expand(3, -1, -1, -1)
    with torch.no_grad():
        film.gamma.weight.mul_(100)
    first, second, third = film(x, torch.tensor([0.1, 0.9, 0.1]))
    assert torch.equal(first, third) and not torch.allclose(first, second, atol=1e-2)


def test_integers_and_half_precision_positions_are_understood():
    film, x = SlicePosition(8).eval(), torch.randn(2, 8, 2, 2)
    assert torch.equal(film(x, torch.tensor([0, 1])), film(x, torch.tensor([0.0, 1.0], dtype=torch.float16)))
