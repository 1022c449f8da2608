"""What is wanted first is read first, nothing is read twice, and with no wish nothing changes."""

from dataclasses import replace

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import ContinuationError, OptionError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.strategies import Watcher, nmsw, random_foreground, sliding_window, takes_preference
from EfficientSegLib.strategies.preference import Preference

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
OPTIONS = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}
SHAPE = (41, 14, 30)  # the second axis is shorter than a patch: padded
CORNER = PatchBox((40, 13, 29), (41, 14, 30))
STRATEGIES = pytest.mark.parametrize("strategy", [nmsw, random_foreground], ids=["nmsw", "random_foreground"])


class Reads(Watcher):
    """Keeps the boxes that were read; stops after a number of them."""

    def __init__(self, stop_after=None):
        self.boxes, self.stop_after = [], stop_after

    def refined(self, logits, box, read, total):
        self.boxes += [] if box is None else [box]

    def should_stop(self):
        return len(self.boxes) == self.stop_after


@pytest.fixture
def model():
    torch.manual_seed(1)
    return networks.build("nmsw", OPTIONS, 1, 3).eval()


@pytest.fixture
def volume():
    return torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(2))


def predict(strategy, volume, model, top_k, preference=None, earlier=None, watcher=None, **options):
    with torch.inference_mode():
        return strategy.predict(volume, model, strategy.Options(top_k=top_k, **options), watcher, earlier, preference)


def field(prediction):
    with torch.inference_mode():
        return prediction.logits.region(whole(prediction.logits.shape)).clone()


def boxes(prediction):
    return [patch.box for patch in prediction.patches]


def touching(chosen, *places):
    return [box for box in chosen if any(box.intersection(place) for place in places)]


@STRATEGIES
@pytest.mark.parametrize("k", [0, 3, None])
def test_no_preference_changes_not_a_bit(strategy, volume, model, k):
    plain, wished = (predict(strategy, volume, model, k, preference) for preference in (None, Preference()))
    assert plain.patches == wished.patches and plain.candidates == wished.candidates
    assert torch.equal(field(plain), field(wished))


@STRATEGIES
def test_what_touches_a_place_is_read_first_in_the_usual_order_and_besides_the_budget(strategy, volume, model):
    usual = boxes(predict(strategy, volume, model, None))
    there = touching(usual, CORNER)
    assert 0 < len(there) < 6
    wished = predict(strategy, volume, model, 6, Preference(first=(CORNER,)))
    assert boxes(wished) == there + [box for box in usual[:6] if box not in there]
    assert [patch.rank for patch in wished.patches] == list(range(1, len(wished.patches) + 1))


@STRATEGIES
def test_a_place_that_the_coarse_pass_calls_background_is_read_all_the_same(strategy, volume, model):
    model.global_network.decoder[-1][-1].bias.data = torch.tensor([1e4, 0.0, 0.0])
    assert predict(strategy, volume, model, 5, skip_background=True).planned == 0
    watcher = Reads()
    wished = predict(strategy, volume, model, 5, Preference(first=(CORNER,)), watcher=watcher, skip_background=True)
    assert wished.planned == len(watcher.boxes) > 0
    assert watcher.boxes == touching(watcher.boxes, CORNER)


@STRATEGIES
def test_refining_a_place_of_a_finished_run_reads_only_what_is_new_there(strategy, volume, model):
    done = predict(strategy, volume, model, 4)
    usual = boxes(predict(strategy, volume, model, None))
    watcher = Reads()
    wish = Preference(first=(CORNER,), only_first=True)
    refined = predict(strategy, volume, model, 4, wish, done.reading, watcher)
    assert watcher.boxes == [box for box in touching(usual, CORNER) if box not in usual[:4]]
    assert boxes(refined)[:4] == usual[:4] and refined.planned == 4 + len(watcher.boxes)
    again = predict(strategy, volume, model, 4, wish, refined.reading, watcher := Reads())
    assert watcher.boxes == [] and again.planned == refined.planned


@STRATEGIES
def test_going_on_after_a_place_was_refined_reads_the_rest_of_the_usual_order_once(strategy, volume, model):
    reading = predict(strategy, volume, model, 4).reading
    reading = predict(strategy, volume, model, 4, Preference((CORNER,), only_first=True), reading).reading
    watcher = Reads()
    everything = predict(strategy, volume, model, None, earlier=reading, watcher=watcher)
    assert sorted(map(str, boxes(everything))) == sorted(map(str, boxes(predict(strategy, volume, model, None))))
    assert len(set(map(str, boxes(everything)))) == everything.planned == everything.candidates
    torch.testing.assert_close(field(everything), field(predict(strategy, volume, model, None)), atol=1e-5, rtol=1e-5)


