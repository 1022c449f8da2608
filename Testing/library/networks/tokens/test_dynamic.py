"""DynamicViT: each token for itself in training, the K most probable in inference."""

import torch
from torch import nn

from EfficientSegLib.networks.tokens.dynamic import RATIO_WEIGHT, DynamicEncoder, KeepOrDrop
from EfficientSegLib.networks.tokens.encoder import Shape
from EfficientSegLib.networks.tokens.encoding import Parted, Shared

SHAPE = Shape(1, 12, 5, 3, 0.0, (8, 8, 8), (2, 3, 4))
COUNTS = (12, 6, 3)


def encoder(noise=True):
    torch.manual_seed(0)
    return DynamicEncoder(SHAPE, (1, 2, 4), [KeepOrDrop(12, noise) for _ in range(3)], reads=True)


def patches():
    return torch.randn(2, 1, 16, 24, 32, generator=torch.Generator().manual_seed(1))


def test_in_training_shares_are_zero_or_one_and_add_to_one():
    encoding = encoder()(patches(), COUNTS)
    assert isinstance(encoding, Shared)
    shares = torch.stack(encoding.shares)
    assert set(shares.unique().tolist()) == {0.0, 1.0} and (shares.sum(0) == 1).all()


def test_the_loss_asks_for_the_shares_of_inference_and_is_forgotten_once_taken():
    model = encoder()
    encoding = model(patches(), COUNTS)
    left = [1 - torch.stack(encoding.shares[: stage + 1]).sum(0).mean(1) for stage in range(3)]
    errors = [(kept - count / 24) ** 2 for kept, count in zip(left, COUNTS)]
    torch.testing.assert_close(model.taken_loss(), RATIO_WEIGHT * torch.stack(errors).mean())
    assert model.taken_loss() is None


def test_that_loss_moves_the_tokens_towards_the_ratio():
    model = encoder()
    optimiser = torch.optim.Adam(model.prunings.parameters(), 3e-3)
    errors = []
    for _ in range(60):
        model(patches(), (20, 17, 15))  # at first, each pruning keeps about half
        loss = model.taken_loss()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert sum(errors[-10:]) < 0.7 * sum(errors[:10])


def test_in_inference_the_k_most_probable_stay_and_the_others_are_not_computed():
    model = encoder().eval()
    encoding = model(patches(), COUNTS)
    assert isinstance(encoding, Parted)
    assert [each.places.shape[1] for each in encoding.sets] == [12, 6, 3, 3]
    tokens = model.blocks[0](model.embedding(patches()))[:, 1:]
    keep = model.prunings[0].head(tokens).softmax(2)[..., 0]
    expected = keep.argsort(1, descending=True)[:, :12].sort(1).values
    dropped = encoding.sets[0].places
    assert torch.equal(torch.cat((expected, dropped), dim=1).sort(1).values, torch.arange(24).expand(2, -1))


class Sign(nn.Module):
    """Keep a token where one of its channels is positive."""

    def __init__(self, channel):
        super().__init__()
        self.channel = channel

    def forward(self, tokens, present=None):
        return torch.stack((tokens[..., self.channel], -tokens[..., self.channel]), dim=2)


def test_what_is_dropped_in_training_is_hidden_from_those_that_stay():
    """Training's masks and inference's cuts give the survivors the same values, where both keep the same tokens."""
    model = encoder(noise=False)
    for number, pruning in enumerate(model.prunings):  # a part of the tokens stays each time, without noise
        pruning.head = Sign(number)
    masked = model.train()(patches()[:1], COUNTS)
    counts = [int((1 - torch.stack(masked.shares[: stage + 1]).sum(0)).sum()) for stage in range(3)]
    assert 24 > counts[0] > counts[1] > counts[2] > 0
    model.eval()
    cut = model(patches()[:1], counts)
    assert torch.equal(cut.depths(), masked.depths())
    stays = masked.depths()[0] == 3
    torch.testing.assert_close(cut.sets[-1].values[0], masked.values[-1][0][stays])
