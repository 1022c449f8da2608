"""The folder of the user's bundles, on each platform."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from EfficientSegLib import files
from EfficientSegLib.environment import is_running
from EfficientSegLib.errors import BundleError

VARIABLE = "EFFICIENTSEG_BUNDLES"  # of the environment: another folder
WORKSHOP = ".store"  # downloads and bundles that are not whole yet; one level below where bundles are looked for
SPARE_BYTES = 64 << 20  # left free on the disk


def user_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where the user's bundles lie; it need not exist yet.

    Args:
        environment: as os.environ.
        platform: as sys.platform.
    """
    said = environment.get(VARIABLE)
    if said:
        return Path(said)
    home = Path(environment.get("USERPROFILE" if platform == "win32" else "HOME") or Path.home())
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "EfficientSeg" / "Bundles"


def workshop(home: Path) -> Path:
    """The folder for what is not whole yet; made where it is missing."""
    folder = home / WORKSHOP
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def staging(home: Path) -> Iterator[Path]:
    """A new empty folder on the disk of the user's bundles; what is left in it goes away."""
    sweep(home)
    folder = _numbered(home, "new")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_away(folder: Path, home: Path) -> Path:
    """Take a bundle's folder out of sight in one step; what cannot be removed now is swept later."""
    gone = _numbered(home, "gone")
    os.replace(folder, gone)
    return gone


def sweep(home: Path) -> None:
    """Remove what processes that are gone have left behind; downloads stay, for they can go on."""
    for folder in workshop(home).glob("*-*-*"):
        pid = folder.name.split("-")[1]
        if folder.is_dir() and pid.isdigit() and int(pid) != os.getpid() and not is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _numbered(home: Path, word: str) -> Path:
    number = 1
    while (folder := workshop(home) / f"{word}-{os.getpid()}-{number}").exists():
        number += 1
    return folder


def refuse_without_room(folder: Path, wanted: int, name: str) -> None:
    """Raises BundleError where the disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if wanted + SPARE_BYTES > free:
        raise BundleError(
            f"{name} needs {megabytes(wanted)}, and the disk has {megabytes(free)} free.",
            why=f"Models are kept in {folder}.",
            mend=f"Free some space, or set {VARIABLE} to a folder on another disk.",
        )


def megabytes(size: int) -> str:
    """Bytes in words: 12 kB, 3.2 MB, 1.25 GB."""
    if size < 1e5:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


@contextmanager
def disk_in_words(path: Path) -> Iterator[None]:
    """Raises BundleError, in words, for what the disk refuses."""
    try:
        yield
    except OSError as error:
        said = files.explain(path, error)
        raise BundleError(said.what, why=said.why, mend=said.mend) from error
