"""What pip says when it fails, in words: why, and how to mend it."""

import platform
import re
import sys
from dataclasses import dataclass

from EfficientSegBridge.translation import _


@dataclass(frozen=True)
class Kind:
    """One way in which pip fails; `pattern` is found in what it prints, small and capital letters alike."""

    pattern: str
    why: str
    mend: str


KINDS = (
    Kind(
        r"no space left|errno 28|not enough space|disk full",
        _("The disk is full."),
        _("PyTorch needs up to 8 GB while it is installed. Free some space and try again."),
    ),
    Kind(
        r"winerror 32|being used by another process|text file busy",
        _("A file is in use, most often because PyTorch is loaded in this session."),
        _("Restart Slicer and install before anything else."),
    ),
    Kind(
        r"permission denied|access is denied|winerror 5\b|errno 13|read-only file system",
        _("This Python's folder may not be written to: administrator rights are missing."),
        _(
            "Install Slicer into a folder of your own, or start it once as administrator, or choose another Python "
            "under Advanced."
        ),
    ),
    Kind(
        r"certificate_verify_failed|sslerror|ssl: ",
        _("The network's certificate is not trusted."),
        _("Ask for the hospital's certificate and set PIP_CERT to its file before Slicer starts, or use a folder."),
    ),
    Kind(
        r"proxyerror|tunnel connection failed|proxy authentication|\b407\b",
        _("A proxy stands between this computer and the package index."),
        _("Set HTTPS_PROXY before Slicer starts, or install from a folder of packages."),
    ),
    Kind(
        r"not a supported wheel|no matching distribution|could not find a version",
        _("No package was found that fits this Python and this system."),
        _(
            "With a network, check it. Of a folder, each file must be made for Python {version} on {system}: fetch "
            "them there with pip download."
        ).format(version=f"{sys.version_info.major}.{sys.version_info.minor}", system=platform.system()),
    ),
    Kind(
        r"connectionerror|newconnectionerror|failed to establish|name resolution|max retries|timed out|unreachable",
        _("The package index cannot be reached."),
        _("Check the network. Without internet, install from a folder of packages."),
    ),
    Kind(
        r"do not match the hashes|badzipfile|wheel.* is invalid|invalid wheel|unexpected end of data|incompleteread",
        _("A package is cut off or damaged."),
        _("Fetch it again, and try again."),
    ),
    Kind(
        r"resolutionimpossible|conflicting dependencies|incompatible",
        _("Packages contradict each other."),
        _("Use a fresh folder fetched for this Python, or choose another Python under Advanced."),
    ),
    Kind(
        r"externally-managed-environment",
        _("This Python belongs to the system, which lets nobody install into it."),
        _("Make a virtual environment (python -m venv), install there, and choose its Python under Advanced."),
    ),
    Kind(
        r"no module named pip",
        _("This Python has no pip."),
        _("Choose another Python under Advanced, or add pip to it (python -m ensurepip)."),
    ),
)
UNKNOWN = Kind("", _("pip ended with an error."), _("Read its last lines in the log of this section."))


def explain(said: str) -> Kind:
    """The kind of failure in what pip has printed; `UNKNOWN` where none of its words is known."""
    text = said.lower()
    return next((kind for kind in KINDS if re.search(kind.pattern, text)), UNKNOWN)
