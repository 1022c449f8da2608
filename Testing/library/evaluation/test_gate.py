"""The accuracy gate: agreement as counted by hand, and written only by measuring."""

import json

import numpy as np
import pytest
import torch
from slice_bundle import write_slice_bundle
from tiny_bundle import write_tiny_bundle, write_tiny_ct

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices
from EfficientSegLib.__main__ import main
from EfficientSegLib.errors import DeviceError
from EfficientSegLib.evaluation import gate
from EfficientSegLib.segment import load_model, segment

needs_bf16 = pytest.mark.skipif(
    devices.why_no_bfloat16("cpu") is not None, reason="this processor calculates bfloat16 by imitation only"
)


def test_agreement_and_dice_are_those_counted_by_hand():
    one, other = np.zeros((10, 10, 10), int), np.zeros((10, 10, 10), int)
    one[:2], other[1:3] = 1, 1  # 200 voxels each, 100 in common
    one[9, 9, 9] = 5  # in one map only
    assert gate.compare(one, other) == (0.799, {1: 0.5, 5: 0.0})
    assert gate.compare(one, one) == (1.0, {1: 1.0, 5: 1.0})


@needs_bf16
def test_the_command_measures_and_writes_what_the_two_precisions_give(tmp_path, capsys):
    written = write_tiny_bundle(tmp_path / "tiny")
    volume = write_tiny_ct(tmp_path / "ct.nrrd")
    code = main(["bundles", "--gate", written.folder, "--on", str(tmp_path / "ct.nrrd")])
    said = capsys.readouterr().out
    bundle = bundles.load(written.folder)
    found = bundle.gate()
    maps = [segment(volume, bundle, load_model(bundle, "cpu", precision)).labels for precision in ("fp32", "bf16")]
    assert found.agreement == pytest.approx((maps[0] == maps[1]).mean(), abs=1e-6)
    assert (found.on, found.weights_sha256) == (("ct.nrrd",), written.weights.sha256)
    assert (code == 0) == found.passed == ("Passed" in said)


@needs_bf16
def test_a_run_in_bfloat16_repeats_itself_and_says_so(tmp_path):
    written = write_tiny_bundle(tmp_path / "tiny")
    write_tiny_ct(tmp_path / "ct.nrrd")
    content = json.loads((tmp_path / "tiny" / "bundle.json").read_text(encoding="utf-8"))
    content["reduced_precision"] = [
        {"precision": "bf16", "backend": "torch", "weights_sha256": written.weights.sha256, "agreement": 1.0}
        | {"lowest_dice": 1.0, "labels": [1], "on": ["x"]}
    ]
    (tmp_path / "tiny" / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    maps = []
    for name in ("one", "two"):
        given = ["segment", str(tmp_path / "ct.nrrd"), "--bundle", written.folder, "--threads", "1", "--device", "cpu"]
        assert main([*given, "-o", str(tmp_path / f"{name}.nrrd"), "--record", str(tmp_path / f"{name}.json")]) == 0
        assert json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))["precision"] == "bf16"
        maps.append((tmp_path / f"{name}.nrrd").read_bytes())
    assert maps[0] == maps[1]


def test_without_a_gate_the_run_is_in_float32_and_bfloat16_is_refused_with_the_cure(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices, "_cpu_flags", lambda: {"avx512_bf16"})
    monkeypatch.setattr(devices.platform, "machine", lambda: "AMD64")
    written = write_tiny_bundle(tmp_path / "tiny")
    write_tiny_ct(tmp_path / "ct.nrrd")
    given = ["segment", str(tmp_path / "ct.nrrd"), "--bundle", written.folder, "--threads", "1", "--device", "cpu"]
    given += ["-o", str(tmp_path / "out.nrrd")]
    assert main([*given, "--record", str(tmp_path / "run.json")]) == 0
    said = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert (said["precision"], said["backend"]) == ("fp32", "torch")
    capsys.readouterr()
    assert main([*given, "--precision", "bf16"]) == 1
    told = capsys.readouterr().err
    assert "is not known to bear it" in told and "bundles --gate" in told


def test_a_gate_cannot_be_measured_where_bfloat16_is_imitated_or_without_volumes(tmp_path, capsys, monkeypatch):
    written = write_tiny_bundle(tmp_path / "tiny")
    volume = write_tiny_ct(tmp_path / "ct.nrrd")
    monkeypatch.setattr(devices, "why_no_bfloat16", lambda device: "It is old.")
    with pytest.raises(DeviceError, match="cannot be measured here.*It is old"):
        gate.measure(written, {"ct": volume})
    assert main(["bundles", "--gate", written.folder]) == 1
    assert "--gate has no volume" in capsys.readouterr().err
    assert bundles.load(written.folder).reduced_precision == ()
    assert torch.is_grad_enabled()


@needs_bf16
def test_bundles_that_read_slices_are_measured_like_all_others(tmp_path, capsys):
    written = write_slice_bundle(tmp_path / "slices")
    volume = write_tiny_ct(tmp_path / "ct.nrrd")
    code = main(["bundles", "--gate", written.folder, "--on", str(tmp_path / "ct.nrrd")])
    bundle = bundles.load(written.folder)
    found = bundle.gate()
    maps = [segment(volume, bundle, load_model(bundle, "cpu", precision)).labels for precision in ("fp32", "bf16")]
    agreement, dice = gate.compare(*maps)
    assert (found.agreement, found.lowest_dice) == (round(agreement, 6), round(min(dice.values()), 6))
    assert dice and (code == 0) == found.passed == ("Passed" in capsys.readouterr().out)
