"""The map of dropped tokens through a warm worker's runs: every volume grid, goes on, stops, other ratios."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from token_model import BrightTokens
from transformer_bundle import STP, write_nmsw_bundle, write_transformer_bundle
from warm_worker import Warm, request_in

from EfficientSegLib import networks
from EfficientSegLib.bundle import Crop, Intensity, Preprocess, load
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox, patch_starts
from EfficientSegLib.preprocess import prepare, to_oriented
from EfficientSegLib.protocol import Finished, Tokens, Warned
from EfficientSegLib.segment import segment
from EfficientSegLib.token_map import TokenMap
from EfficientSegLib.volume import Volume


class WarmWithMaps(Warm):
    def map(self):
        (told,) = self.of(Tokens)
        assert told.stages == 3
        return np.load(told.depths)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "ct.nrrd", (60, 40, 70))
    write_transformer_bundle(folder / "stp", "stp_unetr", STP)
    write_nmsw_bundle(folder / "joined", "stp_unetr", STP)
    write_tiny_bundle(folder / "tiny")
    return folder


@pytest.fixture
def request_for(inputs, tmp_path):
    def make(bundle="joined", tokens=True, **fields):
        options = {"top_k": fields.pop("top_k")} if "top_k" in fields else {}
        options |= {"prune_ratio": fields.pop("ratio")} if "ratio" in fields else {}
        return request_in(inputs, tmp_path / "öut", bundle, options=options, tokens=tokens, **fields)

    return make


@pytest.fixture
def warm():
    return WarmWithMaps()


def record(finished):
    return json.loads(Path(finished.record).read_text(encoding="utf-8"))


@pytest.mark.parametrize("bundle", ["stp", "joined"])
def test_two_runs_give_one_map_and_the_labels_of_a_run_without_it(warm, request_for, bundle):
    maps, labels = [], []
    for tokens in (True, True, False):
        finished = warm.ask(request_for(bundle, tokens=tokens))
        labels.append(np.load(finished.labels))
        if tokens:
            maps.append(warm.map())
            said = record(finished)["tokens"]
            assert said["file"] == "tokens.npy" and said["prune_ratio"] == 0.5
            counts = [said["voxels"]["not_read"], *said["voxels"]["dropped"], said["voxels"]["kept"]]
            assert counts == np.bincount(maps[-1].ravel(), minlength=5).tolist()
        else:
            assert not warm.of(Tokens) and record(finished)["tokens"] is None
            assert not Path(finished.labels).with_name("tokens.npy").exists()
    assert maps[0].shape == labels[0].shape == (60, 40, 70) and maps[0].dtype == np.uint8
    np.testing.assert_array_equal(*maps)
    for other in labels[1:]:
        np.testing.assert_array_equal(labels[0], other)


def test_the_boxes_that_were_read_are_the_ones_with_depths(warm, request_for):
    finished = warm.ask(request_for(top_k=2))
    inside = np.zeros((60, 40, 70), dtype=bool)
    for box in record(finished)["patches"]["boxes"]:
        inside[tuple(slice(a, b) for a, b in zip(box["start"], box["stop"]))] = True
    np.testing.assert_array_equal(warm.map() > 0, inside)


@pytest.mark.parametrize("asked_before", [True, False])
def test_more_keeps_the_map_also_where_it_is_asked_for_only_now(warm, request_for, asked_before):
    first = warm.ask(request_for(top_k=2, tokens=asked_before))
    more = warm.ask(request_for(top_k=5, continue_from=first.run_id))
    assert not warm.of(Warned)
    kept, labels = warm.map(), np.load(more.labels)
    fresh = warm.ask(request_for(top_k=5))
    np.testing.assert_array_equal(kept, warm.map())
    np.testing.assert_array_equal(labels, np.load(fresh.labels))


def test_another_ratio_begins_anew_and_the_same_one_goes_on(warm, request_for):
    first = warm.ask(request_for(top_k=2, ratio=0.75))
    again = warm.ask(request_for(top_k=3, ratio=0.75, continue_from=first.run_id))
    assert not warm.of(Warned)
    warm.ask(request_for(top_k=3, ratio=0.25, continue_from=again.run_id))
    assert "prune_ratio was 0.75, now it is 0.25" in warm.of(Warned)[0].text
    lower = warm.map()
    fresh = WarmWithMaps()
    fresh.ask(request_for(top_k=3, ratio=0.25))
    np.testing.assert_array_equal(lower, fresh.map())


@pytest.mark.parametrize("bundle", ["stp", "joined"])
def test_more_is_dropped_at_a_higher_ratio_and_the_bundles_own_comes_back(warm, request_for, bundle):
    kept = {}
    for ratio in (0.25, 0.75):
        warm.ask(request_for(bundle, ratio=ratio))
        kept[ratio] = (warm.map() == 4).mean()
    finished = warm.ask(request_for(bundle))
    assert kept[0.25] > (warm.map() == 4).mean() > kept[0.75] > 0
    assert record(finished)["tokens"]["prune_ratio"] == 0.5


def test_after_a_refused_ratio_the_warm_network_is_as_before(warm, request_for):
    before = np.load(warm.ask(request_for()).labels)
    with pytest.raises(OptionError, match=r"prune_ratio is 0.9999"):
        warm.ask(request_for(ratio=0.9999))
    np.testing.assert_array_equal(np.load(warm.ask(request_for()).labels), before)


@pytest.mark.parametrize("bundle", ["stp", "joined"])
def test_cancel_keeps_the_map_of_what_was_read(warm, request_for, bundle):
    top_k = {"top_k": 5} if bundle == "joined" else {}
    finished = warm.ask(request_for(bundle, **top_k), stop_after=2)
    assert not finished.complete and finished.patches_read == 2
    found = warm.map()
    assert (found > 0).any() and (found == 0).any()


def test_a_network_without_tokens_is_told_of_in_words_and_has_no_map(warm, request_for):
    finished = warm.ask(request_for("tiny"))
    assert not warm.of(Tokens) and isinstance(finished, Finished)
    assert "'tiny' drops none" in warm.of(Warned)[-1].text


def test_a_region_cuts_the_map_as_it_cuts_labels(warm, request_for):
    region = PatchBox((5, 0, 10), (40, 33, 41))
    for bundle in ("stp", "joined"):
        warm.ask(request_for(bundle, region=region))
        found = warm.map()
        outside = np.ones(found.shape, dtype=bool)
        outside[region.slices()] = False
        assert not found[outside].any() and found[region.slices()].any()


def drawn(inputs, rule, volume, **options):
    """The map of the network whose depths are known, for a volume on any grid."""
    bundle = replace(load(inputs / "stp"), preprocess=rule, labels=load(inputs / "stp").labels[:1])
    model = BrightTokens()
    return segment(volume, bundle, model, strategy="sliding_window", options=options, tokens=True).tokens, model


@pytest.mark.parametrize("crop", [Crop(), Crop("torso", 2.0, 2.0)], ids=["whole", "cropped"])
def test_every_voxel_has_the_depth_of_the_token_it_lies_in_on_turned_and_cropped_grids(inputs, crop):
    values = np.full((1, 30, 26, 34), -1000, np.int16)
    values[0, 6:24, 5:20, 4:30] = np.random.default_rng(5).integers(-50, 400, (18, 15, 26))
    turned = ((0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    volume = Volume(values, (1.5, 2.0, 3.0), (0, 0, 0), turned)
    rule = Preprocess("RAS", (2.0, 2.0, 2.0), Intensity("window", -1000, 1000), crop)
    found, model = drawn(inputs, rule, volume, overlap=0.0, pad_value=-1.0)
    prepared = prepare(volume, rule)
    field = _painted(prepared.array, model)
    for voxel in np.ndindex(*found.depths.shape):
        place = to_oriented(PatchBox(voxel, tuple(n + 1 for n in voxel)), prepared).start
        cell = tuple(
            int((n + 0.5) * count / length) - first
            for n, count, length, first in zip(place, prepared.grid, prepared.oriented_shape, prepared.crop.start)
        )
        inside = all(0 <= n < size for n, size in zip(cell, field.shape))
        assert found.depths[voxel] == (field[cell] if inside else 0), voxel


def _painted(array, model):
    """Depths of a prepared volume (1, i, j, k), window by window, drawn without the code that is tested."""
    front = [max(16 - length, 0) // 2 for length in array.shape[1:]]
    missing = [max(16 - length, 0) for length in array.shape[1:]]
    widths = [(0, 0), *((a, count - a) for a, count in zip(front, missing))]
    padded = np.pad(array, widths, constant_values=-1.0)
    result = np.zeros(padded.shape[1:], np.uint8)
    starts = [patch_starts(length, 16, 0.0) for length in result.shape]
    for i in starts[0]:
        for j in starts[1]:
            for k in starts[2]:
                where = tuple(slice(a, a + 16) for a in (i, j, k))
                depths = model.with_depths(torch.from_numpy(padded[(slice(None), *where)])[None])[1][0].numpy()
                here = depths.repeat(8, 0).repeat(8, 1).repeat(8, 2) + 1
                result[where] = np.maximum(result[where], here)
    return result[tuple(slice(a, a + length) for a, length in zip(front, array.shape[1:]))]


def test_counts_are_those_of_every_value():
    depths = np.array([[[0, 1, 3], [3, 3, 2]]], dtype=np.uint8)
    assert TokenMap(depths, 2, 0.5).counts() == [1, 1, 1, 3]
    assert TokenMap(depths, 2, 0.5).summary("a.npy")["voxels"] == {"not_read": 1, "dropped": [1, 1], "kept": 3}


def test_bundles_know_whether_their_network_drops_tokens(inputs, tmp_path):
    assert [load(inputs / name).prunes_tokens for name in ("stp", "joined", "tiny")] == [True, True, False]
    for options in ({"selection": "none"}, {"selection": "evit"}):
        bundle = write_transformer_bundle(tmp_path / "b", "stp_unetr", {**STP, **options})
        model = networks.build("stp_unetr", bundle.network.options, 1, 3)
        assert bundle.prunes_tokens == isinstance(model, networks.TokenModel)
        assert write_nmsw_bundle(tmp_path / "n", "stp_unetr", {**STP, **options}).prunes_tokens == bundle.prunes_tokens
