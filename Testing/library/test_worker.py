"""The background process, as a real one."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from worker_client import PATIENCE_SECONDS, WorkerClient

from EfficientSegLib import protocol
from EfficientSegLib.environment import is_running, worker_environment
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.kept import ModelKeeper, RunKeeper
from EfficientSegLib.protocol import (
    ClassWeights,
    Failed,
    Finished,
    Heartbeat,
    Partial,
    Patches,
    Progress,
    Ready,
    Request,
    Shutdown,
    Started,
)
from EfficientSegLib.resources import estimate_memory_mb
from EfficientSegLib.segment import Segmentation

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A CT, a quick bundle and one with thousands of patches, in a folder named as a colleague's may be."""
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "Lüngé.nii.gz")
    write_tiny_bundle(folder / "bündle")
    write_tiny_bundle(folder / "slow", overlap=0.93, top_k=None)  # thousands of patches
    return folder


@pytest.fixture
def request_for(inputs, tmp_path):
    """Makes requests of one thread whose results go to a folder of this test."""

    def make(bundle: str = "bündle", **fields) -> Request:
        fields = {"input": str(inputs / "Lüngé.nii.gz"), "output_dir": str(tmp_path / "öut put"), **fields}
        return Request(bundle=str(inputs / bundle), threads=1, device="cpu", **fields)

    return make


@pytest.fixture(scope="module")
def worker():
    """One warm worker for the tests that leave it alive."""
    with WorkerClient() as client:
        client.until(Ready)
        yield client


def kinds(events) -> list[str]:
    """Names of the events, repetitions left out."""
    names = [type(event).__name__ for event in events]
    return [name for position, name in enumerate(names) if position == 0 or name != names[position - 1]]


def wait_until(fact, seconds: float = PATIENCE_SECONDS) -> bool:
    last = time.monotonic() + seconds
    while not fact() and time.monotonic() < last:
        time.sleep(0.05)
    return fact()


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


@pytest.mark.parametrize(
    "line, words",
    [
        (b"hello", "not a JSON object"),
        (b'{"protocol": 99}', "protocol 99"),
        (b'{"input": "a", "output_dir": "b", "bundle": "c", "colour": 1}', "colour"),
        (b"\xff\xfe\x00{", "not a JSON object"),
    ],
)
def test_garbage_is_answered_and_survived(worker, request_for, line, words):
    worker.send(line)
    failed = worker.next()
    assert isinstance(failed, Failed) and words in failed.what and failed.mend
    assert isinstance(worker.ask(request_for())[-1], Finished)


def bad_requests(inputs: Path, tmp_path: Path):
    """What is wrong, the changed fields, and words of the answer."""
    (tmp_path / "file").write_bytes(b"")
    broken = write_tiny_bundle(tmp_path / "broken")
    broken.weights_path.write_bytes(b"changed")
    return {
        "no bundle": ({"bundle": str(tmp_path)}, "not a bundle"),
        "checksum": ({"bundle": broken.folder}, "checksum"),
        "no input": ({"input": str(tmp_path / "nö.nrrd")}, "nö.nrrd does not exist"),
        "no image": ({"input": str(inputs / "bündle" / "bundle.json")}, "bundle.json"),
        "no folder": ({"output_dir": str(tmp_path / "file" / "out")}, "could not be written"),
        "too many patches": ({"options": {"top_k": 99999}}, "99999"),
        "unknown option": ({"options": {"speed": 2}}, "speed"),
        "unknown strategy": ({"strategy": "guessing"}, "guessing"),
        "no threads": ({"threads": 0}, "threads is 0"),
        "no CUDA": ({"device": "cuda"}, "CUDA was asked for"),
    }


def test_bad_requests_fail_in_words_and_leave_nothing(request_for, inputs, tmp_path):
    with WorkerClient(environment={"CUDA_VISIBLE_DEVICES": ""}) as worker:
        for name, (fields, words) in bad_requests(inputs, tmp_path).items():
            request = replace(request_for(), **fields)
            events = worker.ask(request)
            assert isinstance(events[-1], Failed), name
            assert words in events[-1].what and events[-1].why and events[-1].mend and not events[-1].cancelled, name
            left = Path(request.output_dir)
            assert not left.is_dir() or not list(left.iterdir()), name


