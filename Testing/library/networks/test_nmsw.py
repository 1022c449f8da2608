"""NMSW's network: pooling over exact extents, the background mask, the class weights."""

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import patch_grid

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
OPTIONS = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}


class FixedGlobal(torch.nn.Module):
    """Stands for the global network: given features and logits."""

    def __init__(self, features, logits):
        super().__init__()
        self.features, self.logits = features, logits

    def features_and_logits(self, low):
        return self.features, self.logits


class FirstChannel(torch.nn.Module):
    """Stands for the score head: shows what it is given."""

    def forward(self, pooled):
        return pooled[:, :1]


def model_with(features, logits, **options):
    model = networks.build("nmsw", {**OPTIONS, **options}, 1, logits.shape[1])
    model.global_network = FixedGlobal(features, logits)
    return model


def test_the_score_head_has_the_published_parameters():
    head = networks.build("nmsw", {}, 1, 20).score_head
    assert sum(parameter.numel() for parameter in head.parameters()) == 819


def test_scores_read_the_mean_of_the_exact_extent_of_each_patch():
    shape = (40, 16, 24)
    features = torch.rand(1, 4, 10, 4, 6)  # one feature cell is 4 voxels
    model = model_with(features, torch.zeros(1, 2, 20, 8, 12))
    scores = model.propose(torch.zeros(1, 1, 20, 8, 12), shape).scores
    for box, score in zip(patch_grid(shape, (16, 16, 16), 0.5), scores, strict=True):
        part = features[(..., *(slice(a // 4, b // 4) for a, b in zip(box.start, box.stop)))]
        expected = model.score_head(part.mean((2, 3, 4), keepdim=True)).flatten()[0]
        torch.testing.assert_close(score, expected)


def test_the_references_scores_read_single_points_between_the_cells():
    """A ramp is resized exactly by linear interpolation, so each score tells the point that was read."""
    shape = (40, 16, 24)
    cells = (10, 4, 6)
    ramp = torch.arange(10.0)[:, None, None] + 8 * torch.arange(6.0)
    model = model_with(ramp.expand(1, 4, *cells), torch.zeros(1, 2, 20, 8, 12), pooling="trilinear")
    model.score_head = FirstChannel()
    scores = model.propose(torch.zeros(1, 1, 20, 8, 12), shape).scores
    points = [((i + 0.5) * 10 / 4 - 0.5, (k + 0.5) * 6 / 2 - 0.5) for i in range(4) for k in range(2)]
    expected = torch.tensor([one + 8 * other for one, other in points])
    torch.testing.assert_close(scores, expected)


def test_both_forms_of_the_score_agree_where_features_are_the_same_everywhere():
    features, logits = torch.rand(1, 4, 1, 1, 1).expand(1, 4, 10, 4, 6), torch.zeros(1, 2, 20, 8, 12)
    torch.manual_seed(0)
    ours = model_with(features, logits)
    reference = model_with(features, logits, pooling="trilinear")
    reference.score_head.load_state_dict(ours.score_head.state_dict())
    low = torch.zeros(1, 1, 20, 8, 12)
    scores = ours.propose(low, (40, 16, 24)).scores
    torch.testing.assert_close(scores, reference.propose(low, (40, 16, 24)).scores)
    torch.testing.assert_close(scores, scores[:1].expand(8))


def test_both_forms_of_the_score_learn():
    for pooling in ("extent", "trilinear"):
        features = torch.rand(1, 4, 10, 4, 6, requires_grad=True)
        model = model_with(features, torch.zeros(1, 2, 20, 8, 12), pooling=pooling)
        model.propose(torch.zeros(1, 1, 20, 8, 12), (40, 16, 24)).scores.sum().backward()
        assert features.grad.abs().max() > 0
        # Points leave most cells unread; the extents of the patches together read every one.
        assert (features.grad.abs().amax(1) > 0).all() == (pooling == "extent")


def test_one_voxel_of_a_structure_makes_a_patch_foreground_wherever_it_lies():
    shape = (32, 16, 32)
    for corner in [(0, 0, 0), (15, 7, 15), (3, 5, 9)]:
        logits = torch.zeros(1, 2, 16, 8, 16)
        logits[0, 0] = 1
        logits[(0, 1, *corner)] = 2
        foreground = model_with(torch.zeros(1, 4, 8, 4, 8), logits).propose(torch.zeros(1, 1, 16, 8, 16), shape)[2]
        for box, is_foreground in zip(patch_grid(shape, (16, 16, 16), 0.5), foreground, strict=True):
            holds = all(a <= 2 * c < b for a, b, c in zip(box.start, box.stop, corner))
            assert bool(is_foreground) == holds


def test_auxiliary_labels_do_not_make_a_patch_worth_reading():
    logits = torch.zeros(1, 3, 16, 8, 16)
    logits[0, 2] = 1
    features = torch.zeros(1, 4, 8, 4, 8)
    low = torch.zeros(1, 1, 16, 8, 16)
    assert model_with(features, logits).propose(low, (32, 16, 32)).foreground.all()
    assert not model_with(features, logits, auxiliary_labels=[2]).propose(low, (32, 16, 32)).foreground.any()


def test_scores_are_cut_at_70_so_that_none_takes_every_draw():
    model = model_with(torch.full((1, 4, 8, 4, 8), 1e6), torch.zeros(1, 2, 16, 8, 16))
    for parameter in model.score_head.parameters():
        torch.nn.init.constant_(parameter, 1.0)
    assert model.propose(torch.zeros(1, 1, 16, 8, 16), (32, 16, 32)).scores.max() == 70


def test_class_weights_begin_at_one_half_and_stay_between_their_bounds():
    model = networks.build("nmsw", OPTIONS, 1, 3)
    torch.testing.assert_close(model.class_weights, torch.full((3,), 0.5))
    model.theta.data = torch.tensor([-100.0, 0.0, 100.0])
    torch.testing.assert_close(model.class_weights, torch.sigmoid(torch.tensor([-1.0, 0.0, 10.0])))


def test_a_patch_the_local_network_cannot_halve_is_refused():
    with pytest.raises(OptionError, match=r"multiples of \(4, 4, 4\).*Use \(16, 20, 16\)"):
        networks.build("nmsw", {**OPTIONS, "patch_size": [16, 18, 16]}, 1, 2)
