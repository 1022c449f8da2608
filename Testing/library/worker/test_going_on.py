"""What the background process keeps from run to run, and how a run goes on from another."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from worker_client import WorkerClient

from EfficientSegLib import protocol
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.kept import ModelKeeper, RunKeeper
from EfficientSegLib.protocol import Finished, Partial, Progress
from EfficientSegLib.segment import Segmentation


def test_the_model_stays_loaded_between_requests(worker, request_for, inputs, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "kept", seed=5)
    first = worker.ask(replace(request_for(), bundle=bundle.folder))[-1]
    before = np.load(first.labels)
    bundle.weights_path.write_bytes(b"not even a weights file")  # whoever read it again would fail
    second = worker.ask(replace(request_for(), bundle=bundle.folder))[-1]
    assert isinstance(second, Finished)
    np.testing.assert_array_equal(np.load(second.labels), before)


def test_another_model_replaces_the_kept_one(inputs, tmp_path):
    from EfficientSegLib.bundle import load

    models, bundle = ModelKeeper(), load(inputs / "bündle")
    model = models.get(bundle, "cpu")
    assert models.get(bundle, "cpu") is model
    assert models.get(write_tiny_bundle(tmp_path / "other", seed=9), "cpu") is not model


def test_a_run_goes_on_from_the_last_one_and_equals_a_fresh_run(worker, request_for, tmp_path):
    fresh = np.load(worker.ask(request_for(options={"top_k": 9}))[-1].labels)
    first = worker.ask(request_for(options={"top_k": 3}, keep=True))[-1]
    events = worker.ask(request_for(options={"top_k": 9}, continue_from=first.run_id, keep=True))
    assert not any("anew" in event.text for event in events if isinstance(event, protocol.Warned))
    assert next(event for event in events if isinstance(event, Partial)).patches_read == 3
    assert events[-1].patches_read == 9 and events[-1].run_id not in ("", first.run_id)
    np.testing.assert_array_equal(np.load(events[-1].labels), fresh)
    record = json.loads(Path(events[-1].record).read_text(encoding="utf-8"))
    assert first.run_id not in json.dumps(record) and record["patches"]["read"] == 9


@pytest.mark.parametrize(
    "why, words",
    [
        ("forgotten", "not in memory any more"),
        ("other volume", "another volume"),
        ("fewer", "has read 3 patches, now they are to be 2"),
        ("other strategy", "begins anew always"),
    ],
)
def test_what_cannot_go_on_is_computed_anew_and_said_so(worker, request_for, tmp_path, why, words):
    changes = {"options": {"top_k": 2}} if why == "fewer" else {"options": {"top_k": 5}}
    if why == "other volume":
        write_tiny_ct(tmp_path / "other.nii.gz", (36, 36, 44))
        changes["input"] = str(tmp_path / "other.nii.gz")
    if why == "other strategy":
        changes = {"strategy": "sliding_window"}
    fresh = np.load(worker.ask(request_for(**changes))[-1].labels)
    first = worker.ask(request_for(options={"top_k": 3}, keep=True))[-1]
    if why == "forgotten":
        worker.ask(request_for(options={"top_k": 1}))
    events = worker.ask(request_for(**changes, continue_from=first.run_id))
    warnings = [event.text for event in events if isinstance(event, protocol.Warned)]
    assert any("computed anew" in text and words in text for text in warnings), warnings
    assert isinstance(events[-1], Finished)
    np.testing.assert_array_equal(np.load(events[-1].labels), fresh)


def test_nothing_is_kept_where_nobody_asked_for_it(worker, request_for):
    end = worker.ask(request_for(options={"top_k": 2}))[-1]
    assert end.run_id == "" and end.patches_read == 2


def test_a_kept_run_is_gone_once_another_begins_or_follows_it():
    def run(reading):
        return Segmentation(np.ones((2, 2, 2), np.uint8), (), None, True, 1, 1, 1, reading=reading)

    runs = RunKeeper()
    assert runs.keep(run(None)) == "" and runs.kept is None
    first = runs.keep(run("first"))
    runs.begin(first)
    assert runs.kept.reading == "first" and runs.kept.labels.size == 0
    second = runs.keep(run("second"))
    assert second != first
    runs.begin(first)
    assert runs.kept is None
    third = runs.keep(run("third"))
    runs.forget()
    runs.begin(third)
    assert runs.kept is None


@pytest.mark.parametrize("kind", ["more", "refine here"])
def test_after_a_worker_was_killed_while_going_on_the_next_one_begins_anew_and_ends_the_same(request_for, kind):
    corner = PatchBox((38, 34, 42), (40, 36, 44))
    refine = request_for(options={"top_k": 3}, first=(corner,), only_first=True, keep=True)
    further = {"options": {"top_k": None}} if kind == "more" else {"first": (corner,), "only_first": True}
    read = 6 if kind == "more" else 4
    with WorkerClient() as worker:
        first = worker.ask(request_for("slow", options={"top_k": 3}, keep=True))[-1]
        worker.send(request_for("slow", **{"options": {"top_k": 3}, **further}, continue_from=first.run_id, keep=True))
        while not (isinstance(event := worker.next(), Progress) and event.done >= read):
            pass
        worker.process.kill()
        worker.rest()
    with WorkerClient() as worker:
        events = worker.ask(replace(refine, continue_from=first.run_id))
        assert any("computed anew" in event.text for event in events if isinstance(event, protocol.Warned))
        anew = np.load(events[-1].labels)
        assert not list(Path(refine.output_dir).glob(".*.part"))
        kept = worker.ask(request_for(options={"top_k": 3}, keep=True))[-1]
        refined = worker.ask(replace(refine, continue_from=kept.run_id))[-1]
        assert refined.patches_read == events[-1].patches_read > 3
        np.testing.assert_array_equal(np.load(refined.labels), anew)
