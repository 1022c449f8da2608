"""A run that goes on from an earlier one must equal a fresh one bit for bit, and read nothing twice."""

import gc
from dataclasses import replace

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import ContinuationError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.networks.inference import for_inference
from EfficientSegLib.strategies import Watcher, nmsw, random_foreground

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
OPTIONS = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}
STRATEGIES = pytest.mark.parametrize("strategy", [nmsw, random_foreground], ids=["nmsw", "random_foreground"])


class Counting(torch.nn.Module):
    """A local network that counts its passes."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.passes = inner, 0

    def forward(self, patch):
        self.passes += 1
        return self.inner(patch)


class Stop(Watcher):
    """Stops after a number of patches in all; keeps what it is told."""

    def __init__(self, after=None):
        self.after, self.told = after, []

    def refined(self, logits, box, read, total):
        self.told.append((box, read, total))

    def should_stop(self):
        return self.after is not None and self.told[-1][1] >= self.after


def built(labels=3, seed=1):
    torch.manual_seed(seed)
    model = networks.build("nmsw", OPTIONS, 1, labels).eval()
    model.local_network = Counting(model.local_network)
    return model


@pytest.fixture
def model():
    return built()


@pytest.fixture
def volume():
    return torch.randn(1, 41, 14, 30, generator=torch.Generator().manual_seed(2))


def predict(strategy, volume, model, top_k, earlier=None, watcher=None, **options):
    with torch.inference_mode():
        return strategy.predict(volume, model, strategy.Options(top_k=top_k, **options), watcher, earlier)


def field(prediction):
    with torch.inference_mode():
        return prediction.logits.region(whole(prediction.logits.shape)).clone()


@STRATEGIES
@pytest.mark.parametrize("path", [(0, 4), (2, 2), (1, 3, 7), (5, None), (None, None)], ids=str)
def test_going_on_equals_a_fresh_run_and_reads_only_what_is_new(strategy, model, volume, path):
    fresh = field(predict(strategy, volume, model, path[-1]))
    model.local_network.passes = 0
    reading = None
    for k in path:
        prediction = predict(strategy, volume.clone(), model, k, reading)
        reading = prediction.reading
        assert model.local_network.passes == prediction.logits.patches_read == prediction.planned
    assert torch.equal(field(prediction), fresh)


@STRATEGIES
def test_a_stopped_run_can_go_on(strategy, model, volume):
    fresh = field(predict(strategy, volume, model, 6))
    model.local_network.passes = 0
    stopped = predict(strategy, volume, model, 6, watcher=Stop(after=2))
    assert (stopped.logits.patches_read, stopped.planned) == (2, 6)
    watcher = Stop()
    done = predict(strategy, volume, model, 6, stopped.reading, watcher)
    assert model.local_network.passes == 6
    assert watcher.told == [(None, 2, 6), *((patch.box, patch.rank, 6) for patch in done.patches[2:])]
    assert torch.equal(field(done), fresh)


def test_going_on_from_memory_into_a_file_changes_nothing(model, volume):
    fresh = field(predict(nmsw, volume, model, None))
    two_blocks_mb = 2 * 4 * 32**3 * 4 / 2**20
    first = predict(nmsw, volume, model, 1, memory_mb=two_blocks_mb)
    assert torch.equal(field(predict(nmsw, volume, model, None, first.reading)), fresh)


def test_a_file_for_each_further_budget_changes_nothing(model, volume):
    fresh = field(predict(nmsw, volume, model, 9))
    reading = None
    for k in (1, 4, 9):
        prediction = predict(nmsw, volume, model, k, reading, memory_mb=0)
        reading = prediction.reading
    assert torch.equal(field(prediction), fresh)


def test_skipped_background_is_read_once_all_is_asked_for(model, volume):
    model.global_network.decoder[-1][-1].bias.data = torch.tensor([1e4, 0.0, 0.0])
    first = predict(nmsw, volume, model, 5)
    assert first.planned == first.logits.patches_read == 0  # nothing but background
    more = predict(nmsw, volume, model, 99, first.reading, clip_top_k=True)
    assert more.planned == more.logits.patches_read == more.candidates
    assert torch.equal(field(more), field(predict(nmsw, volume, model, None)))


def test_class_weights_may_change_since_they_only_mix(model, volume):
    first = predict(nmsw, volume, model, 2, class_weights="learned")
    second = predict(nmsw, volume, model, 4, first.reading, class_weights="one")
    assert torch.equal(field(second), field(predict(nmsw, volume, model, 4, class_weights="one")))


def test_fewer_patches_than_were_read_are_refused(model, volume):
    first = predict(nmsw, volume, model, 4)
    with pytest.raises(ContinuationError, match="has read 4 patches, now they are to be 3.*Ask for 4 or more"):
        predict(nmsw, volume, model, 3, first.reading)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"volume": "other values"}, "another volume"),
        ({"volume": "other shape"}, "another volume"),
        ({"model": "another"}, "another model"),
        ({"model": "written to"}, "other weights"),
        ({"strategy": nmsw}, "strategy was random_foreground, now it is nmsw"),
        ({"seed": 5}, "seed was 0, now it is 5"),
        ({"pad_value": -0.1}, "pad_value was 0.0, now it is -0.1"),
    ],
)
def test_what_does_not_belong_together_is_refused(model, volume, change, words):
    reading = predict(random_foreground, volume, model, 2).reading
    strategy = change.pop("strategy", random_foreground)
    match change.pop("volume", None):
        case "other values":
            volume = volume + 1e-3
        case "other shape":
            volume = volume[..., :-1]
    match change.pop("model", None):
        case "another":
            model = built()
        case "written to":
            model.load_state_dict(model.state_dict())
    with pytest.raises(ContinuationError, match=f"{words}.*Run anew"):
        predict(strategy, volume, model, 4, reading, **change)


def test_a_kept_reading_does_not_keep_a_replaced_model(volume):
    model = built()
    reading = predict(nmsw, volume, model, 1).reading
    del model
    gc.collect()
    with pytest.raises(ContinuationError, match="another model"):
        predict(nmsw, volume, built(), 2, reading)


@pytest.mark.parametrize("layout", ["labels first", "labels last"])
@pytest.mark.parametrize("labels", [3, 118])
def test_any_order_of_the_patches_gives_the_same_logits_to_rounding(volume, layout, labels, monkeypatch):
    model = built(labels)
    model.local_network = torch.nn.Conv3d(1, labels, 3, padding=1)  # quick also with many labels
    if layout == "labels last":
        for_inference(model)
    expected = field(predict(nmsw, volume, model, None))
    for seed in range(2):
        order = torch.randperm(5 * 1 * 3, generator=torch.Generator().manual_seed(seed))
        monkeypatch.setattr(nmsw, "_by_priority", lambda overview, order=order: order.tolist())
        torch.testing.assert_close(field(predict(nmsw, volume, model, None)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("top_k", [0, 2])
def test_a_winner_that_is_known_without_logits_is_the_largest_everywhere(model, volume, top_k):
    prediction = predict(nmsw, volume, model, top_k, memory_mb=0)
    logits = field(prediction)
    known = 0
    for start in torch.cartesian_prod(torch.arange(0, 41, 2), torch.arange(0, 14, 2), torch.arange(0, 30, 2)).tolist():
        box = PatchBox(start, tuple(min(a + 2, n) for a, n in zip(start, (41, 14, 30))))
        winner = prediction.logits.winner(box)
        if winner is not None:
            known += 1
            assert logits[(slice(None), *box.slices())].argmax(0).eq(winner).all()
    assert known or top_k  # patches of this small volume lie nearly everywhere


def test_patches_without_structure_come_last_however_far_scores_lie_apart(model, volume):
    with torch.inference_mode():
        overview = nmsw.look(volume, model, 0.0)
    foreground = torch.arange(15) % 2 == 0
    wide = replace(overview, scores=torch.linspace(-300, 70, 15), foreground=foreground)
    assert nmsw._by_priority(wide) == [14, 12, 10, 8, 6, 4, 2, 0, 13, 11, 9, 7, 5, 3, 1]


def test_by_coverage_other_patches_come_first_and_going_on_is_exact_there_too(model, volume):
    fresh = predict(nmsw, volume, model, 6, order="coverage")
    plain = predict(nmsw, volume, model, 6)
    assert fresh.patches[0].box == plain.patches[0].box
    assert [patch.box for patch in fresh.patches] != [patch.box for patch in plain.patches]
    assert [patch.rank for patch in fresh.patches] == [1, 2, 3, 4, 5, 6]
    some = predict(nmsw, volume, model, 2, order="coverage")
    assert [patch.box for patch in some.patches] == [patch.box for patch in fresh.patches[:2]]
    more = predict(nmsw, volume, model, 6, some.reading, order="coverage")
    assert torch.equal(field(more), field(fresh))
    with pytest.raises(ContinuationError, match="Its order was coverage, now it is priority"):
        predict(nmsw, volume, model, 8, more.reading)