@STRATEGIES
def test_a_changed_wish_orders_only_what_is_unread(strategy, volume, model):
    first = predict(strategy, volume, model, 8, Preference((CORNER,)), watcher=Reads(stop_after=2))
    read = boxes(first)[:2]
    other = PatchBox((0, 0, 0), (2, 2, 2))
    second = predict(strategy, volume, model, 8, Preference((other,)), first.reading)
    assert boxes(second)[:2] == read
    behind = boxes(second)[2:]
    there = touching(behind, other)
    assert there and behind[: len(there)] == there and len(set(map(str, boxes(second)))) == second.planned


def test_a_chain_with_wishes_equals_one_fresh_run_in_that_order_bit_for_bit(volume, model):
    wish = Preference((CORNER,), channels=(2,))
    fresh = predict(nmsw, volume, model, 7, wish)
    stopped = predict(nmsw, volume, model, 7, wish, watcher=Reads(stop_after=3))
    chain = predict(nmsw, volume, model, 7, wish, stopped.reading)
    assert chain.patches == fresh.patches and torch.equal(field(chain), field(fresh))


def test_patches_with_a_wanted_structure_come_before_the_others(volume, model, monkeypatch):
    with torch.inference_mode():
        overview = nmsw.look(volume, model, 0.0)
    seen = torch.zeros(overview.logits.shape[1:], dtype=torch.long)
    seen[19:21, :, 13:15] = 2  # cells of two voxels; label 1 is nowhere
    logits = torch.nn.functional.one_hot(seen, 3).permute(3, 0, 1, 2).float()
    monkeypatch.setattr(nmsw, "look", lambda *_: replace(overview, logits=logits))
    usual = boxes(predict(nmsw, volume, model, None))
    there = touching(usual, PatchBox((38, 0, 26), SHAPE))
    assert boxes(predict(nmsw, volume, model, None, Preference(channels=(2,)))) == (
        there + [box for box in usual if box not in there]
    )
    assert there and there != usual[: len(there)]
    assert boxes(predict(nmsw, volume, model, None, Preference(channels=(1,)))) == usual


@STRATEGIES
def test_only_what_touches_the_region_is_read(strategy, volume, model):
    region = PatchBox((0, 0, 0), (9, 14, 9))
    usual = boxes(predict(strategy, volume, model, None))
    watcher = Reads()
    inside = predict(strategy, volume, model, 12, Preference(region=region), watcher=watcher)
    assert boxes(inside) == watcher.boxes == touching(usual, region)
    assert inside.candidates == inside.planned < 12  # a small region has fewer patches than the budget
    plain, cut = field(predict(strategy, volume, model, None)), field(inside)
    torch.testing.assert_close(cut[(slice(None), *region.slices())], plain[(slice(None), *region.slices())])


@STRATEGIES
def test_patches_read_elsewhere_stay_read_and_a_lifted_region_goes_on(strategy, volume, model):
    region = PatchBox((0, 0, 0), (9, 14, 9))
    first = predict(strategy, volume, model, 3)
    inside = predict(strategy, volume, model, None, Preference(region=region), first.reading)
    assert boxes(inside)[:3] == boxes(first) and inside.candidates == inside.planned
    everything = predict(strategy, volume, model, None, None, inside.reading)
    assert everything.planned == 15
    with pytest.raises(ContinuationError, match="has read 15 patches, now they are to be 4"):
        predict(strategy, volume, model, 4, None, everything.reading)


def test_the_sliding_window_reads_the_windows_of_a_region_and_refuses_an_order(volume, model):
    region = PatchBox((0, 0, 0), (9, 14, 9))
    options = sliding_window.Options()
    with torch.inference_mode():
        plain = sliding_window.predict(volume, model, options)
        inside = sliding_window.predict(volume, model, options, preference=Preference(region=region))
        assert 0 < inside.planned < plain.planned
        assert torch.equal(inside.logits.region(region), plain.logits.region(region))
        with pytest.raises(OptionError, match="'sliding_window' cannot read places or structures first"):
            sliding_window.predict(volume, model, options, preference=Preference(channels=(1,)))


def test_a_patch_that_was_lost_half_way_ends_the_chain(volume, model, monkeypatch):
    reading = predict(nmsw, volume, model, 2).reading
    monkeypatch.setattr(reading.blend, "add", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError):
        predict(nmsw, volume, model, 3, None, reading)
    with pytest.raises(ContinuationError, match="middle of a patch"):
        predict(nmsw, volume, model, 3, None, reading)


def test_zoom_out_chooses_by_itself():
    assert not takes_preference("zoom_out") and takes_preference("nmsw")
