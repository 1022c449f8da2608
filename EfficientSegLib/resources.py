"""Memory and disk of this machine, and how much a volume will need; the standard library only."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import DeviceError
from EfficientSegLib.geometry import Index
from EfficientSegLib.patch_memory import FEATURE_BYTES, USUAL, patch_bytes, patch_size, widest
from EfficientSegLib.slice_memory import slices_mb

MB = 1 << 20

# Measured on runs of the worker, rounded up (Testing/benchmarks/worker_latency.py prints both): 20 and 117 labels with
# the paper's network, 11 labels with a small one. The truth was 70 to 97 % of the estimate.
LIBRARIES_MB = 380.0  # Python, torch, SimpleITK
WEIGHTS_TIMES = 2.5  # the file, the network, and its form for inference while it is made
INPUT_BYTES = 13  # per voxel: as read and its copy, real numbers, labels, coarse labels
PREPARED_BYTES = 12  # per voxel at the bundle's spacing: resampled, oriented, padded
SLAB_CELLS, SLAB_MB, SLAB_COPIES = 18, 256.0, 4  # logits on the way back to the input grid
CHOOSING = ("nmsw", "random_foreground")  # strategies that read top_k patches; of others all logits are counted


def available_memory_mb() -> float:
    """Memory that can be taken without swapping; the limit of a container counts."""
    if sys.platform == "win32":
        return _windows_memory().available / MB
    if sys.platform == "darwin":
        return _mac_available_mb()
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    free = int(found[1]) / 1024 if found else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MB
    return min(free, _container_left_mb())


def current_memory_mb() -> float:
    """Memory that this process holds now."""
    if sys.platform == "win32":
        return _windows_process().working_set / MB
    if sys.platform == "darwin":
        usage = _MacUsage()
        ctypes.CDLL(None).proc_pid_rusage(os.getpid(), 0, ctypes.byref(usage))
        return usage.resident / MB
    return _status_mb("VmRSS")


def peak_memory_mb() -> float:
    """The most that this process has held since `forget_peak`, or since its start where that cannot be forgotten."""
    if sys.platform == "win32":
        return _windows_process().peak_working_set / MB
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MB
    return _status_mb("VmHWM")


def forget_peak() -> None:
    """Let `peak_memory_mb` count from here; Linux only, elsewhere without effect."""
    if sys.platform.startswith("linux"):
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return  # some containers forbid it; the peak then counts from the start


def release_memory() -> None:
    """Give freed memory back to the system, so that an idle worker holds little; glibc only."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def free_disk_mb(folder: str | os.PathLike) -> float:
    """Free space where `folder` lies, or will lie."""
    path = Path(folder).absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free / MB


def estimate_memory_mb(
    shape: Index,
    spacing_mm: tuple[float, float, float],
    bundle: Bundle,
    options: Mapping[str, Any] | None = None,
    strategy: str | None = None,
    overlapping: bool = False,
) -> float:
    """What a run on this volume will hold at its peak, from above.

    Args:
        shape: voxels of the input.
        spacing_mm: of the input.
        options: replace the bundle's strategy options one by one.
        strategy: None is the bundle's.
        overlapping: see `Request.overlapping`.
    """
    run = bundle.run_strategy(strategy, options)
    network, name, chosen = bundle.network.options, run.name, run.options
    weights = bundle.weights_path.stat().st_size / MB if bundle.weights_path.is_file() else 0
    loaded = LIBRARIES_MB + weights * WEIGHTS_TIMES
    if name == "slices":
        return loaded + slices_mb(shape, spacing_mm, bundle, chosen, overlapping)
    grid = [max(round(n * have / want), 1) for n, have, want in zip(shape, spacing_mm, bundle.preprocess.spacing_mm)]
    prepared, logits, features = _product(grid), bundle.num_labels * 4, widest(network) * FEATURE_BYTES
    size = patch_size(bundle.network, chosen) or USUAL
    patch = _product(size)
    is_nmsw = bundle.network.name == "nmsw"
    small = prepared / _product(network.get("downsampling", (3, 3, 3))) if is_nmsw else 0
    read = chosen.get("top_k", 5) if name in CHOOSING else None
    kept = (prepared if read is None else min(prepared, read * patch)) * logits / MB
    slab = grid[0] * grid[1] * SLAB_CELLS * logits / MB
    voxels = (
        _product(shape) * (INPUT_BYTES + (ceil(bundle.num_outputs / 8) if overlapping else 0))
        + prepared * PREPARED_BYTES
        + small * (2 * logits + features)
        + patch * patch_bytes(bundle.network, size, bundle.num_labels)
    )
    return loaded + voxels / MB + min(kept, chosen.get("memory_mb", 2000.0)) + min(slab, SLAB_MB) * SLAB_COPIES


