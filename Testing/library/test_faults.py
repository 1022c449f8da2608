"""Faults while labels are shown live, during More and during Refine here: said in words, and nothing kept is lost.

Each kind of run goes wrong once and is asked again; the second time its labels are those of a run without the fault.
"""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from warm_worker import Warm, request_in

from EfficientSegLib import job, reporter
from EfficientSegLib.errors import BundleError, EfficientSegError, VolumeError
from EfficientSegLib.failures import explain
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.kept import ModelKeeper
from EfficientSegLib.protocol import Partial, Warned

KINDS = pytest.mark.parametrize("kind", ["live", "more", "refine here"])
CORNER = PatchBox((38, 34, 42), (40, 36, 44))


class User(Warm):
    """Asks for one kind of run."""

    def __init__(self, folder, kind):
        super().__init__()
        self.folder, self.kind = folder, kind
        write_tiny_ct(folder / "ct.nrrd")
        write_tiny_bundle(folder / "bundle")
        self.begun = "" if kind == "live" else self.read(2)

    def read(self, top_k, on_first=lambda: None, **fields):
        """The identity of the run; `on_first` is called when its first labels are shown."""

        def emit(event):
            if isinstance(event, Partial) and len(self.of(Partial)) == 1:
                on_first()

        request = request_in(self.folder, self.folder / "out", options={"top_k": top_k}, **fields)
        done = self.ask(request, emit=emit)
        self.labels = np.load(done.labels)
        return done.run_id

    def go(self, on_first=lambda: None):
        """The run that this is about."""
        place = {"first": (CORNER,), "only_first": True} if self.kind == "refine here" else {}
        top_k = 2 if self.kind == "refine here" else 5
        return self.read(top_k, on_first, continue_from=self.begun, **place)

    @property
    def warnings(self):
        return [event.text for event in self.of(Warned) if "anew" in event.text]


@pytest.fixture
def expected(tmp_path, kind):
    (tmp_path / "good").mkdir()
    good = User(tmp_path / "good", kind)
    good.go()
    return good.labels


@pytest.fixture
def warm(tmp_path, kind):
    (tmp_path / "here").mkdir()
    return User(tmp_path / "here", kind)


@KINDS
def test_an_output_folder_that_vanishes_is_made_again(warm, expected, kind):
    warm.go(on_first=lambda: shutil.rmtree(warm.folder / "out"))
    assert np.array_equal(warm.labels, expected) and not warm.warnings


@KINDS
def test_an_output_folder_that_becomes_a_file_is_said_and_nothing_kept_is_lost(warm, expected, kind):
    def replaced():
        shutil.rmtree(warm.folder / "out")
        (warm.folder / "out").write_text("a file", encoding="utf-8")

    with pytest.raises(EfficientSegError) as said:
        warm.go(on_first=replaced)
    assert said.value.mend and "out" in str(said.value)
    (warm.folder / "out").unlink()
    warm.go()
    assert np.array_equal(warm.labels, expected) and not warm.warnings


@KINDS
@pytest.mark.parametrize("gone", ["bundle", "ct.nrrd"])
def test_a_bundle_or_a_scan_that_goes_while_it_is_read_is_missed_by_the_next_run_alone(warm, expected, kind, gone):
    path, aside = warm.folder / gone, warm.folder / "aside"
    before = warm.begun
    warm.begun = warm.go(on_first=lambda: path.rename(aside))
    assert np.array_equal(warm.labels, expected) and not warm.warnings
    with pytest.raises(BundleError if gone == "bundle" else VolumeError) as said:
        warm.read(6, continue_from=warm.begun)
    assert gone.split(".")[0] in str(said.value) and said.value.mend
    aside.rename(path)
    warm.read(6, continue_from=warm.begun)
    assert not warm.warnings and before != warm.begun  # what was read is still there


@KINDS
def test_weights_that_break_under_a_warm_worker_change_nothing_until_they_are_loaded(warm, expected, kind):
    weights = warm.folder / "bundle" / "weights.pt"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    if kind == "live":  # nothing was loaded yet
        with pytest.raises(BundleError):
            warm.go()
        weights.write_bytes(whole)
    warm.go()
    assert np.array_equal(warm.labels, expected) and not warm.warnings
    weights.write_bytes(whole[:100])
    with pytest.raises(BundleError) as said:
        ModelKeeper().get(job.bundles.load(warm.folder / "bundle"), "cpu")
    assert said.value.mend


@KINDS
@pytest.mark.parametrize("number", [1, 2])
def test_a_full_disk_is_said_leaves_nothing_half_and_can_be_asked_again(warm, expected, kind, number, monkeypatch):
    write, count = reporter.write_labels, []

    def full(array, path):
        count.append(path)
        if len(count) == number:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(array, path)

    monkeypatch.setattr(reporter, "write_labels", full)
    monkeypatch.setattr(job, "write_labels", full)
    with pytest.raises(OSError) as said:
        warm.go()
    assert explain(said.value).what == "The disk is full."
    job.remove_files(warm.folder / "out")  # as the worker does
    assert not list(Path(warm.folder / "out").iterdir())
    warm.go()
    assert np.array_equal(warm.labels, expected) and not warm.warnings
