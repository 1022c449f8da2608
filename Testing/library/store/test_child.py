"""The process that fetches for the application: one task in, lines out, an end when nobody listens any more."""

import json
import subprocess
import sys

import pytest

from EfficientSegLib.environment import ROOT, worker_environment
from EfficientSegLib.errors import ProtocolError
from EfficientSegLib.protocol import MARK, Failed
from EfficientSegLib.store import keeping
from EfficientSegLib.store.messages import Kept, Moving, Offered, Taken, Task, decode, decode_task, encode, encode_task


def run(task, tmp_path):
    """The events of one task."""
    import os

    process = subprocess.Popen(
        [sys.executable, "-m", "EfficientSegLib.store.child"],
        cwd=tmp_path,
        env=worker_environment(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write((task if isinstance(task, str) else encode_task(task)).encode() + b"\n")
    process.stdin.flush()
    lines = []
    for line in process.stdout:  # the input stays open until it has answered
        lines.append(line.decode())
    process.stdin.close()
    assert process.wait() == 0, process.stderr.read()
    return [decode(line) for line in lines]


def write_bundle(folder):
    """Like the shipped one, under another name."""
    import shutil

    shutil.copytree(keeping.SHIPPED / "self-test", folder)
    said = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    (folder / "bundle.json").write_text(json.dumps({**said, "name": "other"}))
    return folder


def test_it_installs_and_refuses_the_second_time(tmp_path):
    task = Task("install", str(write_bundle(tmp_path / "ä")), home=str(tmp_path / "home"))
    events = run(task, tmp_path)
    assert isinstance(events[0], Moving) and events[0].stage == "unpack"
    assert isinstance(events[-1], Kept) and (tmp_path / "home" / "other-1.0.0").as_posix() in events[-1].folder
    assert isinstance(run(task, tmp_path)[-1], Taken)
    assert isinstance(run(Task("install", task.source, True, task.home), tmp_path)[-1], Kept)


def test_failures_come_in_words(tmp_path):
    (failed,) = run(Task("look", "ftp://x/y"), tmp_path)
    assert isinstance(failed, Failed) and "no address" in failed.what and not failed.cancelled
    (failed,) = run("{}", tmp_path)
    assert isinstance(failed, Failed) and "cannot be understood" in failed.what


@pytest.mark.parametrize("event", [Moving("download", 1, 0), Offered("h", None), Kept("/f", "t"), Taken("x")])
def test_events_survive_the_way(event):
    assert decode(encode(event)) == event


def test_other_lines_are_no_events_and_other_tasks_no_tasks():
    assert decode("hello") is None and decode(MARK + "{") is None and decode(MARK + '{"event": "New"}') is None
    with pytest.raises(ProtocolError):
        decode_task('{"do": "format the disk", "source": ""}')
    assert decode_task(encode_task(Task("look", "ä"))) == Task("look", "ä")


def test_it_needs_no_torch():
    code = "import sys, EfficientSegLib.store.child; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
