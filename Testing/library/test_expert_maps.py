"""Expert maps of a volume: on its grid, adding up as they should, and those of the patches they were made from."""

import numpy as np
import pytest
import torch
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from transformer_bundle import SMT, write_nmsw_bundle, write_transformer_bundle

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Component
from EfficientSegLib.errors import OptionError
from EfficientSegLib.expert_maps import Chosen, _layers_in_words, find_maps
from EfficientSegLib.networks.expert_shares import mixtures, shares_of_patch
from EfficientSegLib.preprocess import prepare
from EfficientSegLib.segment import load_model
from EfficientSegLib.volume import Volume

PATCH = (64, 32, 32)
DEEPER = {**SMT, "depths": [1, 1, 2, 1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    write_transformer_bundle(folder / "smt", "swin_smt", DEEPER)
    write_nmsw_bundle(folder / "joined", "swin_smt", DEEPER)
    write_tiny_bundle(folder / "tiny")
    return folder


def loaded(folder, name):
    bundle = bundles.load(folder / name)
    return bundle, load_model(bundle, "cpu")


@pytest.fixture
def scan(tmp_path):
    """2 mm voxels as the bundle wants them: 70 x 36 x 48."""
    return write_tiny_ct(tmp_path / "ct.nii.gz", (70, 36, 48), 2.0)


@pytest.mark.parametrize("name", ["smt", "joined"])
@pytest.mark.parametrize("stage, slots, tokens", [(None, 512, 1024), (3, 64, 128), (4, 8, 16)])
def test_one_patch_adds_to_its_slots_and_is_what_the_layer_says_of_it(folder, scan, name, stage, slots, tokens):
    bundle, model = loaded(folder, name)
    maps = find_maps(scan, bundle, model, Chosen(stage), centre=(40, 18, 20))
    assert (maps.slots, maps.tokens, maps.patches, maps.even_share) == (slots, tokens, 1, 0.5)
    (region, width) = maps.region, maps.token_voxels
    assert region.shape == PATCH and all(a <= c < b for a, c, b in zip(region.start, (40, 18, 20), region.stop))
    for expert in range(2):
        values = maps.of_expert(expert)
        assert values.shape == scan.shape and values.dtype == np.float32
        np.testing.assert_allclose(values.sum() / width**3, slots, rtol=1e-4)
        outside = values.copy()
        outside[region.slices()] = 0
        assert not outside.any()


def test_a_volume_of_one_patch_is_that_patch(folder, tmp_path):
    bundle, model = loaded(folder, "smt")
    scan = write_tiny_ct(tmp_path / "ct.nii.gz", PATCH, 2.0)
    prepared = prepare(scan, bundle.preprocess)
    maps = find_maps(scan, bundle, model, Chosen(3, 2))
    with torch.inference_mode():
        expected = shares_of_patch(model, mixtures(model)[3, 2], torch.from_numpy(prepared.array)[None])[0]
    torch.testing.assert_close(maps.shares, expected)
    turned = expected[1].numpy().repeat(8, 0).repeat(8, 1).repeat(8, 2)
    for axis, flip in enumerate(prepared.flips):
        turned = np.flip(turned, axis) if flip else turned
    assert prepared.axes == (0, 1, 2)
    np.testing.assert_allclose(maps.of_expert(1), turned, rtol=1e-5)
    np.testing.assert_array_equal(maps.largest(), np.where(maps.of_expert(1) > maps.of_expert(0), 2, 1))


def test_a_whole_volume_is_covered_and_overlaps_are_weighted_means(folder, scan):
    bundle, model = loaded(folder, "smt")
    told = []
    maps = find_maps(scan, bundle, model, report=lambda *done: told.append(done))
    assert maps.stage == 2 and maps.block == 1 and maps.region is None
    assert maps.patches == 2 * 2 * 2 and told == [(n, 8) for n in range(1, 9)]
    assert bool((maps.shares > 0).all())
    values = [maps.of_expert(expert) for expert in range(2)]
    assert all(value.shape == scan.shape and (value > 0).all() for value in values)
    # Every patch's mean is the even share; a weighted mean of patches stays near it.
    assert all(abs(value.mean() / maps.even_share - 1) < 0.2 for value in values)


def test_where_all_patches_say_the_same_so_does_their_mean(folder, scan, monkeypatch):
    bundle, model = loaded(folder, "smt")
    monkeypatch.setattr("EfficientSegLib.expert_maps.shares_of_patch", lambda *_: torch.full((1, 2, 16, 8, 8), 0.7))
    np.testing.assert_allclose(find_maps(scan, bundle, model).of_expert(0), 0.7, rtol=1e-6)


def test_a_volume_smaller_than_a_patch_and_oblique_keeps_its_grid(folder, tmp_path):
    bundle, model = loaded(folder, "smt")
    array = write_tiny_ct(tmp_path / "ct.nii.gz", (20, 30, 25), 3.0).array
    turn = ((0.0, 0.8, 0.6), (0.0, -0.6, 0.8), (1.0, 0.0, 0.0))
    scan = Volume(array, (3.0, 2.5, 3.0), (1.0, 2.0, 3.0), turn)
    for centre in (None, (19, 0, 24)):
        maps = find_maps(scan, bundle, model, centre=centre)
        seen = maps.of_expert(0) > 0
        assert seen.shape == scan.shape and seen.all() == (centre is None) and seen[19, 0, 24]


def test_more_than_255_experts_are_counted_right(folder, scan):
    bundle, model = loaded(folder, "smt")
    maps = find_maps(scan, bundle, model, Chosen(4))
    many = torch.zeros(300, *maps.shares.shape[1:])
    many[299] = 1
    object.__setattr__(maps, "shares", many)
    assert (maps.largest() == 300).all()


@pytest.mark.parametrize(
    "name, chosen, centre, words",
    [
        ("tiny", Chosen(), None, "no experts.*'swin_smt'"),
        ("smt", Chosen(1), None, "Stage 1 has no block 1.*in stages 2 and 4, block 1 each; stage 3, blocks 1 and 2"),
        ("smt", Chosen(3, 3), None, "Stage 3 has no block 3.*stage 3, blocks 1 and 2"),
        ("smt", Chosen(), (70, 0, 0), r"centre is \(70, 0, 0\).*70 × 36 × 48"),
        ("smt", Chosen(), (0, -1, 0), "centre"),
    ],
)
def test_what_cannot_be_mapped_is_told(folder, scan, name, chosen, centre, words):
    bundle, model = loaded(folder, name)
    with pytest.raises(OptionError, match=words):
        find_maps(scan, bundle, model, chosen, centre)


@pytest.mark.parametrize(
    "layers, words",
    [
        ([(2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2)], "stages 2 to 4, blocks 1 and 2 each"),
        ([(2, 1), (3, 1), (3, 2), (3, 3), (4, 1)], "stages 2 and 4, block 1 each; stage 3, blocks 1 to 3"),
        ([(4, 1), (4, 2), (4, 4)], "stage 4, blocks 1, 2 and 4"),
    ],
)
def test_layers_are_told_as_a_person_would(layers, words):
    assert _layers_in_words(layers) == words


def test_the_windows_are_those_of_the_bundle(folder, scan):
    bundle, model = loaded(folder, "smt")
    object.__setattr__(bundle, "strategy", Component("sliding_window", {"patch_size": [64, 32, 32], "overlap": 0.75}))
    assert find_maps(scan, bundle, model).patches == 2 * 2 * 3
