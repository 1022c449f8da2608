"""Large blocks stay with the process: glibc is told so once, users' settings stand, and elsewhere nothing happens."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from EfficientSegLib.environment import GLIBC, ROOT
from EfficientSegLib.heap import _mallopt, keep_large_blocks

needs_glibc = pytest.mark.skipif(_mallopt() is None, reason="needs glibc")
PLAIN = {name: value for name, value in os.environ.items() if name not in GLIBC} | {"PYTHONPATH": str(ROOT)}
# The first touch of each page of fresh memory is a fault: 16384 for 64 MB in pages of 4 kB.
FAULTS = """
import resource
from EfficientSegLib.heap import keep_large_blocks
{call}
import numpy
counts = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [numpy.ones(2**23) for _ in range(2)]
    del blocks
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(max(counts[1:]))
"""


class Recorder:
    def __init__(self):
        self.told = {}

    def __call__(self, parameter: int, value: int) -> int:
        assert -(2**31) <= value < 2**31  # it is an int of C
        self.told[parameter] = value
        return 1


def test_glibc_is_told_what_workers_are_started_with():
    recorder, environment = Recorder(), {"HOME": "/home/ö"}
    assert keep_large_blocks(environment, recorder)
    assert recorder.told == {-4: 0, -1: -1, -2: int(GLIBC["MALLOC_TOP_PAD_"])}
    assert environment == {"HOME": "/home/ö", **GLIBC}
    assert not keep_large_blocks(environment, recorder)  # a process that was started with all of it


def test_the_users_own_settings_stand():
    recorder, environment = Recorder(), {"MALLOC_MMAP_MAX_": "65536", "MALLOC_TOP_PAD_": "1"}
    assert keep_large_blocks(environment, recorder)
    assert recorder.told == {-1: -1}
    assert environment["MALLOC_MMAP_MAX_"] == "65536"
    tuned, recorder = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=7"}, Recorder()
    assert not keep_large_blocks(tuned, recorder)
    assert not recorder.told and list(tuned) == ["GLIBC_TUNABLES"]


@pytest.mark.parametrize("version", ["musl 1.2", None])
def test_with_another_c_library_nothing_happens(version, monkeypatch):
    monkeypatch.setattr(os, "confstr", lambda name: version, raising=False)
    environment = {}
    assert not keep_large_blocks(environment) and not environment


def test_on_a_system_without_such_a_question_nothing_happens(monkeypatch):
    monkeypatch.delattr(os, "confstr", raising=False)
    environment = {}
    assert not keep_large_blocks(environment) and not environment


@needs_glibc
def test_large_blocks_are_touched_for_the_first_time_once_only():
    faults = [
        int(subprocess.run([sys.executable, "-c", FAULTS.format(call=call)], env=PLAIN, capture_output=True).stdout)
        for call in ("", "assert keep_large_blocks()")
    ]
    assert faults[1] < 200 and faults[0] > 50 * max(faults[1], 1)


@needs_glibc
def test_train_does_it_itself_and_only_in_a_process_of_its_own(tmp_path):
    code = f"""
import os, sys
{{before}}
from EfficientSegLib.__main__ import main
code = main(["train", {str(Path(tmp_path) / "absent.json")!r}, "--data", ".", "--output", {str(tmp_path)!r}])
print(code, os.environ.get("MALLOC_MMAP_MAX_"))
"""
    said = [
        subprocess.run([sys.executable, "-c", code.format(before=before)], env=PLAIN, capture_output=True).stdout
        for before in ("", "import torch")
    ]
    assert said[0].split() == [b"1", b"0"]
    assert said[1].split()[-1:] == [b"None"]
