"""What a warm worker keeps is lost to no stop, error or full disk, and leads to the result of one run."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from warm_worker import Warm, request_in

from EfficientSegLib import reporter
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.failures import Stopped
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.protocol import Pace, Partial, Patches, Progress, Reviewed, Warned

CORNER = PatchBox((38, 34, 42), (40, 36, 44))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_tiny_ct(folder / "ct.nrrd")
    write_tiny_bundle(folder / "bundle")
    return folder


@pytest.fixture
def request_for(inputs, tmp_path):
    def make(top_k, **fields):
        return request_in(inputs, tmp_path / "out", options={"top_k": top_k}, **fields)

    return make


@pytest.fixture
def warm():
    return Warm()


def labels(finished):
    return np.load(finished.labels)


def test_a_stop_during_more_keeps_what_was_read_and_goes_on_from_there(warm, request_for):
    first = warm.ask(request_for(2))
    stopped = warm.ask(request_for(30, continue_from=first.run_id), stop_after=6)
    assert not stopped.complete and stopped.patches_read == 6 and len(warm.of(Reviewed)) == 1
    more = warm.ask(request_for(9, continue_from=stopped.run_id))
    assert more.patches_read == 9 and not warm.of(Warned) and warm.of(Partial)[0].patches_read == 6
    kept = labels(more)
    np.testing.assert_array_equal(kept, labels(Warm().ask(request_for(9))))


def test_a_stop_before_the_labels_of_more_loses_nothing(warm, request_for):
    first = warm.ask(request_for(3))
    with pytest.raises(Stopped):
        warm.ask(request_for(9, continue_from=first.run_id), stop_after=0)
    more = warm.ask(request_for(9, continue_from=first.run_id))
    assert more.patches_read == 9 and not warm.of(Warned)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"first": (PatchBox((90, 0, 0), (91, 1, 1)),), "only_first": True}, "outside the volume"),
        ({"structures": (5,)}, "Structure 5 is not among"),
        ({"only_first": True}, "there are none"),
    ],
)
def test_a_wish_that_cannot_be_met_loses_nothing(warm, request_for, wrong, words):
    first = warm.ask(request_for(3))
    with pytest.raises(OptionError, match=words):
        warm.ask(request_for(3, continue_from=first.run_id, **wrong))
    more = warm.ask(request_for(4, continue_from=first.run_id))
    assert more.patches_read == 4 and not warm.of(Warned)


@pytest.mark.parametrize("full_at", [1, 2, 3], ids=["first labels", "labels on the way", "final labels"])
def test_a_full_disk_during_more_is_said_and_more_can_be_asked_again(warm, request_for, monkeypatch, full_at):
    monkeypatch.setattr("EfficientSegLib.pace.PARTIAL_SECONDS", 0)
    monkeypatch.setattr("EfficientSegLib.pace.PARTIAL_SHARE", 1)
    monkeypatch.setattr("EfficientSegLib.pace.WORTH", 0)
    first = warm.ask(request_for(3))
    request = request_for(5, continue_from=first.run_id)
    saved, written = np.save, []

    def save(file, *rest, **more):
        written.append(file)
        if len(written) == full_at:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        saved(file, *rest, **more)

    monkeypatch.setattr(reporter.np, "save", save)
    with pytest.raises(VolumeError, match="the disk is full"):
        warm.ask(request)
    assert not list(Path(request.output_dir).glob(".*.part"))  # nothing half-written
    monkeypatch.setattr(reporter.np, "save", saved)
    more = warm.ask(request)
    assert more.patches_read == 5 and not warm.of(Warned)
    kept = labels(more)
    np.testing.assert_array_equal(kept, labels(Warm().ask(request_for(5))))


def test_files_that_a_killed_worker_has_left_are_gone_with_the_next_request(warm, request_for):
    request = request_for(2)
    folder = Path(request.output_dir)
    folder.mkdir()
    left = [folder / name for name in ("partial_0007.npy", ".partial_0008.npy.part", ".labels.npy.part")]
    for path in left:
        path.write_bytes(b"\x93NUMPY cut off")
    (folder / "mine.txt").write_text("not the worker's")
    warm.ask(request)
    assert not any(path.exists() for path in left) and (folder / "mine.txt").exists()


def test_refining_a_place_reads_only_that_and_equals_reading_it_all_in_one_run(warm, request_for):
    first = warm.ask(request_for(3))
    refined = warm.ask(request_for(3, continue_from=first.run_id, first=(CORNER,), only_first=True))
    new = refined.patches_read - 3
    (patches,) = warm.of(Patches)
    assert new > 0 and refined.complete and all(patch.box.intersection(CORNER) for patch in patches.boxes[3:])
    assert [event.done for event in warm.of(Progress) if event.stage == "patches"] == list(range(3, 4 + new))
    (reviewed,) = warm.of(Reviewed)
    assert [change.rank for change in reviewed.patches] == list(range(1, 4 + new))
    # The earlier run is forgotten: what it had read is read again, with the place.
    kept = labels(refined)
    alone = Warm()
    anew = alone.ask(request_for(3, continue_from="gone", first=(CORNER,), only_first=True))
    assert any("computed anew" in event.text for event in alone.of(Warned))
    assert anew.patches_read == refined.patches_read
    np.testing.assert_array_equal(labels(anew), kept)


def test_a_stop_during_a_refined_place_keeps_what_was_read_of_it(warm, request_for):
    request = request_for(3, first=(PatchBox((0, 0, 0), (40, 36, 44)),), only_first=True)
    first = warm.ask(request_for(3))
    stopped = warm.ask(replace(request, continue_from=first.run_id), stop_after=5)
    assert not stopped.complete and stopped.patches_read == 5
    usual = warm.ask(request_for(7, continue_from=stopped.run_id))
    assert usual.patches_read == 7 and not warm.of(Warned)
    kept = labels(usual)
    np.testing.assert_array_equal(kept, labels(Warm().ask(request_for(7))))  # all places: the usual order


def test_outside_the_region_labels_are_0_in_all_that_is_told(warm, request_for):
    region = PatchBox((0, 0, 0), (14, 36, 44))
    done = warm.ask(request_for(99, region=region))
    (patches,) = warm.of(Patches)
    assert all(patch.box.intersection(region) for patch in patches.boxes)
    assert patches.candidates == len(patches.boxes) == done.patches_total
    part = labels(done)
    assert part[:14].any() and not part[14:].any()
    for partial in warm.of(Partial):
        if partial.box.start[0] >= 14:
            assert not np.load(partial.labels).any()
    whole = warm.ask(request_for(None, continue_from=done.run_id))
    assert labels(whole)[14:].any() and not warm.of(Warned)
    np.testing.assert_array_equal(part[:14], _only_region(labels(whole), warm, request_for, region)[:14])


def _only_region(everything, warm, request_for, region):
    """With all patches read, the region's labels are those of the whole volume."""
    again = warm.ask(request_for(None, region=region))
    np.testing.assert_array_equal(labels(again)[:14], everything[:14])
    return labels(again)


def test_the_pace_counts_the_patches_that_are_not_read_yet(warm, request_for):
    first = warm.ask(request_for(6))
    paces = warm.of(Pace)
    assert len(paces) == 3  # after patches 1 and 3, and at the end
    assert {pace.candidates for pace in paces} == {warm.of(Patches)[0].candidates}
    last = paces[-1]
    assert last.patch_seconds > 0 and 0 < last.base_seconds < 2 * first.seconds  # writing is still foreseen
    warm.ask(replace(request_for(6), continue_from=first.run_id))
    assert [pace.patch_seconds for pace in warm.of(Pace)] == [0.0]  # nothing was left to read


def test_time_left_is_told_from_the_first_patch_on_and_ends_near_nothing(warm, request_for):
    warm.ask(request_for(6))
    told = [event for event in warm.of(Progress) if event.stage == "patches"]
    assert told[0].seconds_left is None and all(event.seconds_left >= 0 for event in told[1:])
