"""What a first run needs, as a list: Python, PyTorch, other packages, room and rights to install."""

import os
import platform
import sysconfig
from pathlib import Path

from EfficientSegBridge import packages, preflight
from EfficientSegBridge.preflight import Finding
from EfficientSegBridge.torch_probe import TorchState
from EfficientSegBridge.translation import _
from EfficientSegLib import resources

INSTALL_MB = 8 * 1024  # PyTorch for a GPU takes about 5 GB, and as much again while it is unpacked


def check(torch: TorchState, externalPython: str, sitePackages: Path | None = None) -> list[Finding]:
    """Every part with its state, in the order in which one would mend them.

    Args:
        torch: what the probe found in the chosen Python.
        externalPython: an interpreter of the user's; empty for Slicer's own.
        sitePackages: where packages are installed; None: Slicer's own folder.
    """
    found = [_python(externalPython), *preflight.torchFindings(torch), *_others(externalPython)]
    if torch.state != "ok" and not externalPython:
        found += _room(sitePackages or Path(sysconfig.get_paths()["purelib"]))
    return found


def isComplete(torch: TorchState) -> bool:
    """True if the worker can run; also while nothing is known yet."""
    return torch.state == "unknown" or (torch.state == "ok" and not torch.missing)


def _python(externalPython: str) -> Finding:
    if not externalPython:
        return Finding("ok", "python", _("Slicer's own Python {version}").format(version=platform.python_version()))
    if not Path(externalPython).is_file():
        text = _("{path} is no Python: there is no such file.").format(path=externalPython)
        return Finding("error", "python", text, _("Choose another one under Advanced, or clear the field."))
    return Finding("ok", "python", _("Another Python: {path}").format(path=externalPython))


def _others(externalPython: str) -> list[Finding]:
    if externalPython:
        return []  # the probe has told what that one lacks
    names = [packages.packageName(line) for line in packages.missing() if packages.packageName(line) != "torch"]
    if not names:
        return []
    text = _("Slicer's Python lacks {names}.").format(names=", ".join(names))
    return [Finding("error", "packages", text, _("They are installed together with PyTorch."))]


def _room(sitePackages: Path) -> list[Finding]:
    """Can something be installed there at all? Told before it is tried."""
    found = []
    if not os.access(sitePackages, os.W_OK):
        found.append(
            Finding(
                "warning",
                "rights",
                _("You may not write to Slicer's folder {folder}.").format(folder=sitePackages),
                _("Install Slicer into a folder of your own, start it once as administrator, or use another Python."),
            )
        )
    free = resources.free_disk_mb(sitePackages)
    if free < INSTALL_MB:
        found.append(
            Finding(
                "warning",
                "room",
                _("{free:.1f} GB are free where Slicer is installed.").format(free=free / 1024),
                _("PyTorch for a GPU needs up to {needed:.0f} GB while it is installed.").format(
                    needed=INSTALL_MB / 1024
                ),
            )
        )
    return found
