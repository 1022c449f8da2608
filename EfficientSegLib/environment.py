"""How a Python that runs EfficientSeg in the background is started: its environment, and whether a process lives."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # holds EfficientSegLib and Resources, installed or in a checkout

# Large tensors come from the heap and stay there: the first touch of fresh memory costs ten times a later one.
GLIBC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "THP_MEM_ALLOC_ENABLE": "1",
}


def worker_environment(base: Mapping[str, str], external: bool = False, platform: str = sys.platform) -> dict[str, str]:
    """The environment for `python -m EfficientSegLib.worker`, from any working folder.

    Args:
        base: what to start from, usually os.environ; inside Slicer, for an external interpreter,
            `slicer.util.startupEnvironment()`, which is free of the application's library paths.
        external: the interpreter is not the one that `base` belongs to: its home and module path would mislead it.
        platform: as sys.platform.
    """
    environment = dict(base)
    path = [str(ROOT)]
    if external:
        for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE"):
            environment.pop(name, None)
    elif environment.get("PYTHONPATH"):
        path += [part for part in environment["PYTHONPATH"].split(os.pathsep) if part and part != str(ROOT)]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    environment["PYTHONUTF8"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONSAFEPATH"] = "1"  # a torch.py in the user's current folder is not ours
    if platform.startswith("linux"):
        environment.update({name: value for name, value in GLIBC.items() if name not in environment})
    return environment


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_running(pid: int) -> bool:
    """Whether a process lives; one that ended and waits to be collected does not."""
    if sys.platform == "win32":
        return _is_running_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True  # no /proc here: the signal's answer stands
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def _is_running_windows(pid: int) -> bool:
    import ctypes

    synchronize, wait_timeout = 0x00100000, 0x00000102
    kernel = ctypes.windll.kernel32
    kernel.OpenProcess.restype = ctypes.c_void_p
    kernel.WaitForSingleObject.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    kernel.CloseHandle.argtypes = [ctypes.c_void_p]
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    try:
        return kernel.WaitForSingleObject(handle, 0) == wait_timeout
    finally:
        kernel.CloseHandle(handle)
