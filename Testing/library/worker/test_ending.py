"""The background process ends early, when told, with its parent, or killed, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from worker_client import PATIENCE_SECONDS, WorkerClient, wait_until

from EfficientSegLib import protocol
from EfficientSegLib.environment import is_running, worker_environment
from EfficientSegLib.protocol import Failed, Finished, Partial, Progress, Ready, Shutdown, Started


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
        try:
            pid = int(parent.stdout.readline())
            said = tmp_path / "said"
            assert wait_until(lambda: said.exists() and f'"{moment}"' in said.read_text(errors="replace"))
            assert Path(request.output_dir).is_dir()
        finally:
            parent.kill()  # it would sleep on, and be waited for
    assert wait_until(lambda: not is_running(pid), 10)
    assert not Path(request.output_dir).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
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
