"""What a run of slices will hold: not less than it takes, and in words where there is too little."""

import pytest
from slice_bundle import write_slice_bundle
from tiny_bundle import write_tiny_ct

from EfficientSegLib.errors import DeviceError
from EfficientSegLib.protocol import Finished, Request
from EfficientSegLib.resources import check_memory, estimate_memory_mb
from EfficientSegLib.slice_memory import slices_mb

FINE = (0.7, 0.7, 1.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_slice_bundle(tmp_path_factory.mktemp("bundles") / "slices")


def test_it_grows_with_the_slices_side_the_batch_and_the_volume(bundle):
    usual = slices_mb((512, 512, 100), (2.0, 2.0, 1.0), bundle, {})
    assert slices_mb((512, 512, 200), (2.0, 2.0, 1.0), bundle, {}) - usual == pytest.approx(100 * (8 + 4) / 4)
    pixel = slices_mb((512, 512, 100), (2.0, 2.0, 1.0), bundle, {"batch": 2}) - usual
    assert pixel == pytest.approx((150 + 2 * 12) / 4)
    assert slices_mb((512, 512, 100), (2.0, 2.0, 1.0), bundle, {}, overlapping=True) - usual == pytest.approx(25)


def test_what_counts_in_the_plane_is_the_bundles_spacing_and_through_it_the_scans(bundle):
    coarse = slices_mb((512, 512, 100), (1.0, 1.0, 1.0), bundle, {})  # 256 x 256 x 100 for the network
    assert coarse == pytest.approx(60 + (100 * 512**2 * 8 + 100 * 256**2 * 4 + 256**2 * 174) / 2**20)


def test_very_large_slices_are_refused_with_numbers_where_memory_is_short(bundle):
    given = ((2048, 2048, 20), (2.0, 2.0, 1.0), bundle)
    assert check_memory(*given, available_mb=4000) < 2200
    with pytest.raises(DeviceError, match=r"2048 × 2048 × 20 voxels needs about 2\.\d GB of memory, 900 MB are free"):
        check_memory(*given, available_mb=900)


def test_a_large_batch_is_counted(bundle):
    given = ((1024, 1024, 50), (2.0, 2.0, 1.0), bundle)
    assert estimate_memory_mb(*given, {"batch": 32}) > 5000 > estimate_memory_mb(*given)


def test_memory_estimated_is_not_less_than_memory_taken(bundle, tmp_path):
    from worker_client import WorkerClient

    write_tiny_ct(tmp_path / "ct.nii.gz", (300, 280, 8), 1.0)
    request = Request(str(tmp_path / "ct.nii.gz"), str(tmp_path / "out"), bundle.folder, threads=1, device="cpu")
    with WorkerClient() as worker:
        worker.send(request)
        event = worker.next()
        while not isinstance(event, Finished):
            event = worker.next()
    estimate = estimate_memory_mb((300, 280, 8), (1.0, 1.0, 1.0), bundle)
    assert 0.4 * estimate < event.peak_memory_mb <= estimate
