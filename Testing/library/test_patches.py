"""Cutting, padding, weighing and joining patches."""

import pytest
import torch
from monai.data.utils import compute_importance_map

from EfficientSegLib.errors import DeviceError
from EfficientSegLib.geometry import PatchBox, patch_grid, whole
from EfficientSegLib.patches import Blend, cut, gaussian_window, pad_to, pad_to_multiple


@pytest.mark.parametrize("shape", [(16, 16, 16), (32, 20, 9)])
def test_the_window_is_monais(shape):
    expected = compute_importance_map(shape, mode="gaussian", sigma_scale=0.125, dtype=torch.float32)
    torch.testing.assert_close(gaussian_window(shape), expected.clamp(min=1e-3), atol=1e-6, rtol=0)


def test_the_window_has_the_published_centre_and_mean():
    window = gaussian_window((128, 128, 128))
    assert round(float(window[64, 64, 64]), 4) == 0.9985
    assert round(float(window.mean()), 4) == 0.0312


def test_padding_stands_on_both_sides_and_tells_how_much_is_in_front():
    padded, front = pad_to(torch.ones(1, 5, 20, 7), (10, 16, 10), -0.1)
    assert padded.shape == (1, 10, 20, 10)
    assert front == (2, 0, 1)
    assert padded[0, 2:7, :, 1:8].eq(1).all()
    assert float(padded.sum()) == pytest.approx(5 * 20 * 7 - 0.1 * (10 * 20 * 10 - 5 * 20 * 7), rel=1e-5)


def test_padding_to_a_multiple_stands_at_the_end():
    padded = pad_to_multiple(torch.ones(1, 5, 8, 9), (4, 4, 4), 0.0)
    assert padded.shape == (1, 8, 8, 12)
    assert padded[:, :5, :8, :9].eq(1).all() and padded.sum() == 5 * 8 * 9


def test_patches_of_one_volume_join_to_the_volume_itself():
    volume = torch.randn(3, 70, 33, 48)
    boxes = patch_grid((70, 33, 48), (32, 32, 20), 0.5)
    blend = Blend(3, boxes)
    for box in boxes:
        blend.add(cut(volume, box), box, gaussian_window(box.shape))
    mean, covered = blend.region(whole((70, 33, 48)))
    assert covered.all()
    torch.testing.assert_close(mean, volume, atol=1e-5, rtol=1e-5)


def test_where_no_patch_was_added_nothing_is_covered_and_no_memory_is_held():
    box = PatchBox((40, 40, 40), (50, 60, 50))
    blend = Blend(2, [box])
    blend.add(torch.ones(2, *box.shape), box, torch.ones(box.shape))
    _, covered = blend.region(whole((100, 100, 100)))
    assert int(covered.sum()) == 10 * 20 * 10
    assert len(blend._blocks) == 1


def test_blocks_behind_can_be_forgotten():
    box = PatchBox((0, 0, 0), (8, 8, 96))
    blend = Blend(1, [box])
    blend.add(torch.ones(1, *box.shape), box, torch.ones(box.shape))
    blend.forget_before(70)
    _, covered = blend.region(box)
    assert covered[..., 64:].all() and not covered[..., :64].any()


def test_a_disk_too_small_for_the_logits_is_told_with_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("EfficientSegLib.patches.free_disk_mb", lambda folder: 1.0)
    with pytest.raises(DeviceError, match="750 MB.*has 1 MB.*fewer patches"):
        Blend(5, [whole((320, 320, 320))], memory_mb=0, scratch_dir=str(tmp_path))
