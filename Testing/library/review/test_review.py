"""Looking back at runs whose coarse pass, patches and truth are known."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights
from EfficientSegLib.geometry import PatchBox, patch_grid
from EfficientSegLib.listener import Listener
from EfficientSegLib.networks.nmsw import Proposal
from EfficientSegLib.review.evidence import MOST_PLACES
from EfficientSegLib.segment import segment
from EfficientSegLib.volume import Volume
from EfficientSegLib.wishes import Wishes

SHAPE = (48, 40, 56)
BALL, BOX = 4, 9


class Halves(nn.Module):
    """Label 1 above one half, label 2 above one and a half; the coarse pass misses label 2. Meets GlobalLocalModel."""

    size_multiple, num_labels, patch_size, overlap, downsampling = (2, 2, 2), 3, (16, 16, 16), 0.5, (2, 2, 2)
    ignored_channels = (0,)

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def shrink(self, volume):
        return functional.avg_pool3d(volume, 2)

    def propose(self, low, shape):
        count = len(patch_grid(shape, self.patch_size, self.overlap))
        logits = torch.cat((torch.zeros_like(low), 20 * (low - 0.5), torch.full_like(low, -50)), dim=1)
        return Proposal(logits, torch.arange(count).flip(0).float(), torch.ones(count, dtype=torch.bool))

    def local(self, x):
        return torch.cat((torch.zeros_like(x), 20 * (x - 0.5), 200 * (x - 1.5)), dim=1)

    @property
    def class_weights(self):
        return torch.full((3,), 0.95)


class Keeping(Listener):
    def __init__(self, viewer=True):
        self.found, self.order = [], []

    def reviewed(self, found):
        self.found.append(found)
        self.order.append("reviewed")

    def progress(self, stage, fraction, done=0, total=0, seconds_left=None):
        self.order.append(stage)

    def pace(self, patch_seconds, patches_spent, finish_seconds, candidates):
        self.order.append("pace")


class Viewing(Keeping):
    """Is shown labels on the way, so that the coarse ones exist when the run ends."""

    def partial(self, labels, box, patches_read, patches_total):
        pass


def bundle():
    return Bundle(
        schema=1,
        name="halves",
        version="1",
        title="Halves",
        modality="MR",
        channels=("MR",),
        labels=(Label(BOX, "Box", (1, 2, 3)), Label(BALL, "Ball", (4, 5, 6))),
        preprocess=Preprocess("LPS", (2.0, 2.0, 2.0), Intensity("window", 0.0, 2.0, (0.0, 2.0))),
        network=Component("nmsw", {}),
        strategy=Component("nmsw", {"top_k": None}),
        weights=Weights("weights.pt", "0"),
        licence=Licence("none", "none", "tests"),
    )


@pytest.fixture
def volume():
    """A box of 1, in it a smaller one of 2, in a volume of 0."""
    array = np.zeros((1, *SHAPE), np.float32)
    array[0, 8:40, 8:32, 8:48] = 1
    array[0, 20:26, 12:18, 30:36] = 2
    return Volume(array, (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


def run(volume, top_k, kind=Viewing, **more):
    listener = kind()
    done = segment(volume, bundle(), Halves().eval(), options={"top_k": top_k}, listener=listener, **more)
    (found,) = listener.found
    return done, found, listener


def test_what_the_patches_found_is_told_in_millilitres(volume):
    done, found, _ = run(volume, None)
    segments = {segment.value: segment for segment in found.segments}
    assert list(segments) == [BALL, BOX]
    for value, segment_ in segments.items():
        assert segment_.ml == pytest.approx((done.labels == value).sum() * 0.008)
        assert segment_.surface_refined == 1.0
    # The coarse pass sees no ball at all: each of its voxels is gained, and lost by the box around it.
    ball = int((done.labels == BALL).sum())
    assert ball == pytest.approx(6**3, rel=0.2)
    assert segments[BALL].changed_ml == pytest.approx(ball * 0.008)
    assert segments[BOX].changed_ml >= segments[BALL].changed_ml


def test_each_patch_tells_what_changed_in_it(volume):
    done, found, _ = run(volume, None)
    coarse, *_ = run(volume, 0)
    assert [change.rank for change in found.patches] == list(range(1, done.patches_read + 1))
    for change, patch in zip(found.patches, done.patches):
        inside = patch.box.slices()
        now, before = done.labels[inside], coarse.labels[inside]
        for value in (BALL, BOX):
            voxels = ((now != before) & ((now == value) | (before == value))).sum()
            assert change.changed_ml.get(str(value), 0.0) == pytest.approx(voxels * 0.008, abs=1e-4)


@pytest.mark.parametrize("top_k", [0, 3, None])
def test_labels_kept_from_the_coarse_pass_and_labels_made_again_tell_the_same(volume, top_k):
    assert run(volume, top_k, Viewing)[1] == run(volume, top_k, Keeping)[1]


def test_a_run_that_goes_on_is_reviewed_as_one_run_of_both(volume):
    model = Halves().eval()
    listener = Viewing()
    first = segment(volume, bundle(), model, options={"top_k": 2}, listener=listener)
    more = segment(volume, bundle(), model, options={"top_k": 9}, listener=listener, earlier=first)
    assert more.coarse_labels is first.coarse_labels is not None
    fresh = Viewing()
    segment(volume, bundle(), model, options={"top_k": 9}, listener=fresh)
    assert listener.found[1] == fresh.found[0]


def test_coarse_labels_of_another_region_are_not_taken_for_those_of_this_one(volume):
    region, model, listener = PatchBox((0, 0, 0), (24, 40, 56)), Halves().eval(), Viewing()
    first = segment(volume, bundle(), model, options={"top_k": 2}, listener=listener, wishes=Wishes(region=region))
    more = segment(volume, bundle(), model, options={"top_k": None}, listener=listener, earlier=first)
    changed = sum(segment.changed_ml for segment in listener.found[1].segments)
    fresh = sum(segment.changed_ml for segment in run(volume, None)[1].segments)
    assert more.coarse_labels is None and changed == pytest.approx(fresh)


def test_without_patches_nothing_is_refined_and_places_are_unvisited(volume):
    _, found, _ = run(volume, 0)
    assert found.patches == () and {place.kind for place in found.places} == {"unvisited"}
    assert [(segment.value, segment.surface_refined) for segment in found.segments] == [(BOX, 0.0)]


def test_the_share_of_refined_surface_is_that_inside_patches(volume):
    done, found, _ = run(volume, 4)
    inside = np.zeros(SHAPE, bool)
    for patch in done.patches[:4]:
        inside[patch.box.slices()] = True
    edge = np.zeros(SHAPE, bool)
    padded = np.pad(done.labels, 1, mode="edge")
    for axis in range(3):
        for step in (0, 2):
            part = tuple(slice(step, step + n) if a == axis else slice(1, 1 + n) for a, n in enumerate(SHAPE))
            edge |= padded[part] != done.labels
    for segment_ in found.segments:
        own = edge & (done.labels == segment_.value)
        assert segment_.surface_refined == pytest.approx((own & inside).sum() / own.sum(), abs=1e-4)


def test_what_the_coarse_pass_missed_is_a_place_for_its_doubt(volume):
    _, found, _ = run(volume, None)
    ball = PatchBox((20, 12, 30), (26, 18, 36))
    there = [place for place in found.places if place.box.intersection(ball)]
    assert there and {place.kind for place in there} <= {"changed", "disagreement"}
    assert BALL in {place.value for place in there} and all(place.ml > 0 for place in there)


def test_places_are_few_distinct_inside_and_in_order(volume):
    _, found, _ = run(volume, 9)
    assert 0 < len(found.places) <= MOST_PLACES
    worth = [place.worth for place in found.places]
    assert worth == sorted(worth, reverse=True) and min(worth) > 0
    assert len({place.box for place in found.places}) == len(found.places)
    for place in found.places:
        assert place.value in (BALL, BOX)
        assert place.box.intersection(PatchBox((0, 0, 0), SHAPE)) == place.box


def test_two_reviews_of_one_run_are_equal(volume):
    assert run(volume, 9)[1] == run(volume, 9)[1]


def test_a_region_is_reviewed_alone(volume):
    region = PatchBox((0, 0, 0), (24, 40, 56))
    done, found, _ = run(volume, None, wishes=Wishes(region=region))
    assert not done.labels[24:].any() and done.labels[:24].any()
    assert all(place.box.intersection(region) for place in found.places)
    assert {segment.value for segment in found.segments} >= {BOX}


def test_nothing_found_is_reviewed_without_a_word(volume):
    empty = Volume(volume.array / 100, volume.spacing_mm, volume.origin_mm, volume.direction)
    _, found, _ = run(empty, 3)
    assert found.segments == () and found.places == () and len(found.patches) == 3


def test_the_review_comes_after_the_labels_and_before_the_end(volume):
    order = run(volume, 2)[2].order
    assert order.index("restore") < order.index("review") < order.index("reviewed") < len(order) - 1
    assert order[-1] == "pace"


def test_who_does_not_listen_pays_nothing(volume, monkeypatch):
    def never(*_):
        raise AssertionError("nobody asked")

    monkeypatch.setattr("EfficientSegLib.segment.review", never)
    segment(volume, bundle(), Halves().eval(), options={"top_k": 2})
