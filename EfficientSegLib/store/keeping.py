"""Bundles come into the user's folder whole or not at all, and go out of it; shipped ones stay as they are."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.environment import ROOT
from EfficientSegLib.errors import BundleError
from EfficientSegLib.store.gather import gather
from EfficientSegLib.store.home import disk_in_words, put_away, staging, user_folder
from EfficientSegLib.store.progress import Report, Watch

SHIPPED = ROOT / "Resources" / "Bundles"


class AlreadyThereError(BundleError):
    """A bundle of this name and version is there."""


def install(
    source: str | os.PathLike,
    home: Path | None = None,
    *,
    replace: bool = False,
    report: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Bundle:
    """Copy a bundle into the user's folder.

    Everything is checked, weights included, before anything is kept. A manifest without weights is kept where it names
    an address to get them from.

    Args:
        source: a folder, a .zip, or a bundle.json.
        home: the user's folder; None: this platform's.
        replace: take the place of the user's bundle of the same name and version.
        report: told the stage ("unpack", "check"), bytes done and all of them.
        stopped: True once it is not wanted any more.

    Returns:
        The bundle where it lies now.

    Raises:
        AlreadyThereError: there is one of this name and version.
        BundleError: it is no bundle that can be used, or it could not be kept; nothing was changed.
        StoreStopped: `stopped` said so.
    """
    home, watch, source = home or user_folder(), Watch(report, stopped), Path(source)
    if not source.exists():
        raise BundleError(f"{source} is not there.", why="It holds no bundle.", mend="Choose a folder or a .zip.")
    with disk_in_words(home / "bundle"), staging(home) as stage:
        bundle = gather(source, stage, watch)
        return keep(stage, bundle, home, replace, watch)


def keep(stage: Path, bundle: Bundle, home: Path, replace: bool, watch: Watch) -> Bundle:
    """Check a bundle in a folder of `staging`, and move it to its place in one step; raises as `install` does."""
    if bundle.weights_path.is_file() or not bundle.weights.url:
        bundles.load(stage)
        watch.begin("check", bundle.weights_path.stat().st_size)
        bundles.verify_weights(bundle)
    _refuse_shipped(bundle)
    there = same(bundle, home)
    target = there[0] if there else place(bundle, home)
    if there and not replace:
        raise AlreadyThereError(
            f"{bundle.name} {bundle.version} is there already.",
            why=f"It lies in {there[0]}.",
            mend="Delete it first, or say that it is to be replaced.",
        )
    gone = [(put_away(folder, home), folder) for folder in there]
    try:
        os.replace(stage, target)
    except OSError:
        for away, folder in gone:
            os.replace(away, folder)
        raise
    for away, _folder in gone:
        shutil.rmtree(away, ignore_errors=True)
    return bundles.load(target, needs_weights=False)


def place(bundle: Bundle, home: Path) -> Path:
    """A folder for a bundle that is not there yet: its name and version, in letters that every disk knows."""
    said = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{bundle.name}-{bundle.version}").strip("._")[:100] or "bundle"
    number = 1
    while (folder := home / (said if number == 1 else f"{said}_{number}")).exists():
        number += 1
    return folder


def same(bundle: Bundle, home: Path) -> list[Path]:
    """The user's folders that hold this name and version."""
    found = []
    for folder in bundles.find([home]):
        try:
            there = bundles.load(folder, needs_weights=False)
        except BundleError:
            continue
        if (there.name, there.version) == (bundle.name, bundle.version):
            found.append(folder)
    return found


def _refuse_shipped(bundle: Bundle) -> None:
    if any((folder / bundle.weights.file).is_file() for folder in same(bundle, SHIPPED)):
        raise BundleError(
            f"{bundle.name} {bundle.version} comes with EfficientSeg.",
            why="Two bundles of one name and version could not be told apart.",
            mend="Use the one that is there; a bundle of your own needs a name or a version of its own.",
        )


def is_users(folder: str | os.PathLike, home: Path | None = None) -> bool:
    """Whether a bundle lies in the user's folder, where it may be deleted."""
    folder, home = Path(folder), home or user_folder()
    return not folder.is_symlink() and folder.is_dir() and folder.resolve().parent == home.resolve()


def delete(folder: str | os.PathLike, home: Path | None = None) -> None:
    """Remove a bundle of the user's.

    Raises:
        BundleError: it does not lie in the user's folder, or cannot be removed.
    """
    folder, home = Path(folder), home or user_folder()
    if not is_users(folder, home) or not (folder / bundles.MANIFEST).is_file():
        raise BundleError(
            f"{folder} is not deleted.",
            why=f"Only bundles in your own folder are: {home}.",
            mend="A bundle that lies elsewhere can be taken off the list; shipped ones stay.",
        )
    with disk_in_words(folder):
        shutil.rmtree(put_away(folder, home), ignore_errors=True)


def named(name: str, home: Path | None = None) -> Path:
    """The user's bundle of this name, or in a folder of this name.

    Raises:
        BundleError: there is none, or several.
    """
    home = home or user_folder()
    found = _named(name, home)
    if len(found) != 1:
        choice = ", ".join(folder.name for folder in found or bundles.find([home]))
        raise BundleError(
            f"{'Several' if found else 'None'} of your bundles is named {name!r}.",
            why=f"In {home} there are: {choice or 'none'}.",
            mend="Give one of these names.",
        )
    return found[0]


def is_named(name: str, home: Path | None = None) -> bool:
    """Whether one of the user's bundles, or several, could be meant by this name."""
    return bool(_named(name, home or user_folder()))


def _named(name: str, home: Path) -> list[Path]:
    there = bundles.find([home])
    return [folder for folder in there if folder.name == name] or [f for f in there if _name(f) == name]


def _name(folder: Path) -> str:
    try:
        return bundles.load(folder, needs_weights=False).name
    except BundleError:
        return ""
