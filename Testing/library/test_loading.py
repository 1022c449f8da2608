"""A GPU without room, through job and worker: nothing is lost, it is said in words, and the record tells every device.

There is no GPU here: `small_gpu` plays one.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import small_gpu
import torch
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from torch import nn
from warm_worker import Warm, request_in

from EfficientSegLib import devices
from EfficientSegLib.environment import ROOT, worker_environment
from EfficientSegLib.errors import BundleError
from EfficientSegLib.gate import Gate
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.kept import ModelKeeper
from EfficientSegLib.networks.nmsw import NMSW
from EfficientSegLib.protocol import Failed, Finished, Partial, Progress, Request, Started, Warned, decode


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_tiny_ct(folder / "ct.nrrd")
    write_tiny_bundle(folder / "bundle")
    return folder


@pytest.fixture
def pretend(monkeypatch):
    """`small_gpu.pretend`, taken back behind the test; a second call replaces the first."""
    own = (devices, "choose", devices.choose), (NMSW, "local", NMSW.local), (nn.Module, "to", nn.Module.to)
    for place, name, value in own:
        monkeypatch.setattr(place, name, value)

    def again(*how, **more):
        for place, name, value in own:
            setattr(place, name, value)
        small_gpu.pretend(*how, **more)

    return again


class Recorded(Warm):
    """Asks for a number of patches of the one scan, and keeps the record."""

    def __init__(self, inputs, folder):
        super().__init__()
        self.inputs, self.folder = inputs, folder

    def read(self, top_k, device="auto", emit=lambda event: None, **fields):
        wanted = {"options": {"top_k": top_k}, "device": device, **fields}
        finished = self.ask(request_in(self.inputs, self.folder / "out", **wanted), emit=emit)
        self.record = json.loads(Path(finished.record).read_text(encoding="utf-8"))
        return finished, np.load(finished.labels)

    @property
    def devices(self):
        return [(event.device, event.precision) for event in self.of(Started)]


@pytest.fixture
def warm(inputs, tmp_path):
    return Recorded(inputs, tmp_path)


@pytest.fixture
def expected(inputs, tmp_path):
    """Labels of 8 patches on the CPU."""
    return Recorded(inputs, tmp_path / "cpu").read(8, "cpu")[1]


def test_memory_that_ends_at_a_patch_costs_that_pass_and_is_told(warm, pretend, expected):
    pretend(first_without_room=4)
    finished, labels = warm.read(8)
    assert np.array_equal(labels, expected)
    assert finished.complete and finished.patches_read == 8
    assert warm.devices == [("cuda", "fp32"), ("cpu", "fp32")]
    (said,) = [event.text for event in warm.of(Warned) if "memory" in event.text]
    assert "2.00 GiB more were wanted" in said and "processor" in said and said in warm.record["warnings"]
    assert warm.record["device"] == "cpu"
    assert warm.record["devices"] == [
        {"device": "cuda", "precision": "fp32", "after": 0},
        {"device": "cpu", "precision": "fp32", "after": 3},
    ]
    done = [event.done for event in warm.of(Progress) if event.stage == "patches"]
    assert done == list(range(9))  # no patch twice, none left out


def test_more_tries_the_device_again_and_reads_nothing_twice(warm, pretend, expected):
    pretend(first_without_room=3)
    first, _ = warm.read(4)
    pretend(first_without_room=None)  # another program has ended
    more, labels = warm.read(8, continue_from=first.run_id)
    assert np.array_equal(labels, expected) and warm.devices == [("cuda", "fp32")]
    assert not warm.of(Warned)
    done = [event.done for event in warm.of(Progress) if event.stage == "patches"]
    assert more.patches_read == 8 and done == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("fields", [{}, {"only_first": True}], ids=["more", "refine here"])
def test_memory_that_ends_during_more_keeps_what_was_read(warm, pretend, fields):
    pretend(first_without_room=6)
    first, _ = warm.read(4)
    place = {"first": (PatchBox((0, 0, 0), (20, 18, 20)),)} if fields else {}
    more, labels = warm.read(8, continue_from=first.run_id, **fields, **place)
    assert warm.devices == [("cuda", "fp32"), ("cpu", "fp32")]
    assert warm.record["devices"][1]["after"] == 5 and more.patches_read > 6 and more.complete
    alone = Recorded(warm.inputs, warm.folder / "cpu")
    start, _ = alone.read(4, "cpu")
    expected = alone.read(8, "cpu", continue_from=start.run_id, **fields, **place)[1]
    assert np.array_equal(labels, expected)


def test_without_room_for_the_model_the_run_is_done_on_the_cpu_and_the_next_one_tries_again(warm, pretend, expected):
    pretend(first_without_room=None, loads=False)
    _, labels = warm.read(8)
    assert np.array_equal(labels, expected)
    assert warm.devices == [("cuda", "fp32"), ("cpu", "fp32")]
    assert "a new one tries the device again" in warm.record["warnings"][-1]
    pretend(first_without_room=None)
    warm.read(8)
    assert warm.devices == [("cuda", "fp32")]


def test_what_a_run_without_room_for_its_model_has_read_is_gone_on_from_on_the_cpu(warm, pretend, expected):
    pretend(first_without_room=None, loads=False)
    first, _ = warm.read(4)
    pretend(first_without_room=None)
    for wanted in (6, 8):
        first, labels = warm.read(wanted, continue_from=first.run_id)
        assert warm.devices == [("cpu", "fp32")]
        assert [event.text for event in warm.of(Warned)] == [
            "The memory of another device did not suffice for the run that goes on; it goes on here."
        ]
    assert np.array_equal(labels, expected)


def test_a_bundle_that_went_before_it_was_needed_again_is_named(warm, pretend, inputs, tmp_path):
    warm.inputs = tmp_path
    write_tiny_ct(tmp_path / "ct.nrrd")
    weights = write_tiny_bundle(tmp_path / "bundle").weights_path
    pretend(first_without_room=2)
    with pytest.raises(BundleError, match=r"not there any more.*weights\.pt") as said:
        warm.read(4, emit=lambda event: weights.unlink(missing_ok=True) if isinstance(event, Partial) else None)
    assert said.value.mend and not any((tmp_path / "out").glob(".*"))


def test_a_worker_process_reads_on_and_ends_well(inputs, tmp_path):
    request = Request(str(inputs / "ct.nrrd"), str(tmp_path / "out"), str(inputs / "bundle"), options={"top_k": 6})
    (tmp_path / "request.json").write_text(json.dumps({**asdict(request), "threads": 1}), encoding="utf-8")
    code = (
        "import sys, small_gpu; small_gpu.pretend(4); from EfficientSegLib import worker; "
        f"sys.exit(worker.main(['--once', {str(tmp_path / 'request.json')!r}]))"
    )
    environment = worker_environment({**os.environ, "OMP_NUM_THREADS": "1"})
    paths = [str(ROOT / "Testing"), environment.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    events = [event for event in map(decode, done.stdout.splitlines()) if event is not None]
    assert done.returncode == 0, done.stderr
    assert [event.device for event in events if isinstance(event, Started)] == ["cuda", "cpu"]
    assert isinstance(events[-1], Finished) and events[-1].patches_read == 6
    assert not [event for event in events if isinstance(event, Failed)]
    assert any(isinstance(event, Partial) for event in events)


@pytest.mark.parametrize("has_bfloat16", [False, True])
def test_the_cpu_takes_bfloat16_over_only_where_it_calculates_with_it(pretend, tmp_path, has_bfloat16, monkeypatch):
    bundle = write_tiny_bundle(tmp_path / "bundle")
    passed = Gate("bf16", "torch", bundle.weights.sha256, agreement=1.0, lowest_dice=1.0, labels=(1, 2), on=("a",))
    bundle = replace(bundle, reduced_precision=(passed,))
    lacks = {"cuda": None, "cpu": None if has_bfloat16 else "It would only imitate it."}
    monkeypatch.setattr(devices, "why_no_bfloat16", lacks.get)
    pretend(None)
    model = ModelKeeper().get(bundle, "cuda", "bf16")
    wanted = torch.bfloat16 if has_bfloat16 else torch.float32
    types = {parameter.dtype for parameter in model.standby.model().local_network.parameters()}
    assert (model.standby.precision == "bf16") is has_bfloat16 and wanted in types
    assert has_bfloat16 or types == {torch.float32}
    with torch.inference_mode():
        logits = model.standby.model().local(torch.randn(1, 1, 16, 16, 16))
    assert logits.dtype == torch.float32 and bool(logits.isfinite().all())
    assert getattr(ModelKeeper().get(bundle, "cpu"), "standby", None) is None