def test_a_volume_of_5000_slices_is_refused_before_it_is_read(worker, request_for, tmp_path):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 512 512 500000\nspace: left-posterior-superior\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nendian: little\nencoding: gzip\n\n"
    )
    (tmp_path / "long.nrrd").write_text(header)
    events = worker.ask(request_for(input=str(tmp_path / "long.nrrd")))
    assert kinds(events) == ["Failed"]
    assert "500000 voxels needs about" in events[0].what and "GB are free" in events[0].what


def test_cancel_after_a_patch_keeps_the_result_so_far(worker, request_for, tmp_path):
    cancel = tmp_path / "cancel"
    worker.send(request_for("slow", cancel_file=str(cancel)))
    while not (isinstance(event := worker.next(), Progress) and event.done >= 1):
        pass
    cancel.touch()
    end = worker.until(Finished, Failed)[-1]
    assert isinstance(end, Finished) and not end.complete
    assert 1 <= end.patches_read < end.patches_total
    record = json.loads(Path(end.record).read_text(encoding="utf-8"))
    assert record["complete"] is False and record["patches"]["read"] == end.patches_read
    assert np.load(end.labels).shape == (40, 36, 44)


def test_cancel_before_the_coarse_pass_says_so_and_leaves_nothing(worker, request_for, tmp_path):
    (tmp_path / "cancel").touch()
    request = request_for(cancel_file=str(tmp_path / "cancel"))
    events = worker.ask(request)
    assert isinstance(events[-1], Failed) and events[-1].cancelled
    assert not list(Path(request.output_dir).glob("*"))


def test_a_heartbeat_comes_through_a_run(worker, request_for, tmp_path):
    cancel = tmp_path / "cancel"
    worker.send(request_for("slow", cancel_file=str(cancel)))
    begin = time.monotonic()
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


@pytest.mark.parametrize("how", ["shutdown", "end of input"])
def test_a_worker_ends_when_told_or_when_nobody_can_ask_any_more(how):
    with WorkerClient() as worker:
        worker.until(Ready)
        if how == "shutdown":
            worker.send(Shutdown())
        else:
            worker.process.stdin.close()
        assert worker.process.wait(PATIENCE_SECONDS) == 0


def test_a_killed_worker_leaves_no_process_and_nothing_outside_its_folder(request_for, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    names = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    with WorkerClient(environment=names) as worker:
        worker.send(request_for("slow"))
        pid = next(event for event in worker.until(Started) if isinstance(event, Started)).pid
        worker.until(Partial)
        worker.process.kill()
        worker.rest()
        worker.process.wait()
        assert not is_running(pid)
    assert not list(temporary.iterdir())


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


PARENT = """
import os, subprocess, sys, time
from EfficientSegLib.environment import worker_environment
worker = subprocess.Popen([sys.executable, "-m", "EfficientSegLib.worker"], stdin=subprocess.PIPE,
                          stdout=open(sys.argv[2], "wb"), env=worker_environment(os.environ))
line = open(sys.argv[1], encoding="utf-8").read().replace("12345678", str(os.getpid()))
worker.stdin.write(line.encode() + b"\\n"); worker.stdin.flush()
print(worker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("bundle, moment", [("slow", "Partial"), ("bündle", "Finished")])
def test_without_its_parent_the_worker_ends_and_clears_up(request_for, tmp_path, bundle, moment):
    request = request_for(bundle, parent_pid=12345678, temporary=True)
    (tmp_path / "line").write_text(protocol.encode_request(request), encoding="utf-8")
    command = [sys.executable, "-c", PARENT, str(tmp_path / "line"), str(tmp_path / "said")]
    environment = worker_environment({**os.environ, "OMP_NUM_THREADS": "1"})
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        pid = int(parent.stdout.readline())
        said = tmp_path / "said"
        assert wait_until(lambda: said.exists() and f'"{moment}"' in said.read_text(errors="replace"))
        assert Path(request.output_dir).is_dir()
        parent.kill()
    assert wait_until(lambda: not is_running(pid), 10)
    assert not Path(request.output_dir).exists()


@posix_only
def test_sigterm_ends_a_run_at_once_and_clears_up(request_for):
    request = request_for("slow", temporary=True)
    with WorkerClient() as worker:
        worker.send(request)
        worker.until(Partial)
        began = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
        assert time.monotonic() - began < 5
    assert not Path(request.output_dir).exists()
