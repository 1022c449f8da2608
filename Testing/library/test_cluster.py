"""Many studies on two worker processes, one of them killed: every case ends, and none twice."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct

from EfficientSegLib import __version__, one_case
from EfficientSegLib import cluster as cluster_module
from EfficientSegLib.__main__ import main
from EfficientSegLib.environment import ROOT, worker_environment
from EfficientSegLib.errors import DeviceError
from EfficientSegLib.one_case import Task
from EfficientSegLib.protocol import Request
from EfficientSegLib.studies.case import Case, waiting

pytest.importorskip("distributed", reason="Scaling out needs the optional package distributed.")

from EfficientSegLib import cluster_worker  # imports that package

CASES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster Ωé")
    write_tiny_ct(folder / "one.nii.gz", shape=(72, 72, 72))
    for number in range(CASES):
        (folder / "in" / f"patient {number}").mkdir(parents=True)
        shutil.copyfile(folder / "one.nii.gz", folder / "in" / f"patient {number}" / "ct.nii.gz")
    write_tiny_bundle(folder / "tiny", overlap=0.8, top_k=60)  # some seconds each: time to be killed in
    return folder


@contextmanager
def processes():
    """Starts parts of a cluster; all end with the block."""
    begun = []

    def start(*command, cwd):
        environment = {**worker_environment(os.environ), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=cwd, env=environment)
        begun.append(process)
        return process

    try:
        yield start
    finally:
        for process in begun:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler, and a function that starts a worker."""
    with processes() as start:
        told = tmp_path / "scheduler.json"
        common = ("--no-dashboard", "--host", "127.0.0.1")
        start("dask", "scheduler", "--port", "0", "--scheduler-file", str(told), *common, cwd=tmp_path)
        end = time.monotonic() + 60
        while not told.exists() and time.monotonic() < end:
            time.sleep(0.05)
        address = json.loads(told.read_text())["address"]
        options = ("--nthreads", "1", "--no-nanny", *common, "--local-directory", str(tmp_path))
        yield address, lambda: start("dask", "worker", address, *options, cwd=tmp_path)


def rows(output):
    with open(output / "results.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def batch(folder, output, address, *more):
    command = [sys.executable, "-m", "EfficientSegLib", "batch", str(folder / "in"), "--bundle", str(folder / "tiny")]
    environment = {**worker_environment(os.environ), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "-o", str(output), "--scheduler", address, *more], cwd=ROOT, env=environment)


