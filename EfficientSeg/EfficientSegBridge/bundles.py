"""The models that the panel offers: those that ship, and folders that the user has added."""

from dataclasses import dataclass
from pathlib import Path

import qt

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.environment import ROOT
from EfficientSegLib.errors import BundleError

SHIPPED = ROOT / "Resources" / "Bundles"
SETTING = "EfficientSeg/Bundles"
SELF_TEST = "self-test"
DEMO = "demo-ct"


@dataclass(frozen=True)
class Choice:
    """One line of the list; `bundle` is None where the folder cannot be used, and `trouble` tells why."""

    folder: Path
    title: str
    bundle: Bundle | None
    trouble: str = ""


def choices() -> list[Choice]:
    """What can be chosen: the demo first, the self test last."""
    folders = dict.fromkeys([*bundles.find([SHIPPED]), *addedFolders()])

    def place(folder: Path) -> tuple[int, str]:
        return ({DEMO: 0, SELF_TEST: 2}.get(folder.name, 1), folder.name)

    return [read(folder) for folder in sorted(folders, key=place)]


def read(folder: Path) -> Choice:
    try:
        bundle = bundles.load(folder)
        return Choice(folder, bundle.title, bundle)
    except BundleError as error:
        return Choice(folder, folder.name, None, f"{error.what} {error.why}")


def addedFolders() -> list[Path]:
    """The user's own bundles; those that are gone are passed over."""
    said = qt.QSettings().value(SETTING) or ""
    return [Path(line) for line in str(said).splitlines() if (Path(line) / bundles.MANIFEST).is_file()]


def add(folder: Path) -> Choice:
    """Offer this folder from now on.

    Raises:
        BundleError: it is no bundle that can be used.
    """
    bundle = bundles.load(folder)
    kept = dict.fromkeys([*addedFolders(), folder])
    # One text, not a list: a settings file gives a list of one back as a text.
    qt.QSettings().setValue(SETTING, "\n".join(str(path) for path in kept))
    return Choice(folder, bundle.title, bundle)
