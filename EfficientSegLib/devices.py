"""Which device a run uses, and whether it works; torch is imported when asked, not before."""

import logging
import platform
import re
from collections.abc import Callable
from pathlib import Path

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import BundleError, DeviceError
from EfficientSegLib.failures import is_memory

log = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
BACKENDS = ("torch", "openvino")


def choose(device: str, warn: Callable[[str], None] = log.warning) -> str:
    """The device really used: "cuda", "mps" or "cpu".

    "auto" takes the GPU if it is there and can do a convolution, which a driver that does not match cannot.

    Args:
        warn: told why a GPU that is there is not used.

    Raises:
        DeviceError: the name is unknown, or the device asked for is absent or does not work.
    """
    if device not in DEVICES:
        raise DeviceError(
            f"Unknown device {device!r}.", why=f"Known: {', '.join(DEVICES)}.", mend="Choose one of them."
        )
    if device == "cpu":
        return "cpu"
    if device != "auto":
        failure = trouble(device)
        if failure:
            raise failure
        return device
    for candidate in ("cuda", "mps"):
        failure = trouble(candidate)
        if failure is None:
            return candidate
        if _is_there(candidate):
            warn(f"{failure} Another device is used.")
    return "cpu"


def check_backend(backend: str, device: str) -> str:
    """The device for a backend, where `device` was asked for.

    Raises:
        DeviceError: the backend does not run there.
    """
    if backend == "torch" or device == "cpu":
        return device
    if device == "auto":
        return "cpu"
    raise DeviceError(
        f"The backend {backend!r} was asked for on the device {device!r}.",
        why="It runs on the CPU only.",
        mend="Choose the device 'cpu' or 'auto', or the backend 'torch'.",
    )


def choose_precision(precision: str, device: str, bundle: Bundle, backend: str = "torch") -> str:
    """The precision really used: "fp32" or "bf16".

    bfloat16 needs two things: hardware that calculates with it (elsewhere it is imitated, and many times slower), and
    a gate in the bundle, measured with the weights that it has now. "auto" takes it where both are there.

    Args:
        device: from `choose`.

    Raises:
        DeviceError: the name is unknown, or "bf16" was asked for and the device does not calculate with it.
        BundleError: "bf16" was asked for, and the bundle has no gate for these weights, or failed it.
    """
    if precision not in PRECISIONS:
        raise DeviceError(
            f"Unknown precision {precision!r}.", why=f"Known: {', '.join(PRECISIONS)}.", mend="Choose one of them."
        )
    if precision == "fp32":
        return "fp32"
    reason = why_no_bfloat16(device)
    gate = bundle.gate(backend)
    if precision == "auto":
        return "bf16" if reason is None and gate is not None and gate.passed else "fp32"
    if reason is not None:
        raise DeviceError(
            f"Precision 'bf16' was asked for on the device {device!r}.", why=reason, mend="Choose 'auto' or 'fp32'."
        )
    if gate is None:
        raise BundleError(
            f"Precision 'bf16' was asked for, and bundle {bundle.name!r} is not known to bear it.",
            why=f"Nobody measured it with these weights and the backend {backend!r}.",
            mend="Choose 'auto' or 'fp32', or measure it: python -m EfficientSegLib bundles --gate BUNDLE --on VOLUME.",
        )
    if not gate.passed:
        raise BundleError(
            f"Precision 'bf16' was asked for, and bundle {bundle.name!r} does not bear it.",
            why=f"{gate.agreement:.4%} of the voxels agree with 'fp32', and the lowest Dice is {gate.lowest_dice:.4f}.",
            mend="Choose 'auto' or 'fp32'.",
        )
    return "bf16"


def why_no_bfloat16(device: str) -> str | None:
    """Why bfloat16 would be slow on a device, or None where the hardware calculates with it."""
    if device == "cuda":
        import torch

        known = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
        return None if known else "This GPU is older than NVIDIA's Ampere and only imitates bfloat16."
    if device != "cpu":
        return f"bfloat16 was never tried on {device!r}."
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return "Of processors, only those of Intel and AMD were tried."
    if _cpu_flags() & {"avx512_bf16", "amx_bf16"}:
        return None
    return "This processor has neither AVX512_BF16 nor AMX, and would only imitate bfloat16."


def there() -> list[str]:
    """The devices of this machine, the processor first; whether a GPU works is another question, see `trouble`."""
    return ["cpu", *(device for device in ("cuda", "mps") if _is_there(device))]


def title(device: str) -> str:
    """What a device is called by its maker, as far as it tells."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    if device == "mps":
        return "Apple GPU"
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None  # not Linux
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    """What the processor says of its bfloat16 instructions, in Linux's words."""
    import torch

    flags = set()
    for flag, question in (("avx512_bf16", "_is_avx512_bf16_supported"), ("amx_bf16", "_is_amx_tile_supported")):
        if getattr(torch.cpu, question, lambda: False)():
            flags.add(flag)
    try:
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return flags  # not Linux
    return flags | set(found.group(1).split() if found else ())


def _is_there(device: str) -> bool:
    import torch

    return torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()


def trouble(device: str) -> DeviceError | None:
    """Why a GPU cannot be used, found out by one small convolution with a known answer; None where it can."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda
        return DeviceError(
            "CUDA was asked for, and there is no usable NVIDIA GPU.",
            why=f"PyTorch {torch.__version__} was built {f'for CUDA {built}' if built else 'without CUDA'}"
            + (", and finds no GPU or no driver." if built else "."),
            mend='Choose device "auto" or "cpu"'
            + (", or update the NVIDIA driver." if built else ", or install a PyTorch built for CUDA."),
        )
    if device == "mps" and not torch.backends.mps.is_available():
        return DeviceError(
            "MPS was asked for, and is not there.",
            why="It needs a Mac with Apple Silicon, and a PyTorch for it.",
            mend='Choose device "auto" or "cpu".',
        )
    try:
        with torch.inference_mode():
            volume = torch.ones(1, 1, 4, 4, 4, device=device)
            answer = torch.nn.functional.conv3d(volume, torch.ones(1, 1, 3, 3, 3, device=device)).sum().item()
    except Exception as error:  # a driver's failures have no common type
        if is_memory(error):
            return DeviceError(
                f"The memory of the device {device!r} is full.",
                why=f"Not even a small convolution finds room: {str(error).splitlines()[0]}.",
                mend='Close other programs that use it, or choose device "cpu".',
            )
        return DeviceError(
            f"The device {device!r} is there, and fails at a small convolution.",
            why=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}.",
            mend='Choose device "cpu", or update the driver and PyTorch so that they match.',
        )
    if abs(answer - 216) > 0.5:
        return DeviceError(
            f"The device {device!r} calculates wrongly: {answer:g} where 216 is right.",
            why="Its driver and PyTorch do not match, or it is broken.",
            mend='Choose device "cpu", or update the driver.',
        )
    return None
