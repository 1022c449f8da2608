"""The models that the panel offers: those that ship, the user's own, and folders elsewhere that were added."""

from dataclasses import dataclass
from pathlib import Path

import qt

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.environment import ROOT
from EfficientSegLib.errors import BundleError
from EfficientSegLib.store import keeping
from EfficientSegLib.store.home import user_folder

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
    cure: str = ""
    offered: Bundle | None = None  # its manifest is there, its weights are to be downloaded

    @property
    def manifest(self) -> Bundle | None:
        """What is known of it, usable or not."""
        return self.bundle or self.offered

    @property
    def isUsers(self) -> bool:
        """It lies in the user's own folder, where it can be deleted."""
        return keeping.is_users(self.folder)

    @property
    def isLinked(self) -> bool:
        """It lies elsewhere and was put on the list: it can be taken off."""
        return not self.isUsers and self.folder in addedFolders()


def choices() -> list[Choice]:
    """What can be chosen: the demo first, the self test last; what only waits to be downloaded is left out."""
    return [choice for choice in everything() if choice.offered is None]


def everything() -> list[Choice]:
    """All there is, those that wait to be downloaded too; those of them that were downloaded stand there once."""
    folders = dict.fromkeys([*bundles.find([SHIPPED, user_folder()]), *addedFolders()])

    def place(folder: Path) -> tuple[int, str]:
        return ({DEMO: 0, SELF_TEST: 2}.get(folder.name, 1), folder.name)

    found = [read(folder) for folder in sorted(folders, key=place)]
    there = {_identity(choice.bundle) for choice in found if choice.bundle}
    return [choice for choice in found if choice.offered is None or _identity(choice.offered) not in there]


def read(folder: Path) -> Choice:
    try:
        bundle = bundles.load(folder, needs_weights=False)
        if bundle.weights.url and not bundle.weights_path.is_file():
            return Choice(folder, bundle.title, None, offered=bundle)
        bundle = bundles.load(folder)
        return Choice(folder, bundle.title, bundle)
    except BundleError as error:
        return Choice(folder, folder.name, None, f"{error.what} {error.why}", error.mend)


def addedFolders() -> list[Path]:
    """Bundles elsewhere that the user has added; those that are gone are passed over."""
    said = qt.QSettings().value(SETTING) or ""
    return [Path(line) for line in str(said).splitlines() if (Path(line) / bundles.MANIFEST).is_file()]


def add(folder: Path) -> Choice:
    """Offer this folder from now on, where it lies.

    Raises:
        BundleError: it is no bundle that can be used.
    """
    bundle = bundles.load(folder)
    _remember([*addedFolders(), folder])
    return Choice(folder, bundle.title, bundle)


def takeOff(folder: Path) -> None:
    """Offer this folder no more; its files stay."""
    _remember([path for path in addedFolders() if path != folder])


def _remember(folders: list[Path]) -> None:
    # One text, not a list: a settings file gives a list of one back as a text.
    qt.QSettings().setValue(SETTING, "\n".join(str(path) for path in dict.fromkeys(folders)))


def _identity(bundle: Bundle) -> tuple[str, str]:
    return bundle.name, bundle.version
