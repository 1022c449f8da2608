"""Seconds per patch on each device: measured, in the order of speed, and with words for one that does not work."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
from tiny_bundle import write_tiny_bundle

from EfficientSegLib import device_speed, devices
from EfficientSegLib.__main__ import main
from EfficientSegLib.device_speed import measure
from EfficientSegLib.environment import ROOT, worker_environment
from EfficientSegLib.errors import BundleError, DeviceError
from EfficientSegLib.failures import Stopped
from EfficientSegLib.protocol import DeviceSpeed, Finished, Measure, Measured, Shutdown, decode, encode_request


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "tiny")


def test_the_processor_is_measured_and_named(bundle):
    (found,) = [speed for speed in measure(bundle, threads=1) if speed.device == "cpu"]
    assert 0 < found.seconds < 10 and math.isfinite(found.seconds)
    assert (found.unit, found.trouble) == ("patch", "") and found.title


def test_the_median_leaves_the_first_reading_and_outliers_out(monkeypatch):
    taken = iter([100.0, 0.5, 0.1, 0.5])  # seconds; the first warms up
    now = [0.0]
    monkeypatch.setattr(device_speed.time, "perf_counter", lambda: now[0])

    def read():
        now[0] += next(taken)

    assert device_speed._median(read, "cpu", lambda: False) == pytest.approx(0.5)


def test_asked_to_stop_no_further_patch_is_read(bundle):
    with pytest.raises(Stopped):
        measure(bundle, 1, lambda: True)


def test_a_device_that_fails_comes_last_with_its_reason(bundle, monkeypatch):
    broken = DeviceError("The device 'cuda' is there, and fails.", why="The driver is old.", mend="Update it.")
    monkeypatch.setattr(devices, "there", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(devices, "title", lambda device: device.upper())
    monkeypatch.setattr(devices, "trouble", lambda device: broken)
    first, last = measure(bundle, 1)
    assert (first.device, last.device, last.seconds) == ("cpu", "cuda", None)
    assert last.trouble == str(broken)


def test_too_little_memory_on_a_device_is_told_and_the_others_are_measured(bundle, monkeypatch):
    from EfficientSegLib import segment

    load = segment.load_model

    def loading(bundle, device, precision):
        if device == "cuda":
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return load(bundle, device, precision)

    monkeypatch.setattr(devices, "there", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(devices, "title", lambda device: device)
    monkeypatch.setattr(devices, "trouble", lambda device: None)
    monkeypatch.setattr(devices, "why_no_bfloat16", lambda device: "no")
    monkeypatch.setattr(segment, "load_model", loading)
    trouble = measure(bundle, 1)[1].trouble
    assert "The memory of the device cuda (cuda) did not suffice, 20 GiB more were wanted" in trouble


def test_a_broken_bundle_is_no_devices_fault(bundle):
    (bundle.weights_path).write_bytes(b"cut off")
    with pytest.raises(BundleError):
        measure(bundle, 1)


def test_the_command_tells_each_device_and_the_exit_code_trouble(bundle, capsys, monkeypatch):
    assert main(["devices", "--measure", "--bundle", bundle.folder, "--threads", "1", "--json"]) in (0, 1)
    said = [DeviceSpeed(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert "cpu" in [speed.device for speed in said]
    monkeypatch.setattr(devices, "there", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(devices, "title", lambda device: f"A {device}")
    monkeypatch.setattr(devices, "trouble", lambda device: DeviceError("It fails.", why="Driver.", mend="Update."))
    assert main(["devices"]) == 1
    assert capsys.readouterr().out.splitlines() == ["cpu   A cpu: works", "cuda  A cuda: It fails. Driver. Update."]


def test_a_warm_worker_measures_on_request_and_goes_on(bundle):
    lines = [
        encode_request(Measure(bundle.folder, threads=1)),
        encode_request(Measure("nowhere")),
        encode_request(Shutdown()),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "EfficientSegLib.worker"],
        input="\n".join(lines) + "\n",
        cwd=ROOT,
        env=worker_environment(os.environ),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    events = [event for event in map(decode, done.stdout.splitlines()) if event is not None]
    measured = next(event for event in events if isinstance(event, Measured))
    assert measured.devices[0].seconds > 0
    end = next(event for event in events if isinstance(event, Finished))
    assert (end.labels, end.complete) == ("", True)
    assert type(events[-1]).__name__ == "Failed" and "nowhere" in events[-1].what
    assert done.returncode == 0


def test_speeds_travel_whole():
    from EfficientSegLib.protocol import encode

    sent = Measured((DeviceSpeed("cpu", "Ä", 0.5, "slice", "bf16"), DeviceSpeed("cuda", "B", trouble="old")))
    assert decode(encode(sent)) == sent and asdict(sent)["devices"][0]["seconds"] == 0.5
