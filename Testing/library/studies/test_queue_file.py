"""The queue on disk: the newest line of a case counts, a line cut off is passed over, a second process is refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from EfficientSegLib import files
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.studies.case import Case, Entry, waiting
from EfficientSegLib.studies.queue_file import LOCK, NAME, Lock, QueueFile

ENTRY = Entry("Jöhn/ct", "/in/Jöhn/ct.nii.gz", "done", 12.5, {"Liver": 1500.0}, ("odd",), machine="a")


def test_what_was_put_last_counts_and_order_stays(awkward_folder):
    queue = QueueFile(awkward_folder / "new")
    assert queue.read() == {}
    first, second = waiting(Case("a", "/in/a.nii")), waiting(Case("b", "/in/b.nii"))
    queue.write([first, second])
    queue.put(replace(first, state="running"))
    queue.put(ENTRY)
    assert queue.read() == {"a": replace(first, state="running"), "b": second, ENTRY.case: ENTRY}
    assert list(queue.read()) == ["a", "b", ENTRY.case]


def test_a_line_cut_off_in_the_middle_loses_itself_only(tmp_path):
    queue = QueueFile(tmp_path)
    queue.write([waiting(Case("a", "/in/a.nii"))])
    with open(queue.path, "ab") as file:
        file.write(b'{"case": "a", "state": "do')
    assert queue.read()["a"].state == "waiting"


def test_a_full_disk_is_said_and_leaves_whole_lines(tmp_path, monkeypatch):
    queue = QueueFile(tmp_path)
    queue.write([ENTRY])
    before = queue.path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VolumeError, match="the disk is full"):
        queue.put(replace(ENTRY, state="failed"))
    assert queue.path.read_bytes() == before


def test_somebody_elses_file_is_not_taken_for_a_queue(tmp_path):
    (tmp_path / NAME).write_text('{"an": "export"}\n')
    with pytest.raises(VolumeError, match="is no queue"):
        QueueFile(tmp_path).read()


def test_a_queue_is_one_processs_at_a_time(tmp_path):
    with Lock(tmp_path):
        with pytest.raises(VolumeError, match="Another queue is at work") as error, Lock(tmp_path):
            pass
        assert str(os.getpid()) in error.value.why
    assert not (tmp_path / LOCK).exists()


def test_the_lock_of_a_dead_process_is_taken_away(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import os, socket; print(os.getpid(), socket.gethostname())"],
        capture_output=True,
        text=True,
    )
    pid, machine = done.stdout.split()
    (tmp_path / LOCK).write_text(json.dumps({"pid": int(pid), "machine": machine, "since": "long ago"}))
    with Lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_another_machines_lock_is_respected(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps({"pid": 1, "machine": "elsewhere", "since": "10:00"}))
    with pytest.raises(VolumeError, match="Another queue") as error, Lock(tmp_path):
        pass
    assert "on elsewhere began at 10:00" in error.value.why and LOCK in error.value.mend


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="could not be written"), Lock(tmp_path / "file" / "out"):
        pass


def test_a_read_only_disk_is_told(tmp_path):
    error = files.explain(tmp_path / NAME, OSError(30, "Read-only file system"))
    assert "may not be written to" in error.what
