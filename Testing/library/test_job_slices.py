"""A real SegMate, from the request to the files: labels on the way, a stop, overlapping segments, the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from slice_bundle import write_slice_bundle
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from worker_client import WorkerClient

from EfficientSegLib import bundle as bundles
from EfficientSegLib import job
from EfficientSegLib.__main__ import main
from EfficientSegLib.commands.bundles import check
from EfficientSegLib.errors import BundleError, OptionError
from EfficientSegLib.kept import ModelKeeper
from EfficientSegLib.protocol import Finished, Partial, Patches, Progress, Request, Warned


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A CT of 12 slices and bundles, in a folder named as a colleague's may be."""
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "ct.nii.gz", (40, 36, 12))
    write_slice_bundle(folder / "slices")
    write_tiny_bundle(folder / "patches")
    return folder


@pytest.fixture
def request_for(inputs, tmp_path):
    def make(bundle: str = "slices", **fields) -> Request:
        return Request(
            input=str(inputs / "ct.nii.gz"),
            bundle=str(inputs / bundle),
            output_dir=str(tmp_path / "out"),
            threads=1,
            device="cpu",
            **fields,
        )

    return make


def run(request, stop_after=None):
    """Events and outcome of a run in this process; asked to stop once so many slices are read."""
    events = []

    def should_stop():
        done = [event.done for event in events if isinstance(event, Progress) and event.stage == "slices"]
        return stop_after is not None and bool(done) and done[-1] >= stop_after

    outcome = job.run(request, events.append, ModelKeeper(), should_stop)
    return events, outcome


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr("EfficientSegLib.live_slabs.PARTIAL_SECONDS", 0)
    monkeypatch.setattr("EfficientSegLib.live_slabs.PARTIAL_SHARE", 1)


def test_a_worker_reads_slice_by_slice_and_shows_its_labels(request_for):
    with WorkerClient() as worker:
        worker.send(request_for())
        events = []
        while not (events and isinstance(events[-1], Finished)):
            events.append(worker.next())
    end = events[-1]
    assert end.complete and (end.patches_read, end.patches_total, end.unit, end.run_id) == (12, 12, "slices", "")
    slices = [event for event in events if isinstance(event, Progress) and event.stage == "slices"]
    assert [event.done for event in slices] == list(range(1, 13)) and {event.total for event in slices} == {12}
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    partial = next(event for event in events if isinstance(event, Partial))
    assert partial.box.shape == (40, 36, 12)
    assert not any(isinstance(event, Patches) for event in events)
    record = json.loads(Path(end.record).read_text(encoding="utf-8"))
    assert record["strategy"]["name"] == "slices" and record["patches"]["unit"] == "slices"
    assert (record["patches"]["read"], record["patches"]["boxes"]) == (12, [])


def test_what_was_shown_is_what_is_written(request_for, always):
    events, outcome = run(request_for())
    labels = np.load(outcome.finished.labels)
    assert set(np.unique(labels)) == {0, 1, 2}
    shown = [event for event in events if isinstance(event, Partial)][-3:]  # older files may be gone
    for event in shown:
        assert np.array_equal(np.load(event.labels), labels[event.box.slices()])


def test_a_stop_keeps_the_slices_that_are_done(request_for, tmp_path):
    whole = np.load(run(request_for())[1].finished.labels)
    _, outcome = run(replace(request_for(), output_dir=str(tmp_path / "stopped")), stop_after=4)
    labels = np.load(outcome.finished.labels)
    assert (outcome.finished.complete, outcome.finished.patches_read) == (False, 4)
    # LPS and RAS agree on the third axis: slices are read upwards.
    assert np.array_equal(labels[:, :, :4], whole[:, :, :4]) and labels[:, :, :4].any()
    assert not labels[:, :, 4:].any()


def test_overlapping_segments_are_written_as_layers_and_hold_the_label_map(request_for):
    _, outcome = run(request_for(overlapping=True))
    image = sitk.ReadImage(outcome.finished.segmentation)
    assert image.GetNumberOfComponentsPerPixel() == 2  # both labels claim some voxels
    layers = np.moveaxis(sitk.GetArrayFromImage(image), -1, 0).transpose(0, 3, 2, 1)
    labels = np.load(outcome.finished.labels)
    assert ((layers[0] > 0) & (layers[1] > 0)).any()
    for layer, value in enumerate((1, 2)):
        assert set(np.unique(layers[layer])) == {0, value}
        assert (layers[layer][labels == value] == value).all()
    assert np.array_equal((layers > 0).any(0), labels > 0)


def test_overlapping_segments_of_exclusive_labels_are_refused_before_anything_is_read(request_for):
    events = []
    with pytest.raises(OptionError, match="no overlapping segments"):
        job.run(request_for("patches", overlapping=True), events.append, ModelKeeper(), lambda: False)
    assert events == []


def test_the_command_line_writes_overlapping_segments(inputs, tmp_path, capsys):
    given = [
        "segment",
        str(inputs / "ct.nii.gz"),
        "--bundle",
        str(inputs / "slices"),
        "--threads",
        "1",
        "--overlapping",
    ]
    assert main([*given[:-1], "-o", str(tmp_path / "a.seg.nrrd")]) == 0
    assert "where labels overlap, --overlapping keeps them whole" in capsys.readouterr().out
    assert main([*given, "-o", str(tmp_path / "a.seg.nrrd")]) == 0
    said = capsys.readouterr().out
    assert "12 of 12 slices read" in said and "--overlapping" not in said
    assert b"dimension: 4" in (tmp_path / "a.seg.nrrd").read_bytes()[:200]
    assert main([*given, "-o", str(tmp_path / "a.nii.gz")]) == 1
    assert "--overlapping does not go with a.nii.gz" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.seg.nrrd"]


def test_a_bundle_of_slices_passes_its_check(inputs):
    check(bundles.load(inputs / "slices"))


def test_a_saved_bundle_says_what_it_needs_and_refuses_another_reading(inputs, tmp_path):
    bundle = bundles.load(inputs / "slices")
    assert (bundle.outputs, bundle.num_outputs, bundle.preprocess.native_slices) == ("independent", 2, True)
    content = json.loads((inputs / "slices" / "bundle.json").read_text())
    del content["outputs"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(content))
    (tmp_path / "b" / "weights.pt").write_bytes((inputs / "slices" / "weights.pt").read_bytes())
    with pytest.raises(BundleError, match="reads slices, and its outputs are called exclusive"):
        ModelKeeper().get(bundles.load(tmp_path / "b"), "cpu")


def test_a_stack_that_lies_oddly_is_remarked(inputs, tmp_path, request_for):
    image = sitk.ReadImage(str(inputs / "ct.nii.gz"))
    image.SetSpacing((2.0, 2.0, 7.0))
    sitk.WriteImage(image, str(tmp_path / "thick.nii.gz"))
    events, _ = run(replace(request_for(), input=str(tmp_path / "thick.nii.gz")))
    assert any("Slices are 7 mm apart" in event.text for event in events if isinstance(event, Warned))
