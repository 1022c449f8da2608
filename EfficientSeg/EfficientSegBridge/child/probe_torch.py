"""Run by another Python, as a program: what PyTorch does it have? Answers with one marked line of JSON.

missing: no such package. partial: its files are there and its metadata is not, or the other way round, or it imports as
an empty package: an installation that broke off. broken: it is complete and cannot be imported or used.
"""

import contextlib
import importlib.metadata
import importlib.util
import json
import sys

MARK = "@EfficientSegProbe "


def look() -> dict:
    said = {"python": sys.version.split()[0], "version": "", "cuda": "", "mps": False}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        said["version"] = importlib.metadata.version("torch")
    said["missing"] = [name for name in ("numpy", "SimpleITK") if importlib.util.find_spec(name) is None]
    if importlib.util.find_spec("torch") is None:
        return {**said, "state": "partial" if said["version"] else "missing"}
    try:
        torch = importlib.import_module("torch")  # here we are another process than the application
        torch.nn.functional.conv3d(torch.ones(1, 1, 3, 3, 3), torch.ones(1, 1, 3, 3, 3))
        said["cuda"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
        said["mps"] = bool(torch.backends.mps.is_available())
    except AttributeError as error:
        return {**said, "state": "partial", "reason": str(error)}
    except BaseException as error:  # whatever it is, the panel is to say it
        return {**said, "state": "broken", "reason": f"{type(error).__name__}: {error}"}
    return {**said, "state": "ok" if said["version"] else "partial"}


if __name__ == "__main__":
    print(MARK + json.dumps(look()), flush=True)
