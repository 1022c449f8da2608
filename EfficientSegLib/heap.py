"""Large tensors from the heap of this process, where they stay: for a command that nobody started as a worker.

A training makes and drops the same gigabytes in every iteration. glibc gives blocks that large back to the system at
once, and all their pages must be asked for anew: 173,000 page faults in an iteration of STP + MTA + UNETR on 64³
voxels, where 535 are left so. What that saves depends on the system; here 6 % of an iteration's time on one core.
`worker_environment` tells glibc so for processes that we start; this is for the one that is running already, and for
those that it starts.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable, MutableMapping

from EfficientSegLib.environment import GLIBC

# Names and numbers of glibc's malloc.h; the value of a trim threshold is an int there, and -1 is "never".
_PARAMETERS = {"MALLOC_MMAP_MAX_": -4, "MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_TOP_PAD_": -2}
_LARGEST_INT = 2**31 - 1


def keep_large_blocks(
    environment: MutableMapping[str, str] | None = None, set_parameter: Callable[[int, int], int] | None = None
) -> bool:
    """Make glibc keep large blocks, in this process and in those that it starts; to be called before torch is imported.

    What the user has set himself stays. Nothing is restarted, and where the C library is another one, nothing happens.

    Args:
        environment: os.environ, or what stands for it.
        set_parameter: glibc's mallopt, or what stands for it.

    Returns:
        Whether glibc was told anything.
    """
    environment = os.environ if environment is None else environment
    set_parameter = set_parameter or _mallopt()
    if set_parameter is None or "glibc.malloc." in environment.get("GLIBC_TUNABLES", ""):
        return False
    told = False
    for name, value in GLIBC.items():
        if name in environment:
            continue
        if name in _PARAMETERS:
            number = int(value)
            told |= bool(set_parameter(_PARAMETERS[name], number if number <= _LARGEST_INT else -1))
        environment[name] = value  # for torch, which reads one of them, and for processes to come
    return told


def _mallopt() -> Callable[[int, int], int] | None:
    """glibc's, or None where the C library is another one."""
    with contextlib.suppress(AttributeError, ValueError, OSError):  # no confstr, another C library, no such function
        if (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return ctypes.CDLL(None).mallopt
    return None
