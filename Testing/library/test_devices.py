"""The device really used, or the words that say why not."""

import pytest
import torch

from EfficientSegLib import devices
from EfficientSegLib.errors import DeviceError


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
