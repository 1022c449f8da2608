"""The device really used, or the words that say why not."""

import dataclasses

import pytest
import torch
from tiny_bundle import write_tiny_bundle

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices
from EfficientSegLib.errors import BundleError, DeviceError
from EfficientSegLib.gate import Gate


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def broken_cuda(no_gpu, monkeypatch):
    """A GPU that is reported and fails at its first work, as with a driver that does not match."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ones = torch.ones

    def failing(*size, device="cpu"):
        if device == "cuda":
            raise RuntimeError("CUDA error: no kernel image is available\nfurther advice")
        return ones(*size)

    monkeypatch.setattr(torch, "ones", failing)


def test_auto_without_a_gpu_is_the_cpu(no_gpu):
    assert devices.choose("auto") == "cpu"


def test_auto_passes_by_a_gpu_that_does_not_work_and_says_so(broken_cuda, caplog):
    assert devices.choose("auto") == "cpu"
    assert "no kernel image" in caplog.text


def test_a_gpu_asked_for_and_broken_is_named_with_its_reason(broken_cuda):
    with pytest.raises(
        DeviceError, match=r"'cuda' is there, and fails.*no kernel image is available\..*\"cpu\""
    ) as said:
        devices.choose("cuda")
    assert "further advice" not in str(said.value)


@pytest.mark.parametrize("device, words", [("cuda", "NVIDIA"), ("mps", "Apple Silicon")])
def test_a_gpu_asked_for_and_absent_is_refused_with_the_cure(no_gpu, device, words):
    with pytest.raises(DeviceError, match=words) as said:
        devices.choose(device)
    assert "cpu" in said.value.mend


def test_a_gpu_that_calculates_wrongly_is_refused(no_gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *size, device="cpu": 2 * ones(*size))
    with pytest.raises(DeviceError, match="864 where 216 is right"):
        devices.choose("cuda")


def test_a_working_gpu_is_taken(no_gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *size, device="cpu": ones(*size))
    assert devices.choose("auto") == "cuda" == devices.choose("cuda")


def test_an_unknown_device_is_refused_with_the_known_ones():
    with pytest.raises(DeviceError, match="'gpu'.*auto, cpu, cuda, mps"):
        devices.choose("gpu")


def gated(tmp_path, **changes):
    """A bundle with a gate that was passed, measured with its weights."""
    bundle = write_tiny_bundle(tmp_path / "tiny")
    values = {"precision": "bf16", "backend": "torch", "weights_sha256": bundle.weights.sha256, "agreement": 0.9995}
    values |= {"lowest_dice": 0.995, "labels": (1, 2), "on": ("ct.nii.gz",)}
    return dataclasses.replace(bundle, reduced_precision=(Gate(**{**values, **changes}),))


@pytest.fixture
def with_bfloat16(monkeypatch):
    monkeypatch.setattr(devices, "_cpu_flags", lambda: {"avx2", "avx512_bf16"})
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")


def test_auto_takes_bfloat16_only_with_hardware_and_gate(tmp_path, with_bfloat16, monkeypatch):
    assert devices.choose_precision("auto", "cpu", gated(tmp_path)) == "bf16"
    assert devices.choose_precision("bf16", "cpu", gated(tmp_path)) == "bf16"
    assert devices.choose_precision("fp32", "cpu", gated(tmp_path)) == "fp32"
    assert devices.choose_precision("auto", "cpu", write_tiny_bundle(tmp_path / "without")) == "fp32"
    assert devices.choose_precision("auto", "cpu", gated(tmp_path), "openvino") == "fp32"
    assert devices.choose_precision("auto", "mps", gated(tmp_path)) == "fp32"
    monkeypatch.setattr(devices, "_cpu_flags", lambda: {"avx2", "avx512f"})
    assert devices.choose_precision("auto", "cpu", gated(tmp_path)) == "fp32"


@pytest.mark.parametrize("changes", [{"weights_sha256": "of others"}, {"agreement": 0.9989}, {"lowest_dice": 0.98}])
def test_a_gate_of_other_weights_or_not_passed_is_no_gate(tmp_path, with_bfloat16, changes):
    assert devices.choose_precision("auto", "cpu", gated(tmp_path, **changes)) == "fp32"
    with pytest.raises(BundleError, match=r"'tiny' (is not known to|does not) bear it.*Choose 'auto' or 'fp32'"):
        devices.choose_precision("bf16", "cpu", gated(tmp_path, **changes))


@pytest.mark.parametrize(
    "flags, machine, words",
    [({"avx2"}, "x86_64", "neither AVX512_BF16 nor AMX"), ({"avx512_bf16"}, "arm64", "Intel and AMD")],
)
def test_bfloat16_asked_for_on_a_processor_without_it_is_refused(tmp_path, monkeypatch, flags, machine, words):
    monkeypatch.setattr(devices, "_cpu_flags", lambda: flags)
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    with pytest.raises(DeviceError, match=f"'bf16' was asked for.*{words}.*'auto' or 'fp32'"):
        devices.choose_precision("bf16", "cpu", gated(tmp_path))


def test_an_unknown_precision_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(DeviceError, match="'fp16'.*auto, fp32, bf16"):
        devices.choose_precision("fp16", "cpu", gated(tmp_path))


def test_a_gate_survives_being_written_and_read(tmp_path):
    bundle = gated(tmp_path)
    bundles.save(bundle, bundle.folder)
    assert bundles.load(bundle.folder).reduced_precision == bundle.reduced_precision
