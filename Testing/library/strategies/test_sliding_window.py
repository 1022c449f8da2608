"""The lazy sliding window against MONAI's."""

import pytest
import torch
from monai.inferers import sliding_window_inference

from EfficientSegLib import networks, strategies
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.strategies import Watcher, sliding_window

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}


@pytest.fixture
def model():
    torch.manual_seed(1)
    return networks.build("unet", UNET, 1, 3).eval()


@pytest.fixture
def volume():
    return torch.randn(1, 20, 33, 90, generator=torch.Generator().manual_seed(2))


def predict(volume, model, watcher=None, **options):
    with torch.inference_mode():
        return sliding_window.predict(
            volume, model, sliding_window.Options(**{"patch_size": (16, 16, 16), **options}), watcher
        )


def slabs(prediction, thickness):
    """All logits, asked for from the first slab to the last."""
    shape = prediction.logits.shape
    parts = []
    with torch.inference_mode():
        for start in range(0, shape[2], thickness):
            box = PatchBox((0, 0, start), (*shape[:2], min(start + thickness, shape[2])))
            parts.append(prediction.logits.region(box))
    return torch.cat(parts, dim=3)


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_it_equals_monais_slab_by_slab(volume, model, overlap):
    with torch.inference_mode():
        expected = sliding_window_inference(volume[None], (16, 16, 16), 1, model, overlap=overlap, mode="gaussian")[0]
    torch.testing.assert_close(slabs(predict(volume, model, overlap=overlap), 7), expected, atol=1e-4, rtol=0)


def test_every_patch_is_read_once_and_only_when_it_is_needed(volume, model):
    prediction = predict(volume, model)
    assert prediction.logits.patches_read == 0
    with torch.inference_mode():
        prediction.logits.region(PatchBox((0, 0, 0), (20, 33, 1)))
    assert prediction.logits.patches_read == 2 * 4
    slabs(prediction, 90)
    assert prediction.logits.patches_read == prediction.candidates == 2 * 4 * 11


def test_blocks_behind_are_forgotten(volume, model):
    prediction = predict(volume, model)
    slabs(prediction, 8)
    kept = {key[2] for key in prediction.logits._blend._blocks}
    assert min(kept) >= 2


def test_after_a_stop_the_rest_stays_unread(volume, model):
    class Stop(Watcher):
        def should_stop(self):
            return True

    prediction = predict(volume, model, Stop())
    with torch.inference_mode():
        assert not prediction.logits.region(whole(prediction.logits.shape)).any()
    assert prediction.logits.patches_read == 0


def test_a_network_without_a_patch_size_needs_one(volume, model):
    with pytest.raises(OptionError, match="patch_size is null"):
        predict(volume, model, patch_size=None)


def test_an_unknown_strategy_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="'zoom'. Known: nmsw, random_foreground, slices, sliding_window, zoom_out"):
        strategies.module("zoom")
