"""timm where the tests run.

timm imports torchvision. Beside a torch for processors only, the torchvision that package indexes offer may come
without compiled operators that fit, and its import then stops at two that nobody here calls. They are declared, never
defined, here; the product does nothing of the kind and says in words what is wrong.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch

_UNCALLED = ("nms", "qnms")
_declared = []  # torch forgets declarations that nobody holds


@lru_cache
def why_not() -> str | None:
    """Make timm importable; the reason where it cannot be."""
    for package in ("timm", "torchvision"):
        if find_spec(package) is None:
            return f"{package} is not installed"
    _declare_operators()
    try:
        import timm  # noqa: F401
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        return f"timm cannot be loaded: {error}"
    return None


def _declare_operators() -> None:
    folder = Path(find_spec("torchvision").submodule_search_locations[0])
    for file in folder.glob("_C*"):
        try:
            torch.ops.load_library(file)
            return
        except OSError:  # of another torch
            continue
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _UNCALLED:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
