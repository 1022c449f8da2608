"""Every exception ends in what, why and how to mend it."""

import errno

import pytest

from EfficientSegLib.errors import BundleError
from EfficientSegLib.failures import Stopped, explain, is_memory


@pytest.mark.parametrize(
    "error, what, mend",
    [
        (BundleError("No weights.", why="Lost.", mend="Get them."), "No weights.", "Get them."),
        (MemoryError(), "memory did not suffice", "crop the volume"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), "memory did not suffice", "patches"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory did not suffice", "another device"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is missing", "Install"),
        (ImportError("libc10.so: cannot open", name="torch._C"), "torch._C is there, and cannot be loaded", "again"),
        (OSError("[WinError 126] Error loading torch\\lib\\c10.dll"), "torch is there, and cannot be loaded", "again"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "disk is full", "Free"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/ö.npy"), "/x/ö.npy", "written to"),
        (ZeroDivisionError("division by zero"), "unexpected happened: division by zero", "report"),
        (KeyError(), "no reason given", "log"),
    ],
)
def test_what_and_how_to_mend(error, what, mend):
    failed = explain(error)
    assert what in failed.what and failed.why and mend in failed.mend and not failed.cancelled


def test_a_stop_on_request_is_marked_as_no_mistake():
    assert explain(Stopped()).cancelled


def test_only_memory_is_memory():
    assert is_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_memory(RuntimeError("shapes do not fit")) and not is_memory(ValueError("out of memory"))
