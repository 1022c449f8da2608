"""Prune ratios hold for one run, and every token's depth is found again where the token lies."""

import numpy as np
import pytest
import torch
from token_model import BrightTokens

from EfficientSegLib import networks
from EfficientSegLib.errors import ContinuationError, OptionError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.networks import TokenModel
from EfficientSegLib.strategies import Watcher, nmsw, random_foreground, sliding_window, tokens, zoom_out

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
OPTIONS = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}
PATCHES = pytest.mark.parametrize("strategy", [nmsw, random_foreground], ids=["nmsw", "random_foreground"])


@pytest.fixture
def volume():
    return torch.randn(1, 40, 16, 30, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def local():
    return BrightTokens(num_labels=3)


@pytest.fixture
def model(local):
    torch.manual_seed(1)
    found = networks.build("nmsw", OPTIONS, 1, 3).eval()
    found.local_network = local
    return found


def predict(strategy, volume, model, watcher=None, earlier=None, **options):
    further = {} if earlier is None else {"earlier": earlier}
    with torch.inference_mode():
        found = strategy.predict(volume, model, strategy.Options(**options), watcher, **further)
        return found, found.logits.region(whole(found.logits.shape)).clone()


def painted(prediction):
    return prediction.depths.painted(whole(prediction.logits.shape).shifted(prediction.origin))


def expected(volume, boxes, model):
    """Voxel by voxel, the deepest of all patches; boxes of the volume, which needs no padding."""
    result = np.zeros(volume.shape[1:], dtype=np.uint8)
    for box in boxes:
        depths = model.with_depths(volume[(slice(None), *box.slices())][None])[1][0].numpy() + 1
        for voxel in np.ndindex(*box.shape):
            place = tuple(a + n for a, n in zip(box.start, voxel))
            result[place] = max(result[place], depths[tuple(n // 8 for n in voxel)])
    return result


def test_the_drawn_network_meets_the_contract(local):
    assert isinstance(local, TokenModel)
    assert not isinstance(networks.build("unet", UNET, 1, 3), TokenModel)


def test_a_patchs_tokens_lie_at_eight_voxels_each_from_its_start():
    depths = tokens.TokenDepths(3)
    given = torch.arange(8, dtype=torch.uint8).view(2, 2, 2) % 4
    depths.add(PatchBox((5, 0, 2), (21, 16, 18)), given)
    found = depths.painted(whole((24, 16, 20)))
    for token in np.ndindex(2, 2, 2):
        start = tuple(8 * n + a for n, a in zip(token, (5, 0, 2)))
        box = found[tuple(slice(a, a + 8) for a in start)]
        assert (box == int(given[token]) + 1).all()
    assert (found > 0).sum() == 16**3


def test_where_patches_overlap_the_deepest_stands_in_either_order():
    boxes = PatchBox((0, 0, 0), (16, 8, 8)), PatchBox((8, 0, 0), (24, 8, 8))
    kinds = torch.tensor([3, 1], dtype=torch.uint8).view(2, 1, 1), torch.tensor([0, 3], dtype=torch.uint8).view(2, 1, 1)
    for order in ([0, 1], [1, 0]):
        depths = tokens.TokenDepths(3)
        for number in order:
            depths.add(boxes[number], kinds[number])
        assert depths.painted(whole((24, 8, 8)))[:, 0, 0].tolist() == [4] * 8 + [2] * 8 + [4] * 8


def test_a_part_of_the_map_is_the_map_cut(volume, local):
    found, _ = predict(sliding_window, volume, local)
    box = PatchBox((3, 2, 5), (29, 16, 11))
    np.testing.assert_array_equal(found.depths.painted(box), painted(found)[box.slices()])


@PATCHES
@pytest.mark.parametrize("ratio", [0.25, 0.75])
def test_patches_in_order_of_priority_leave_the_map_of_those_read(volume, model, local, strategy, ratio):
    found, _ = predict(strategy, volume, model, top_k=3, prune_ratio=ratio)
    assert set(local.seen) == {ratio}
    assert found.prune_ratio == ratio
    assert local.prune_ratio == 0.5
    local.prune_ratio = ratio
    np.testing.assert_array_equal(painted(found), expected(volume, [patch.box for patch in found.patches], local))


def test_a_sliding_window_reads_at_its_ratio_though_it_reads_late(volume, local):
    with torch.inference_mode():
        found = sliding_window.predict(volume, local, sliding_window.Options(prune_ratio=0.75))
        assert not local.seen
        assert local.prune_ratio == 0.5
        found.logits.region(whole((40, 16, 30)))
    assert set(local.seen) == {0.75}
    assert local.prune_ratio == 0.5
    local.prune_ratio = 0.75
    boxes = [PatchBox((a, 0, c), (a + 16, 16, c + 16)) for a in (0, 8, 16, 24) for c in (0, 8, 14)]
    np.testing.assert_array_equal(painted(found), expected(volume, boxes, local))


def test_a_volume_smaller_than_a_patch_has_its_own_part_of_the_patchs_tokens(local):
    small = torch.randn(1, 10, 16, 7, generator=torch.Generator().manual_seed(3))
    found, _ = predict(sliding_window, small, local)
    depths = found.depths.painted(whole((16, 16, 16)))
    np.testing.assert_array_equal(painted(found), depths[3:13, :, 4:11])
    assert painted(found).shape == (10, 16, 7)


def test_zoom_out_paints_the_tokens_of_a_shrunk_box_over_all_of_it(volume, model):
    found, _ = predict(zoom_out, volume, model, prune_ratio=0.75)
    assert found.patches and found.prune_ratio == 0.75
    inside = np.zeros(volume.shape[1:], dtype=bool)
    for patch in found.patches:
        inside[patch.box.slices()] = True
    np.testing.assert_array_equal(painted(found) > 0, inside)


@PATCHES
def test_a_run_that_goes_on_holds_what_earlier_ones_saw(volume, model, local, strategy):
    whole_run, logits = predict(strategy, volume, model, top_k=5, skip_background=False, prune_ratio=0.75)
    begun, _ = predict(strategy, volume, model, top_k=2, skip_background=False, prune_ratio=0.75)
    local.seen.clear()
    options = {"top_k": 5, "skip_background": False, "prune_ratio": 0.75}
    more, more_logits = predict(strategy, volume, model, earlier=begun.reading, **options)
    assert len(local.seen) == 3
    assert torch.equal(more_logits, logits)
    np.testing.assert_array_equal(painted(more), painted(whole_run))


@PATCHES
def test_another_ratio_is_another_run(volume, model, strategy):
    begun, _ = predict(strategy, volume, model, top_k=2)
    with pytest.raises(ContinuationError, match="prune_ratio was 0.5, now it is 0.75"):
        predict(strategy, volume, model, earlier=begun.reading, top_k=3, prune_ratio=0.75)
    predict(strategy, volume, model, earlier=begun.reading, top_k=3, prune_ratio=0.5)  # the bundle's, said outright


def test_a_stop_leaves_the_map_of_what_was_read(volume, model):
    class Stop(Watcher):
        read = 0

        def refined(self, logits, box, read, total):
            self.read = read

        def should_stop(self):
            return self.read >= 1

    found, _ = predict(nmsw, volume, model, Stop(), top_k=5)
    inside = np.zeros(volume.shape[1:], dtype=bool)
    inside[found.patches[0].box.slices()] = True
    np.testing.assert_array_equal(painted(found) > 0, inside)


@pytest.mark.parametrize("strategy", [nmsw, random_foreground, zoom_out, sliding_window], ids=lambda s: s.__name__)
def test_an_error_on_the_way_leaves_the_network_as_it_was(volume, model, local, strategy):
    local.fails = True
    with pytest.raises(RuntimeError, match="Out of luck"):
        predict(strategy, volume, model, prune_ratio=0.75)
    assert local.seen == [0.75]
    assert local.prune_ratio == 0.5


@pytest.mark.parametrize("strategy", [nmsw, random_foreground, zoom_out, sliding_window], ids=lambda s: s.__name__)
def test_a_network_without_tokens_has_no_ratio(volume, strategy):
    plain = networks.build("nmsw", OPTIONS, 1, 3).eval()
    with pytest.raises(OptionError, match="prune_ratio is 0.75.*no tokens.*Leave"):
        predict(strategy, volume, plain, prune_ratio=0.75)
    found, _ = predict(strategy, volume, plain)
    assert found.depths is None
    assert found.prune_ratio is None


@pytest.mark.parametrize("strategy", [nmsw, random_foreground, zoom_out, sliding_window], ids=lambda s: s.__name__)
@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_what_is_no_ratio_is_refused_at_birth(strategy, ratio):
    with pytest.raises(OptionError, match="between 0 and 1"):
        strategy.Options(prune_ratio=ratio)