def check_memory(
    shape: Index,
    spacing_mm: tuple[float, float, float],
    bundle: Bundle,
    options: Mapping[str, Any] | None = None,
    available_mb: float | None = None,
    strategy: str | None = None,
    overlapping: bool = False,
) -> float:
    """The estimate in MB, if this machine has that much.

    Args:
        available_mb: None: what is free, and what this process holds already. A warm worker has its libraries and its
            model in memory, and of a run that it goes on from also the patches, all of which the estimate counts.

    Raises:
        DeviceError: it has not.
    """
    available = available_memory_mb() + current_memory_mb() if available_mb is None else available_mb
    needed = estimate_memory_mb(shape, spacing_mm, bundle, options, strategy, overlapping)
    if needed > available:
        raise DeviceError(
            f"A volume of {' × '.join(map(str, shape))} voxels needs about {size_text(needed)} of memory, "
            f"{size_text(available)} are free.",
            why=f"It measures {' × '.join(f'{n * s / 10:.0f}' for n, s in zip(shape, spacing_mm))} cm, "
            f"and bundle {bundle.name!r} works at {' × '.join(f'{s:g}' for s in bundle.preprocess.spacing_mm)} mm.",
            mend="Crop the volume to the region that matters, close other programs, or use a larger machine.",
        )
    return needed


def result_mb(shape: Index) -> float:
    """Space that the labels of a volume, their partial states and the segmentation take at most."""
    return 5 + 2 * 3 * _product(shape) / MB


def check_disk(folder: str | os.PathLike, needed_mb: float, free_mb: float | None = None) -> None:
    """Refuse to begin what will not fit.

    Raises:
        DeviceError: less than `needed_mb` is free where `folder` lies.
    """
    free = free_disk_mb(folder) if free_mb is None else free_mb
    if needed_mb > free:
        raise DeviceError(
            f"Up to {size_text(needed_mb)} of disk space are needed, {size_text(free)} are free in {folder}.",
            why="Labels and intermediate results are written there.",
            mend="Free some space, or choose another folder.",
        )


def size_text(megabytes: float) -> str:
    """Megabytes in words: "3.1 GB", "12 MB"."""
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


def _product(values) -> int:
    result = 1
    for value in values:
        result *= int(value)
    return result


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _status_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", _text("/proc/self/status"), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _container_left_mb() -> float:
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        top, now = _text(limit).strip(), _text(used).strip()
        if top.isdigit() and now.isdigit():
            cached = re.search(r"^(?:total_)?inactive_file (\d+)", _text(str(Path(used).parent / "memory.stat")), re.M)
            return max(int(top) - int(now) + (int(cached[1]) if cached else 0), 0) / MB
    return float("inf")


def _mac_available_mb() -> float:
    shown = subprocess.run(["vm_stat"], capture_output=True, text=True).stdout
    page = int(re.search(r"page size of (\d+)", shown)[1])
    kinds = re.findall(r"Pages (?:free|inactive|speculative|purgeable):\s+(\d+)", shown)
    return sum(map(int, kinds)) * page / MB


def _fields(kind: type, names: str) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


class _MemoryStatus(ctypes.Structure):
    _fields_ = _fields(ctypes.c_uint32, "length load") + _fields(
        ctypes.c_uint64, "total available page page_free virtual virtual_free extended"
    )


class _ProcessMemory(ctypes.Structure):
    _fields_ = _fields(ctypes.c_uint32, "length faults") + _fields(
        ctypes.c_size_t, "peak_working_set working_set q1 q2 q3 q4 pagefile peak_pagefile"
    )


class _MacUsage(ctypes.Structure):
    _fields_ = _fields(ctypes.c_uint8 * 16, "uuid") + _fields(
        ctypes.c_uint64, "user system idle interrupts pageins wired resident footprint start end"
    )


def _windows_memory() -> _MemoryStatus:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status


def _windows_process() -> _ProcessMemory:
    counters = _ProcessMemory(length=ctypes.sizeof(_ProcessMemory))
    kernel = ctypes.windll.kernel32
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
    kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.length)
    return counters