def victim(output, workers, client):
    """A worker in the middle of a case, stopped where it is: its process's number."""
    end = time.monotonic() + 120
    while time.monotonic() < end and client.poll() is None:
        for scratch in (output / one_case.SCRATCH).glob("*/*-*"):
            pid = int(scratch.name.rpartition("-")[2])
            if pid in {worker.pid for worker in workers} and list(scratch.glob("partial_*")):
                os.kill(pid, signal.SIGSTOP)
                if scratch.exists():
                    return pid
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("No case was caught in the middle.")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP and SIGKILL")
def test_a_killed_worker_costs_nothing_but_time(folder, tmp_path, cluster):
    address, start_worker = cluster
    workers = [start_worker(), start_worker()]
    output = tmp_path / "out"
    client = batch(folder, output, address, "--threads", "1")
    os.kill(victim(output, workers, client), signal.SIGKILL)
    assert client.wait(timeout=240) == 0
    table = rows(output)
    assert [row["case"] for row in table] == [f"patient {number}/ct" for number in range(CASES)]
    assert {row["state"] for row in table} == {"done"}
    assert len({row["Ball (ml)"] for row in table}) == 1  # the one that was begun again is like the others
    assert len(list(output.rglob("*.seg.nrrd"))) == CASES
    lines = [json.loads(line) for line in (output / "queue.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    ended = [line["case"] for line in lines if line["state"] == "done"]
    assert sorted(ended) == sorted(set(ended)) and len(ended) == CASES
    assert sorted(line["deaths"] for line in lines if line["state"] == "done") == [0] * (CASES - 1) + [1]
    assert not (output / one_case.SCRATCH).exists()


class PlayedFuture:
    """What a worker answers: an entry, an error, or nothing because it has died."""

    def __init__(self, answer):
        self._answer = answer

    def done(self):
        return self._answer is not None

    def cancelled(self):
        return False

    def cancel(self):
        self._answer = None

    def result(self, timeout):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class PlayedClient:
    """Dask's client with workers that die at some cases, `reasons` by worker that cannot take part."""

    def __init__(self, workers, deadly=(), reasons=None):
        self.workers, self.deadly, self.reasons, self.sent = list(workers), deadly, reasons or {}, []

    def nthreads(self):
        return {worker: 1 for worker in self.workers}

    def register_plugin(self, plugin):
        assert plugin.name == "efficientseg"

    def run(self, function, *asked, workers):
        return {worker: self.reasons.get(worker, "") for worker in workers}

    def submit(self, function, task, stop_file, neighbours, *, workers, **options):
        self.sent.append((task.case.name, workers[0], neighbours))
        if task.case.name in self.deadly:
            self.workers.remove(workers[0])
            self.workers.append(f"{workers[0]}0")  # a nanny starts another one
            return PlayedFuture(None)
        return PlayedFuture(replace(waiting(task.case), state="done"))

    def close(self):
        pass


@pytest.fixture
def played(monkeypatch):
    def make(*given, patience=0.0, **more):
        client = PlayedClient(*given, **more)
        monkeypatch.setattr(cluster_module, "_connect", lambda address: client)
        monkeypatch.setattr(cluster_module, "_wait", lambda flights: None)
        said = []
        return cluster_module.Cluster("tcp://played:1", said.append, patience), client, said

    return make


def tasks(*names):
    request = Request("", "", "/bundle")
    return [Task(Case(name, f"/in/{name}"), request, "/out", ".seg.nrrd", {}, f"/out/s/{name}") for name in names]


def ends(entries):
    return {entry.case: (entry.state, entry.deaths) for entry in entries if entry.state != "running"}


def test_a_case_that_kills_two_workers_fails_in_words_and_the_others_are_done(played):
    cluster, client, said = played(["tcp://a:1", "tcp://b:1"], deadly=["bad"])
    entries = list(cluster.do_all(tasks("bad", "good", "better"), lambda: False))
    assert ends(entries) == {"bad": ("failed", 2), "good": ("done", 0), "better": ("done", 0)}
    assert [name for name, _, _ in client.sent].count("bad") == 2
    assert "died, twice" in next(entry.what for entry in entries if entry.case == "bad" and entry.state == "failed")
    assert any("begun again" in text for text in said)


def test_a_worker_that_cannot_take_part_is_named_and_gets_nothing(played):
    cluster, client, said = played(["tcp://a:1", "tcp://b:1"], reasons={"tcp://a:1": "a does not see /out."})
    assert len(ends(cluster.do_all(tasks("x", "y"), lambda: False))) == 2
    assert {worker for _, worker, _ in client.sent} == {"tcp://b:1"} and said == [
        "a does not see /out. It is left out."
    ]


def test_without_a_worker_that_can_take_part_it_ends_in_words(played):
    cluster, _, _ = played(["tcp://a:1"], reasons={"tcp://a:1": "a does not see /out."})
    with pytest.raises(DeviceError, match="No worker") as error:
        list(cluster.do_all(tasks("x"), lambda: False))
    assert "does not see" in error.value.why and "dask worker tcp://played:1" in error.value.mend


def test_asked_to_stop_nothing_more_is_begun(played, tmp_path):
    cluster, client, _ = played(["tcp://a:1"])
    given = [replace(task, scratch=str(tmp_path / task.case.name)) for task in tasks("x", "y")]
    assert list(cluster.do_all(given, lambda: True)) == [] and client.sent == []
    assert (tmp_path / "stop").exists()  # those under way look for it


def test_workers_of_one_machine_share_its_cores(played):
    cluster, client, _ = played(["tcp://a:1", "tcp://a:2", "tcp://b:1"])
    list(cluster.do_all(tasks("x", "y", "z"), lambda: False))
    assert {worker: neighbours for _, worker, neighbours in client.sent} == {
        "tcp://a:1": 2,
        "tcp://a:2": 2,
        "tcp://b:1": 1,
    }


def test_a_worker_looks_for_the_folders_and_the_version(tmp_path):
    (tmp_path / "bundle").mkdir()
    given = (str(tmp_path), str(tmp_path / "bundle"))
    assert cluster_worker.trouble(__version__, *given) == ""
    assert "was begun with 0.0" in cluster_worker.trouble("0.0", *given)
    assert "does not see" in cluster_worker.trouble(__version__, str(tmp_path), str(tmp_path / "nowhere"))


def test_a_scheduler_that_is_not_there_is_told(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    given = ["batch", str(folder / "in"), "--bundle", str(folder / "tiny"), "-o", str(tmp_path / "out")]
    assert main([*given, "--scheduler", "tcp://127.0.0.1:9"]) == 1
    assert "No scheduler answers at tcp://127.0.0.1:9." in capsys.readouterr().err


def test_without_the_package_the_cure_is_told(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    given = ["batch", str(folder / "in"), "--bundle", str(folder / "tiny"), "-o", str(tmp_path / "out")]
    assert main([*given, "--scheduler", "tcp://127.0.0.1:9"]) == 1
    assert "pip install distributed" in capsys.readouterr().err and not (tmp_path / "out").exists()
