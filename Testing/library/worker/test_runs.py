"""The background process, as a real one: what a run tells, and what it leaves."""

import json
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from worker_client import PATIENCE_SECONDS, WorkerClient, kinds

from EfficientSegLib import protocol
from EfficientSegLib.protocol import (
    ClassWeights,
    Failed,
    Finished,
    Heartbeat,
    Partial,
    Patches,
    Progress,
    Ready,
    Started,
)
from EfficientSegLib.resources import estimate_memory_mb


def test_a_run_tells_its_events_in_order_and_ends_once(worker, request_for):
    events = worker.ask(request_for())
    names = kinds(event for event in events if not isinstance(event, (Progress, protocol.Warned)))
    assert names == ["Started", "Patches", "ClassWeights", "Partial", "Pace", "Reviewed", "Pace", "Finished"]
    assert events[0] == Started(worker.process.pid, "cpu", 1)
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions) and fractions[-1] <= 1
    patches = next(event for event in events if isinstance(event, Patches))
    assert [patch.rank for patch in patches.boxes] == [1, 2, 3, 4]
    weights = next(event for event in events if isinstance(event, ClassWeights)).weights
    assert set(weights) == {"1", "2"} and all(0 <= weight <= 1 for weight in weights.values())


def test_results_lie_in_the_output_folder_and_agree(worker, request_for):
    request = request_for()
    end = worker.ask(request)[-1]
    assert isinstance(end, Finished) and end.complete and end.patches_read == end.patches_total == 4
    labels = np.load(end.labels)
    record = json.loads(Path(end.record).read_text(encoding="utf-8"))
    assert list(labels.shape) == record["input"]["shape"] == [40, 36, 44]
    assert record["volumes_ml"]["Ball"] == pytest.approx((labels == 1).sum() * 0.008)
    assert Path(end.segmentation).read_bytes().startswith(b"NRRD")
    assert {Path(path).parent for path in (end.labels, end.record, end.segmentation)} == {Path(request.output_dir)}
    assert not list(Path(request.output_dir).glob("*.part*"))


def test_the_first_partial_covers_the_volume_and_can_be_read(worker, request_for):
    partial = next(event for event in worker.ask(request_for()) if isinstance(event, Partial))
    assert partial.box.shape == (40, 36, 44) == np.load(partial.labels).shape
    assert partial.patches_read == 0


def test_the_panel_may_do_without_the_segmentation_file(worker, request_for):
    request = request_for(save_segmentation=False)
    assert worker.ask(request)[-1].segmentation == ""
    assert not (Path(request.output_dir) / "segmentation.seg.nrrd").exists()


def test_memory_estimated_is_not_less_than_memory_taken(worker, request_for, inputs):
    from EfficientSegLib.bundle import load

    end = worker.ask(request_for())[-1]
    assert end.peak_memory_mb <= estimate_memory_mb((40, 36, 44), (2.0, 2.0, 2.0), load(inputs / "bündle"))


def test_a_heartbeat_comes_through_a_run(worker, request_for, tmp_path):
    cancel = tmp_path / "cancel"
    worker.send(request_for("slow", cancel_file=str(cancel)))
    begin = time.monotonic()
    worker.until(Partial)  # stopped before, on a busy machine, the run would end as a failure
    for _ in range(4):
        worker.until(Heartbeat)
    cancel.touch()
    worker.until(Finished)
    beats = [begin, *(at for at, event in worker.times if isinstance(event, Heartbeat) and at > begin)]
    assert max(b - a for a, b in pairwise(beats)) < 5  # 1 s is meant; a busy machine is forgiven


def test_what_libraries_print_is_no_event_and_monai_is_not_touched(request_for, tmp_path):
    chatter = tmp_path / "chatter"
    (chatter / "monai").mkdir(parents=True)
    (chatter / "monai" / "__init__.py").write_text("raise SystemExit('monai was imported')")
    (chatter / "SimpleITK_chatter.py").write_text("")
    (chatter / "sitecustomize.py").write_text(
        "import os, sys, threading, time\n"
        "print('no newline', end='', flush=True)\n"
        "def talk():\n"
        "    while True:\n"
        "        print('from Python ü', end='', flush=True); os.write(1, b'from C '); time.sleep(0.01)\n"
        "threading.Thread(target=talk, daemon=True).start()\n",
        encoding="utf-8",
    )
    with WorkerClient(environment={"PYTHONPATH": str(chatter), "LC_ALL": "C"}) as worker:
        assert isinstance(worker.next(), Ready)
        assert isinstance(worker.ask(request_for())[-1], Finished)
    assert any("from C" in line for line in worker.log)


def test_once_does_one_request_and_tells_by_its_exit_code(request_for, tmp_path):
    path = tmp_path / "request.json"
    for fields, code, kind in (({}, 0, Finished), ({"strategy": "guessing"}, 1, Failed)):
        path.write_text(protocol.encode_request(replace(request_for(), **fields)), encoding="utf-8")
        with WorkerClient("--once", str(path)) as worker:
            assert isinstance(worker.rest()[-1], kind)
            assert worker.process.wait(PATIENCE_SECONDS) == code
