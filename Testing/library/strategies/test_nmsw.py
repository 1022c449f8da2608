"""NMSW inference against what it must equal."""

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch.nn import functional

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.networks.inference import for_inference
from EfficientSegLib.strategies import Watcher, nmsw

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
OPTIONS = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}
SHAPE = (41, 16, 30)


class Record(Watcher):
    """Keeps what it is told; stops after a number of patches."""

    def __init__(self, stop_after=None):
        self.patches, self.read, self.stop_after = None, [], stop_after

    def chosen(self, patches, candidates, class_weights):
        self.patches, self.candidates, self.weights = patches, candidates, class_weights

    def refined(self, logits, box, read, total):
        self.read.append((box, read))

    def should_stop(self):
        return self.stop_after is not None and len(self.read) > self.stop_after


@pytest.fixture
def model():
    torch.manual_seed(1)
    model = networks.build("nmsw", OPTIONS, 1, 3).eval()
    model.theta.data = torch.tensor([0.5, -0.7, 2.0])
    return model


@pytest.fixture
def volume():
    return torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(2))


def predict(volume, model, watcher=None, **options):
    with torch.inference_mode():
        return nmsw.predict(volume, model, nmsw.Options(skip_background=False, **options), watcher)


def field(prediction):
    return prediction.logits.region(whole(prediction.logits.shape))


def coarse(volume, model):
    """The global prediction, up-sampled by torch itself, of the volume padded at its ends."""
    padded = functional.pad(volume, [0, 2, 0, 0, 0, 7])
    with torch.inference_mode():
        logits = model.propose(model.shrink(padded[None]), SHAPE).logits
    up = functional.interpolate(logits, scale_factor=2, mode="trilinear", align_corners=False)[0]
    return up[(slice(None), *(slice(0, n) for n in SHAPE))]


def test_all_patches_with_full_trust_equal_monais_sliding_window(volume, model):
    with torch.inference_mode():
        expected = sliding_window_inference(
            volume[None], (16, 16, 16), 1, model.local, overlap=0.5, mode="gaussian", sigma_scale=0.125
        )[0]
    ours = field(predict(volume, model, top_k=None, class_weights="one"))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_no_patch_equals_the_upsampled_global_prediction(volume, model):
    torch.testing.assert_close(field(predict(volume, model, top_k=0)), coarse(volume, model), atol=1e-5, rtol=1e-5)


def test_inside_the_patches_every_label_mixes_by_its_class_weight_and_outside_stays_coarse(volume, model):
    prediction = predict(volume, model, top_k=1)
    box = prediction.patches[0].box
    with torch.inference_mode():
        local = model.local(volume[(slice(None), *box.slices())][None])[0]
    expected = coarse(volume, model)
    trust = model.class_weights.detach()[:, None, None, None]
    inside = (slice(None), *box.slices())
    expected[inside] = trust * local + (1 - trust) * expected[inside]
    torch.testing.assert_close(field(prediction), expected, atol=1e-5, rtol=1e-5)


def test_a_region_equals_the_same_part_of_the_whole(volume, model):
    prediction = predict(volume, model, top_k=4)
    box = PatchBox((5, 3, 11), (38, 9, 30))
    part = field(prediction)[(slice(None), *box.slices())]
    torch.testing.assert_close(prediction.logits.region(box), part, atol=1e-6, rtol=1e-6)


def test_patches_are_distinct_in_order_of_priority_and_nested(volume, model):
    chosen = [patch for patch in predict(volume, model, top_k=None).patches]
    assert len({patch.box for patch in chosen}) == len(chosen) == 5 * 1 * 3
    assert [patch.rank for patch in chosen] == list(range(1, 16))
    for k in (0, 1, 4, 14):
        assert list(predict(volume, model, top_k=k).patches) == chosen[:k]


def test_two_runs_are_identical(volume, model):
    assert torch.equal(field(predict(volume, model, top_k=5)), field(predict(volume, model, top_k=5)))


