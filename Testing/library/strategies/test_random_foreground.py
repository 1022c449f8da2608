"""The random-foreground baseline: which patches it draws, and what it does with them."""

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import whole
from EfficientSegLib.strategies import knows, nmsw, random_foreground

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
OPTIONS = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}


@pytest.fixture
def model():
    torch.manual_seed(1)
    return networks.build("nmsw", OPTIONS, 1, 3).eval()


@pytest.fixture
def half_empty(model):
    """A volume and the model, changed so that only values above 0.5 in the first third count as structure."""
    volume = torch.zeros(1, 64, 32, 24)
    volume[:, :20] = torch.rand(1, 20, 32, 24, generator=torch.Generator().manual_seed(4)) + 1

    def features_and_logits(low):
        logits = torch.cat((torch.full_like(low, 0.5), low, torch.full_like(low, -9)), dim=1)
        return torch.zeros(1, 4, *(n // 2 for n in low.shape[2:])), logits

    model.global_network.features_and_logits = features_and_logits
    model.local_network = torch.nn.Conv3d(1, 3, 3, padding=1)
    return volume


def boxes(strategy, volume, model, **options):
    with torch.inference_mode():
        return [patch.box for patch in strategy.predict(volume, model, strategy.Options(**options)).patches]


def test_it_draws_among_all_patches_with_structure_before_any_other(half_empty, model):
    foreground = set(boxes(nmsw, half_empty, model, top_k=41))  # ends early
    everything = boxes(random_foreground, half_empty, model, top_k=None)
    assert 0 < len(foreground) < len(everything) == 7 * 3 * 2
    for seed in range(5):
        drawn = boxes(random_foreground, half_empty, model, top_k=41, seed=seed)
        assert set(drawn[: len(foreground)]) == foreground
        assert len(set(drawn)) == 41
        assert set(boxes(random_foreground, half_empty, model, top_k=41, seed=seed, skip_background=True)) == foreground


def test_one_seed_gives_nested_draws_and_two_seeds_different_ones(half_empty, model):
    longest = boxes(random_foreground, half_empty, model, top_k=None, seed=3)
    for k in (0, 1, 5, 30):
        assert boxes(random_foreground, half_empty, model, top_k=k, seed=3) == longest[:k]
    assert boxes(random_foreground, half_empty, model, top_k=5, seed=4) != longest[:5]


def test_every_patch_with_structure_is_drawn_first_about_equally_often(half_empty, model):
    with torch.inference_mode():
        overview = random_foreground.look(half_empty, model, 0.0)
    count = int(overview.foreground.sum())
    first = torch.tensor([random_foreground._drawn(overview, seed)[0] for seed in range(40 * count)])
    often = torch.bincount(first, minlength=42)[overview.foreground]
    assert often.sum() == 40 * count
    chi_squared = float(((often - 40) ** 2 / 40).sum())
    assert chi_squared < count + 4 * (2 * count) ** 0.5  # four deviations above what uniform draws give on average


def test_all_patches_equal_nmsw_with_all_patches(half_empty, model):
    def field(strategy, weights):
        options = strategy.Options(top_k=None, class_weights=weights)
        with torch.inference_mode():
            return strategy.predict(half_empty, model, options).logits.region(whole((64, 32, 24)))

    for weights in ("one", "learned"):
        torch.testing.assert_close(field(random_foreground, weights), field(nmsw, weights), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("choice, expected", [("ten", 0.99995460), ("one", 1.0), ("learned", 0.5)])
def test_class_weights_are_the_papers_unless_asked_otherwise(half_empty, model, choice, expected):
    with torch.inference_mode():
        options = random_foreground.Options(top_k=1, class_weights=choice)
        weights = random_foreground.predict(half_empty, model, options).class_weights
    assert weights == pytest.approx((expected,) * 3, abs=1e-7)
    assert random_foreground.Options().class_weights == "ten"


def test_it_counts_patches_and_needs_an_overview(half_empty):
    assert knows("random_foreground", "top_k") and not knows("zoom_out", "top_k")
    with pytest.raises(OptionError, match="'random_foreground'.*sliding_window"):
        random_foreground.predict(half_empty, networks.build("unet", UNET, 1, 2), random_foreground.Options())
