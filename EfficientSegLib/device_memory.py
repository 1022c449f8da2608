"""The memory of a GPU: whether it ran out, how much is free, and giving back what is kept for later.

It belongs to all programs that use the GPU, so it may end at any pass, however many went well before.
"""

import re
import traceback
from contextlib import suppress

from EfficientSegLib import devices
from EfficientSegLib.resources import MB, size_text

# Besides torch's own error: what drivers and their libraries say. What the CPU's allocator says is none of these.
_WORDS = ("out of memory", "alloc_failed")
_WANTED = re.compile(r"[Tt]ried to allocate ([\d.]+ ?[KMGT]?i?B)")


def ran_out(error: BaseException) -> bool:
    """Whether the memory of a GPU did not suffice; that of the CPU is another matter."""
    text = str(error).lower()
    if not isinstance(error, RuntimeError) or "cpuallocator" in text:
        return False
    return type(error).__name__ == "OutOfMemoryError" or any(words in text for words in _WORDS)


def release(device: str, error: BaseException | None = None) -> None:
    """Give back what torch keeps on a device for later.

    Args:
        device: "cuda", "mps" or "cpu".
        error: of a pass that failed; what its functions still hold is let go.
    """
    import torch

    if error is not None:
        traceback.clear_frames(error.__traceback__)
    with suppress(RuntimeError):  # a driver in trouble: there is nothing to be had back
        if device == "cuda" and torch.cuda.is_available():
            torch.cuda.empty_cache()
        elif device == "mps" and torch.backends.mps.is_available():
            torch.mps.empty_cache()


def free_mb(device: str) -> tuple[float, float] | None:
    """Megabytes that are free, and of how many; None where nobody tells."""
    import torch

    with suppress(RuntimeError, AttributeError):  # a driver in trouble; an older torch
        if device == "cuda" and torch.cuda.is_available():
            free, total = torch.cuda.mem_get_info()
            return free / MB, total / MB
        if device == "mps" and torch.backends.mps.is_available():
            total = torch.mps.recommended_max_memory()
            return max(total - torch.mps.driver_allocated_memory(), 0) / MB, total / MB
    return None


def shortage(device: str, error: BaseException) -> str:
    """The fact in one sentence with figures, without its full stop: which device, what it wanted, what is free."""
    name = device
    with suppress(Exception):  # the name is an ornament; asking a driver in trouble may fail in any way
        name = f"{device} ({devices.title(device)})"
    wanted = _WANTED.search(str(error))
    free = free_mb(device)
    parts = [f"The memory of the device {name} did not suffice"]
    parts += [f"{wanted[1]} more were wanted"] if wanted else []
    parts += [f"{size_text(free[0])} of {size_text(free[1])} are free now"] if free else []
    return ", ".join(parts)