def test_the_order_of_the_patches_changes_nothing_beyond_rounding(volume, model, monkeypatch):
    first = field(predict(volume, model, top_k=None))
    monkeypatch.setattr(nmsw, "top_k", lambda scores, k: torch.arange(k).flip(0))
    torch.testing.assert_close(field(predict(volume, model, top_k=None)), first, atol=1e-5, rtol=1e-5)


def test_logits_in_a_mapped_file_equal_those_in_memory(volume, model):
    in_memory = field(predict(volume, model, top_k=None))
    assert torch.equal(field(predict(volume, model, top_k=None, memory_mb=0)), in_memory)


def test_it_ends_early_once_only_background_is_left(volume, model):
    model.global_network.decoder[-1][-1].bias.data = torch.tensor([1e4, 0.0, 0.0])
    with torch.inference_mode():
        assert nmsw.predict(volume, model, nmsw.Options(top_k=5)).patches == ()
        assert len(nmsw.predict(volume, model, nmsw.Options(top_k=None)).patches) == 15


def test_after_a_stop_the_patches_read_so_far_are_kept(volume, model):
    watcher = Record(stop_after=2)
    prediction = predict(volume, model, watcher, top_k=5)
    assert prediction.logits.patches_read == 2
    torch.testing.assert_close(field(prediction), field(predict(volume, model, top_k=2)))


def test_the_watcher_hears_of_the_coarse_pass_and_of_every_patch(volume, model):
    watcher = Record()
    prediction = predict(volume, model, watcher, top_k=3)
    assert watcher.patches == prediction.patches
    assert watcher.candidates == 15
    assert watcher.read == [(None, 0), *((patch.box, patch.rank) for patch in prediction.patches)]
    assert watcher.weights == tuple(model.class_weights.tolist())


def test_a_volume_smaller_than_a_patch_is_padded_on_both_sides(model):
    thin = torch.randn(1, 24, 16, 5, generator=torch.Generator().manual_seed(3))
    padded = functional.pad(thin, [5, 6])
    prediction = predict(thin, model, top_k=None, class_weights="one")
    with torch.inference_mode():
        expected = sliding_window_inference(padded[None], (16, 16, 16), 1, model.local, overlap=0.5, mode="gaussian")
    assert field(prediction).shape == (3, 24, 16, 5)
    torch.testing.assert_close(field(prediction), expected[0, ..., 5:10], atol=1e-4, rtol=0)
    assert all(patch.box.stop[2] <= 5 for patch in prediction.patches)


@pytest.mark.parametrize("k", [-1, 16])
def test_a_number_of_patches_that_is_not_there_is_refused(volume, model, k):
    with pytest.raises(OptionError, match=f"top_k is {k}"):
        predict(volume, model, top_k=k)


def test_a_number_meant_as_at_most_reads_all_patches_of_a_small_volume(volume, model):
    assert len(predict(volume, model, top_k=99, clip_top_k=True).patches) == 15
    assert len(predict(volume, model, top_k=3, clip_top_k=True).patches) == 3


def test_a_plain_network_is_refused_with_the_strategy_that_fits(volume):
    with pytest.raises(OptionError, match="sliding_window"):
        predict(volume, networks.build("unet", UNET, 1, 2))


def test_a_volume_so_small_that_the_overview_is_a_single_cell_is_read_all_the_same():
    torch.manual_seed(0)
    model = for_inference(networks.build("nmsw", {**OPTIONS, "patch_size": [8, 8, 8]}, 1, 3))
    small = torch.randn(1, 6, 8, 7, generator=torch.Generator().manual_seed(1))
    found = predict(small, model, top_k=1)
    assert found.candidates == 1
    with torch.inference_mode():
        logits = found.logits.region(whole((6, 8, 7)))
    assert logits.shape == (3, 6, 8, 7) and bool(torch.isfinite(logits).all())
