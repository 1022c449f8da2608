"""`python -m EfficientSegLib batch`: a tree in, a mirrored tree and a table out; failures, stops and resumes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct

from EfficientSegLib import kept, one_case
from EfficientSegLib.__main__ import main
from EfficientSegLib.environment import ROOT, worker_environment
from EfficientSegLib.studies import books
from EfficientSegLib.studies.case import Entry
from EfficientSegLib.studies.queue_file import QueueFile
from EfficientSegLib.volume import read


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "ct.nii.gz")
    write_tiny_bundle(folder / "tiny", top_k=1)
    return folder


@pytest.fixture
def tree(source, tmp_path):
    """Two scans of one name in two folders, and a broken one between them."""
    for name in ("a ä/ct.nii.gz", "b/ct.nii.gz"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        shutil.copyfile(source / "ct.nii.gz", tmp_path / "in" / name)
    (tmp_path / "in" / "a ä" / "late.nrrd").write_bytes(b"NRRD0004\ntype: nonsense\n")
    return tmp_path / "in"


@pytest.fixture
def batch(source, tree, tmp_path):
    """Runs `batch` on the tree; the exit code."""
    given = [str(tree), "--bundle", str(source / "tiny"), "-o", str(tmp_path / "out"), "--threads", "1"]
    return lambda *more: main(["batch", *given, "--device", "cpu", *more])


def table(folder):
    with open(folder / "results.csv", encoding="utf-8", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def states(folder):
    return {case: row["state"] for case, row in table(folder).items()}


def test_one_failure_does_not_stop_the_rest_and_shows_in_table_and_exit_code(batch, tree, tmp_path, capsys):
    assert batch() == 1
    assert states(tmp_path / "out") == {"a ä/ct": "done", "a ä/late": "failed", "b/ct": "done"}
    rows = table(tmp_path / "out")
    assert "late.nrrd cannot be read" in rows["a ä/late"]["error"] and float(rows["b/ct"]["Ball (ml)"]) > 0
    assert "3 cases: 2 done, 1 failed." in capsys.readouterr().out
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    results = [f"{case}.{ending}" for case in ("a ä/ct", "b/ct") for ending in ("run.json", "seg.nrrd")]
    assert made == sorted([*results, "queue.jsonl", "results.csv", "results.md"])
    labels, scan = read(tmp_path / "out" / "b" / "ct.seg.nrrd"), read(tree / "b" / "ct.nii.gz")
    np.testing.assert_allclose(
        np.linalg.norm(labels.affine[:3, :3], axis=0), np.linalg.norm(scan.affine[:3, :3], axis=0), atol=1e-4
    )
    record = json.loads((tmp_path / "out" / "b" / "ct.run.json").read_text(encoding="utf-8"))
    assert record["input"]["path"] == str(tree / "b" / "ct.nii.gz") and record["complete"]


def test_the_second_time_only_what_is_not_done_is_run(batch, tree, tmp_path, source, capsys):
    batch()
    before = (tmp_path / "out" / "b" / "ct.seg.nrrd").stat().st_mtime_ns
    shutil.copyfile(source / "ct.nii.gz", tree / "a ä" / "late.nii.gz")
    (tree / "a ä" / "late.nrrd").unlink()
    capsys.readouterr()
    assert batch() == 0
    said = capsys.readouterr().err
    assert "1 of 1: a ä/late" in said and "b/ct" not in said
    assert states(tmp_path / "out") == dict.fromkeys(("a ä/ct", "a ä/late", "b/ct"), "done")
    assert (tmp_path / "out" / "b" / "ct.seg.nrrd").stat().st_mtime_ns == before


def test_other_options_and_again_run_everything_anew(batch, tree, tmp_path, capsys):
    (tree / "a ä" / "late.nrrd").unlink()
    batch()
    capsys.readouterr()
    assert batch("--patches", "2") == 0
    assert "2 of 2" in capsys.readouterr().err
    assert batch("--patches", "2", "--again") == 0
    assert "2 of 2" in capsys.readouterr().err
    record = json.loads((tmp_path / "out" / "b" / "ct.run.json").read_text(encoding="utf-8"))
    assert record["patches"]["read"] == 2


def test_label_maps_can_be_had_instead(batch, tree, tmp_path):
    batch("--format", "nii.gz")
    labels = read(tmp_path / "out" / "b" / "ct.seg.nii.gz")
    assert labels.shape == read(tree / "b" / "ct.nii.gz").shape and set(np.unique(labels.array)) <= {0, 1, 2}
    assert not list((tmp_path / "out").rglob("*.seg.nrrd"))


def test_a_list_runs_and_writes_nothing(batch, tmp_path, capsys):
    assert batch("--list", "--exclude", "b/*") == 0
    said = capsys.readouterr().out
    assert "waiting  a ä/ct  <-" in said and "left out b/ct: not asked for" in said
    assert not (tmp_path / "out").exists()
    assert batch("--list", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == ["a ä/ct", "a ä/late", "b/ct"]


def test_limits_choose_what_is_run(batch, tmp_path):
    assert batch("--include", "*ct.nii.gz", "--limit", "1") == 0
    assert states(tmp_path / "out") == {"a ä/ct": "done", "b/ct": "waiting"}


def test_the_model_is_loaded_once(batch, tmp_path, monkeypatch):
    loaded = []
    get = kept.ModelKeeper.get

    def counting(self, *given):
        loaded.append(get(self, *given))
        return loaded[-1]

    monkeypatch.setattr(kept.ModelKeeper, "get", counting)
    batch()
    assert len(loaded) >= 3 and len({id(model) for model in loaded}) == 1


def test_an_output_inside_the_tree_is_not_eaten(batch, tree, tmp_path):
    (tree / "a ä" / "late.nrrd").unlink()
    inside = ("-o", str(tree / "results"), "--format", "nii.gz")
    assert batch(*inside) == 0 and batch(*inside) == 0
    beside = ("-o", str(tree))
    assert batch(*beside) == 0 and batch(*beside) == 0
    assert set(states(tree / "results")) == set(states(tree)) == {"a ä/ct", "b/ct"}


def test_a_segmentation_drawn_by_hand_beside_the_scan_stays(batch, tree, tmp_path):
    (tree / "b" / "ct.seg.nrrd").write_bytes(b"hours of work")
    assert batch("-o", str(tree)) == 1
    assert (tree / "b" / "ct.seg.nrrd").read_bytes() == b"hours of work"
    assert "was not made by this queue" in table(tree)["b/ct"]["error"]


@pytest.mark.parametrize(
    "more, words",
    [
        (("--bundle", "nowhere"), "nowhere is not a bundle"),
        (("--limit", "0"), "--limit is 0."),
        (("--threads", "0"), "threads is 0."),
        (("--device", "mps"), "MPS was asked for"),
        (("--include", "nothing like it"), "holds no image that fits"),
    ],
)
def test_what_would_fail_every_case_ends_before_the_first(batch, tmp_path, capsys, more, words):
    assert batch(*more) == 1
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("out/**/*.seg.nrrd"))


def test_a_full_disk_is_told_and_the_queue_stays_readable(batch, tmp_path, monkeypatch, capsys):
    put = QueueFile.put

    def full(self, entry):
        if entry.case == "b/ct":
            monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        put(self, entry)

    monkeypatch.setattr(QueueFile, "put", full)
    assert batch() == 1
    assert "the disk is full" in capsys.readouterr().err
    assert QueueFile(tmp_path / "out").read()["a ä/ct"].state == "done"


def loses(folder, monkeypatch):
    """Let a folder go once the first case is done."""
    put = QueueFile.put

    def lost(self, entry):
        put(self, entry)
        if entry.case == "a ä/ct" and entry.state == "done":
            shutil.rmtree(folder)

    monkeypatch.setattr(QueueFile, "put", lost)


def test_an_output_folder_that_goes_ends_the_queue_in_words(batch, tmp_path, monkeypatch, capsys):
    loses(tmp_path / "out", monkeypatch)
    assert batch() == 1
    said = capsys.readouterr().err
    assert "queue.jsonl could not be written" in said and f"Check the folder {tmp_path / 'out'}" in said
    monkeypatch.undo()
    batch()
    assert states(tmp_path / "out") == {"a ä/ct": "done", "a ä/late": "failed", "b/ct": "done"}


def test_a_bundle_that_goes_fails_what_follows_and_a_resumed_queue_does_that_alone(
    batch, source, tree, tmp_path, monkeypatch, capsys
):
    (tree / "a ä" / "late.nrrd").unlink()
    shutil.copytree(source / "tiny", tmp_path / "tiny")
    loses(tmp_path / "tiny", monkeypatch)
    assert batch("--bundle", str(tmp_path / "tiny")) == 1
    assert states(tmp_path / "out") == {"a ä/ct": "done", "b/ct": "failed"}
    assert "tiny is not a bundle" in capsys.readouterr().err
    monkeypatch.undo()
    shutil.copytree(source / "tiny", tmp_path / "tiny")
    assert batch("--bundle", str(tmp_path / "tiny")) == 0
    assert states(tmp_path / "out") == {"a ä/ct": "done", "b/ct": "done"}
    assert "a ä/ct" not in capsys.readouterr().err


def test_a_read_only_output_is_told_at_once(batch, tree, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert batch("-o", str(tmp_path / "file" / "out")) == 1
    assert "could not be written" in capsys.readouterr().err


def test_a_case_that_ended_a_process_comes_last(batch, tree, tmp_path, capsys):
    (tree / "a ä" / "late.nrrd").unlink()
    QueueFile(tmp_path / "out").write([Entry("a ä/ct", str(tree / "a ä" / "ct.nii.gz"), "running")])
    assert batch() == 0
    begun = [line for line in capsys.readouterr().err.splitlines() if " of 2: " in line]
    assert begun == ["1 of 2: b/ct", "2 of 2: a ä/ct"]
    assert QueueFile(tmp_path / "out").read()["a ä/ct"].deaths == 1


def test_a_table_that_is_open_elsewhere_does_not_end_the_queue(batch, tree, tmp_path, monkeypatch):
    from EfficientSegLib.errors import VolumeError

    (tree / "a ä" / "late.nrrd").unlink()
    write, calls = books.results.write, []

    def closed_at_first(*given):
        calls.append(given)
        if len(calls) < 3:
            raise VolumeError("results.csv could not be written.", why="It is open elsewhere.", mend="Close it.")
        return write(*given)

    monkeypatch.setattr(books, "TABLE_SECONDS", 0.0)
    monkeypatch.setattr(books.results, "write", closed_at_first)
    assert batch() == 0 and set(states(tmp_path / "out").values()) == {"done"}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT and SIGKILL")
@pytest.mark.parametrize("sign, code", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_or_killed_in_the_middle_and_resumed(source, tree, tmp_path, sign, code):
    write_tiny_bundle(tmp_path / "slow", overlap=0.8, top_k=None)
    write_tiny_ct(tree / "b" / "ct.nii.gz", shape=(64, 64, 64))
    (tree / "a ä" / "late.nrrd").unlink()
    output = tmp_path / "out"
    command = [sys.executable, "-m", "EfficientSegLib", "batch", str(tree), "--bundle", str(tmp_path / "slow")]
    command += ["-o", str(output), "--threads", "1", "--device", "cpu", "--include", "b/*"]
    process = subprocess.Popen(command, cwd=ROOT, env=worker_environment(os.environ), stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not list((output / one_case.SCRATCH).glob("*/*/partial_0001*")) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(sign)
    assert process.wait(timeout=60) == code
    if sign == signal.SIGINT:
        assert states(output) == {"b/ct": "stopped"}  # what was done is kept
        record = json.loads((output / "b" / "ct.run.json").read_text(encoding="utf-8"))
        assert not record["complete"] and record["patches"]["read"] > 0
        assert (output / "b" / "ct.seg.nrrd").is_file()
    else:
        assert QueueFile(output).read()["b/ct"].state == "running"
    assert main(["batch", str(tree), "--bundle", str(source / "tiny"), "-o", str(output), "--threads", "1"]) == 0
    assert states(output) == {"a ä/ct": "done", "b/ct": "done"}
    assert not (output / one_case.SCRATCH).exists() and not (output / "queue.lock").exists()


def test_an_entry_that_waits_again_after_a_stop_has_no_error():
    from EfficientSegLib.failures import Stopped, explain

    assert Entry("a", "/a").failed(explain(Stopped())) == replace(Entry("a", "/a"), state="waiting")
