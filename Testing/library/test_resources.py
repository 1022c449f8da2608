"""Memory and disk: measured plausibly, estimated from above, refused with numbers."""

import mmap
import sys
from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle

from EfficientSegLib import resources
from EfficientSegLib.errors import DeviceError

MM = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


def test_measures_are_plausible(tmp_path):
    now = resources.current_memory_mb()
    assert 10 < now <= resources.peak_memory_mb() * 1.01
    assert 10 < resources.available_memory_mb() < 1e8
    assert resources.free_disk_mb(tmp_path / "not" / "yet") == pytest.approx(resources.free_disk_mb(tmp_path), rel=0.1)


def fresh(megabytes):
    """Memory straight from the system: the heap may hold that much from earlier tests already."""
    block = mmap.mmap(-1, megabytes << 20)
    np.frombuffer(block, dtype=np.uint8)[::1024] = 1
    return block


def test_memory_taken_is_seen_and_its_peak_remembered():
    before = resources.current_memory_mb()
    block = fresh(120)
    assert resources.current_memory_mb() > before + 100
    peak = resources.peak_memory_mb()
    block.close()
    assert resources.peak_memory_mb() == pytest.approx(peak, rel=0.05)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can forget a peak")
def test_a_forgotten_peak_counts_from_now():
    block = fresh(150)
    peak = resources.peak_memory_mb()
    block.close()
    resources.forget_peak()
    assert resources.peak_memory_mb() < peak - 100


def test_more_voxels_or_labels_or_patches_never_need_less(bundle):
    least = resources.estimate_memory_mb((100, 100, 100), MM, bundle)
    assert resources.estimate_memory_mb((100, 100, 200), MM, bundle) > least
    assert resources.estimate_memory_mb((100, 100, 100), (2.0, 2.0, 2.0), bundle) > least
    assert resources.estimate_memory_mb((100, 100, 100), MM, bundle, {"top_k": 40}) > least
    more = replace(bundle, labels=bundle.labels * 20)
    assert resources.estimate_memory_mb((100, 100, 100), MM, more) > least


def test_patch_logits_beyond_their_budget_lie_on_disk_and_not_in_memory(bundle):
    few = resources.estimate_memory_mb((400, 400, 400), MM, bundle, {"top_k": None, "memory_mb": 10})
    many = resources.estimate_memory_mb((400, 400, 400), MM, bundle, {"top_k": None, "memory_mb": 50})
    assert many - few == pytest.approx(40)


def test_the_strategy_asked_for_counts_not_the_bundles_own(bundle):
    few, shape = {"top_k": 1}, (400, 400, 400)
    own = resources.estimate_memory_mb(shape, MM, bundle, few)
    assert resources.estimate_memory_mb(shape, MM, bundle, few, "random_foreground") == own
    assert resources.estimate_memory_mb(shape, MM, bundle, None, "sliding_window") > own


def test_what_this_process_holds_already_is_not_counted_twice(bundle, monkeypatch):
    needed = resources.estimate_memory_mb((64, 64, 64), MM, bundle)
    monkeypatch.setattr(resources, "available_memory_mb", lambda: needed - 100)
    monkeypatch.setattr(resources, "current_memory_mb", lambda: 150.0)
    assert resources.check_memory((64, 64, 64), MM, bundle) == needed
    monkeypatch.setattr(resources, "current_memory_mb", lambda: 50.0)
    with pytest.raises(DeviceError, match="64 × 64 × 64"):
        resources.check_memory((64, 64, 64), MM, bundle)


def test_5000_slices_are_refused_with_numbers_and_a_way_out(bundle):
    with pytest.raises(DeviceError) as said:
        resources.check_memory((512, 512, 5000), MM, bundle, available_mb=12 * 1024)
    needed = resources.estimate_memory_mb((512, 512, 5000), MM, bundle) / 1024
    assert f"512 × 512 × 5000 voxels needs about {needed:.1f} GB of memory, 12.0 GB are free" in said.value.what
    assert "51 × 51 × 500 cm" in said.value.why and "Crop" in said.value.mend


def test_what_fits_is_allowed_and_its_need_told(bundle):
    needed = resources.check_memory((64, 64, 64), MM, bundle, available_mb=8192)
    assert needed == resources.estimate_memory_mb((64, 64, 64), MM, bundle) < 8192


def test_a_full_disk_is_refused_before_the_start(tmp_path):
    resources.check_disk(tmp_path, 100, free_mb=100)
    with pytest.raises(DeviceError, match=r"2\.0 GB of disk space are needed, 100 MB are free"):
        resources.check_disk(tmp_path, 2048, free_mb=100)


def test_labels_of_16_bit_with_their_partial_states_fit_into_the_estimate_of_the_disk():
    assert resources.result_mb((512, 512, 400)) >= 2 * (512 * 512 * 400 * 2) / resources.MB


def test_overlapping_labels_take_a_byte_per_voxel_for_every_eight(bundle):
    shape = (200, 200, 200)
    plain = resources.estimate_memory_mb(shape, MM, bundle)
    more = resources.estimate_memory_mb(shape, MM, bundle, overlapping=True)
    assert more - plain == pytest.approx(200**3 / resources.MB)
