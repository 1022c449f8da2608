"""Cutting, padding, weighing and joining patches."""

import mmap

import pytest
import torch
from monai.data.utils import compute_importance_map

from EfficientSegLib import resources
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


def filled(boxes, labels=3, last=False, seed=0, **options):
    """A blend of random logits, which depend on the box alone."""
    blend = Blend(labels, boxes, **options)
    for box in boxes:
        generator = torch.Generator().manual_seed(hash((seed, box.start)) % 2**31)
        logits = torch.randn(labels, *box.shape, generator=generator)
        if last:
            logits = logits.movedim(0, -1).contiguous().movedim(-1, 0)
        blend.add(logits, box, gaussian_window(box.shape))
    return blend


BOXES = patch_grid((70, 40, 48), (32, 24, 20), 0.5)


@pytest.mark.parametrize("labels", [1, 3, 118])
def test_the_memory_layout_of_the_logits_changes_nothing(labels):
    boxes = BOXES[::40]
    first, last = (filled(boxes, labels, last).region(whole((70, 40, 48))) for last in (False, True))
    assert torch.equal(first[0], last[0]) and torch.equal(first[1], last[1])


@pytest.mark.parametrize("memory_mb", [0, 1.5, 1e4])
def test_any_order_and_any_place_give_the_same_mean(memory_mb):
    expected, covered = filled(BOXES).region(whole((70, 40, 48)))
    for seed in range(3):
        order = torch.randperm(len(BOXES), generator=torch.Generator().manual_seed(seed)).tolist()
        blend = filled([BOXES[index] for index in order], memory_mb=memory_mb)
        mean, also_covered = blend.region(whole((70, 40, 48)))
        torch.testing.assert_close(mean, expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(covered, also_covered)


def test_a_blend_that_grows_over_its_memory_equals_one_that_knew_all():
    at_once = filled(BOXES).region(whole((70, 40, 48)))[0]
    blend = Blend(3, memory_mb=1.5)  # three blocks
    window = gaussian_window(BOXES[0].shape)
    for box in BOXES:
        generator = torch.Generator().manual_seed(hash((0, box.start)) % 2**31)
        blend.extend([box])
        blend.add(torch.randn(3, *box.shape, generator=generator), box, window)
    assert torch.equal(blend.region(whole((70, 40, 48)))[0], at_once)
    assert [block.row is None for block in blend._blocks.values()].count(True) == 3


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system cannot hand pages back")
def test_what_lies_in_the_file_is_not_in_memory_and_is_still_right():
    box = whole((160, 160, 160))
    blend = Blend(4, [box], memory_mb=0)  # 80 MB in the file
    before = resources.current_memory_mb()
    values = torch.arange(4.0)[:, None, None, None].expand(4, *box.shape)
    blend.add(values, box, torch.ones(()).expand(box.shape))
    assert resources.current_memory_mb() - before < 20
    for start in range(0, 160, 32):
        part = PatchBox((start, 0, 0), (start + 32, 160, 160))
        mean, covered = blend.region(part)
        assert covered.all() and torch.equal(mean, values[:, :32])
    del mean, covered
    assert resources.current_memory_mb() - before < 40  # the last region, and what the heap keeps of it


def test_forgotten_rooms_in_the_file_are_empty_when_used_again():
    boxes = [PatchBox((0, 0, k), (32, 32, k + 32)) for k in range(0, 160, 32)]
    blend = Blend(1, boxes, memory_mb=0, alive=0.4)
    for box in boxes:
        blend.add(torch.ones(1, 32, 32, 32), box, torch.ones(32, 32, 32))
        mean, covered = blend.region(box)
        assert mean.eq(1).all() and covered.all()
        blend.forget_before(box.stop[2])
        assert not blend.touches(box)


def test_a_disk_too_small_for_more_patches_leaves_what_was_read(monkeypatch):
    blend = filled(BOXES[:4], memory_mb=0)
    before = blend.region(whole((70, 40, 48)))[0]
    monkeypatch.setattr("EfficientSegLib.patches.free_disk_mb", lambda folder: 0.0)
    with pytest.raises(DeviceError, match="fewer patches"):
        blend.extend(BOXES)
    assert torch.equal(blend.region(whole((70, 40, 48)))[0], before)
