"""The zoom-out baseline on drawn labels whose boxes are known."""

import pytest
import torch
from torch.nn import functional

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.networks.nmsw import Proposal
from EfficientSegLib.resampling import enlarge, shrink
from EfficientSegLib.strategies import Watcher, zoom_out

SHAPE = (40, 24, 30)
SMALL, LARGE = PatchBox((4, 6, 8), (8, 10, 12)), PatchBox((8, 0, 14), (40, 24, 30))


class Levels(torch.nn.Module):
    """Label n where the value is near n; the local network adds a smooth surprise. Meets `GlobalLocalModel`."""

    patch_size, overlap, downsampling, num_labels, size_multiple = (16, 16, 16), 0.5, (2, 2, 2), 4, (2, 2, 2)

    def __init__(self):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        generator = torch.Generator().manual_seed(3)
        self.surprise = functional.interpolate(torch.randn(1, 4, 4, 4, 4, generator=generator), size=(16, 16, 16))

    def shrink(self, volume):
        return functional.avg_pool3d(volume, 2)

    def logits(self, x):
        return torch.cat([-((x - n) ** 2) for n in range(4)], dim=1)

    def propose(self, low, shape):
        return Proposal(self.logits(low), torch.zeros(1), torch.ones(1, dtype=torch.bool))

    def local(self, patch):
        return self.logits(patch) + 3 * self.surprise

    @property
    def class_weights(self):
        return torch.full((4,), 0.5)


@pytest.fixture
def volume():
    volume = torch.zeros(1, *SHAPE)
    for value, box in ((3, LARGE), (1, SMALL)):
        volume[(slice(None), *box.slices())] = value
    return volume


def predict(volume, model=None, watcher=None):
    with torch.inference_mode():
        return zoom_out.predict(volume, model or Levels(), zoom_out.Options(), watcher)


def plain(volume, model, order):
    """The definition, with whole volumes of logits."""
    coarse = model.logits(model.shrink(volume[None]))[0]
    total = enlarge(coarse, SHAPE, whole(SHAPE)).clone()
    for channel, box in order:
        inside = (slice(None), *box.slices())
        logits = model.local(shrink(volume[inside], (16, 16, 16))[None])[0]
        others = torch.cat((logits[:channel], logits[channel + 1 :])).amax(0)
        logit, lead = enlarge(torch.stack((logits[channel], logits[channel] - others)), box.shape, whole(box.shape))
        total[(channel, *box.slices())] += torch.where(lead > 0, logit, 0)
    return total


def test_each_label_found_is_read_once_in_its_box_of_at_least_a_patch(volume):
    prediction = predict(volume)
    boxes = [patch.box for patch in prediction.patches]
    assert boxes == [PatchBox((0, 0, 2), (16, 16, 18)), PatchBox((8, 0, 14), (40, 24, 30))]
    assert [patch.rank for patch in prediction.patches] == [1, 2]
    assert prediction.patches[0].score == pytest.approx(SMALL.shape[0] ** 3 / (40 * 24 * 30))
    assert (prediction.planned, prediction.candidates, prediction.logits.patches_read) == (2, 3, 2)


def test_it_equals_its_definition_on_whole_volumes(volume):
    prediction = predict(volume)
    order = [(1, prediction.patches[0].box), (3, prediction.patches[1].box)]
    with torch.inference_mode():
        expected = plain(volume, Levels(), order)
        ours = prediction.logits.region(whole(SHAPE))
        changed = (expected != enlarge(Levels().logits(Levels().shrink(volume[None]))[0], SHAPE, whole(SHAPE))).sum()
    assert changed > 1000  # the local network had something to say
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_a_region_equals_the_same_part_of_the_whole(volume):
    logits = predict(volume).logits
    box = PatchBox((3, 5, 9), (21, 13, 30))
    part = logits.region(whole(SHAPE))[(slice(None), *box.slices())]
    torch.testing.assert_close(logits.region(box), part, atol=1e-6, rtol=1e-6)


def test_a_known_winner_is_the_largest_everywhere(volume):
    logits = predict(volume).logits
    everything = logits.region(whole(SHAPE))
    known = 0
    for start in torch.cartesian_prod(*(torch.arange(0, n, 4) for n in SHAPE)).tolist():
        box = PatchBox(start, tuple(min(a + 4, n) for a, n in zip(start, SHAPE)))
        if (winner := logits.winner(box)) is not None:
            known += 1
            assert everything[(slice(None), *box.slices())].argmax(0).eq(winner).all()
    assert known > 10


def test_background_and_auxiliary_channels_are_not_read(volume):
    model = Levels()
    model.ignored_channels = (0, 3)
    prediction = predict(volume, model)
    assert [patch.rank for patch in prediction.patches] == [1] and prediction.candidates == 2
    assert predict(torch.zeros(1, *SHAPE)).patches == ()


def test_a_volume_smaller_than_a_patch_is_padded():
    volume = torch.zeros(1, 10, 24, 30)
    volume[:, 2:6, 4:8, 4:8] = 1
    prediction = predict(volume)
    assert prediction.patches[0].box == PatchBox((0, 0, 0), (10, 16, 16))
    assert prediction.logits.region(whole((10, 24, 30))).shape == (4, 10, 24, 30)


def test_after_a_stop_the_rest_stays_coarse(volume):
    class Stop(Watcher):
        told = ()

        def refined(self, logits, box, read, total):
            self.told += ((box, read, total),)

        def should_stop(self):
            return len(self.told) == 2

    watcher = Stop()
    prediction = predict(volume, watcher=watcher)
    first = prediction.patches[0].box
    assert watcher.told == ((None, 0, 2), (first, 1, 2))
    assert prediction.logits.patches_read == 1 < prediction.planned
    with torch.inference_mode():
        expected = plain(volume, Levels(), [(1, first)])
    torch.testing.assert_close(prediction.logits.region(whole(SHAPE)), expected, atol=1e-5, rtol=1e-5)


def test_a_plain_network_is_refused_with_the_strategy_that_fits(volume):
    unet = networks.build("unet", {"channels": [4, 8, 8], "strides": [2, 2, 1]}, 1, 2)
    with pytest.raises(OptionError, match="'zoom_out'.*sliding_window"):
        zoom_out.predict(volume, unet, zoom_out.Options())
