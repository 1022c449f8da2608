"""Which system libraries the rendering and panel tests need and miss; Linux only, elsewhere they come along."""

import ctypes
import sys
from collections.abc import Callable, Sequence

# Library and the Debian or Ubuntu package that has it.
NEEDED = (
    ("libEGL.so.1", "libegl1"),
    ("libGL.so.1", "libgl1"),
    ("libX11.so.6", "libx11-6"),
    ("libxkbcommon.so.0", "libxkbcommon0"),
    ("libfontconfig.so.1", "libfontconfig1"),
    ("libdbus-1.so.3", "libdbus-1-3"),
    ("libglib-2.0.so.0", "libglib2.0-0"),
)
# One of these draws when there is no display.
DRAWING = (("libEGL_mesa.so.0", "libegl-mesa0"), ("libEGL_nvidia.so.0", ""))


def missing(platform: str = sys.platform, loads: Callable[[str], bool] | None = None) -> list[tuple[str, str]]:
    """Library and package of what is not there."""
    if not platform.startswith("linux"):
        return []
    loads = loads or _loads
    found = [(library, package) for library, package in NEEDED if not loads(library)]
    if not any(loads(library) for library, _ in DRAWING):
        found.append(DRAWING[0])
    return found


def advice(found: Sequence[tuple[str, str]]) -> str:
    """What to do about it."""
    return (
        f"Not on this system: {', '.join(library for library, _ in found)}. The tests that draw or open the panel "
        "cannot run without.\nOn Debian and Ubuntu: sudo apt install "
        + " ".join(package for _, package in found)
        + "\nElsewhere: install the packages that hold these libraries."
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
