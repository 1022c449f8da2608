"""The temporary folder of one run, and the sweeping of folders that a crashed session left behind."""

import logging
import os
import shutil
from pathlib import Path

import slicer

from EfficientSegBridge.translation import _
from EfficientSegLib.environment import is_running
from EfficientSegLib.errors import VolumeError

PREFIX = "EfficientSeg-"


def home() -> Path:
    """The application's own temporary folder, which the user can set."""
    return Path(slicer.app.temporaryPath)


def make() -> Path:
    """A new empty folder, named after this process so that a later session can tell whether we still live."""
    number = 1
    while True:
        folder = home() / f"{PREFIX}{os.getpid()}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def begin() -> Path:
    """`make`, in words for the user.

    Raises:
        VolumeError: the application's temporary folder cannot be used.
    """
    try:
        return make()
    except OSError as error:
        raise VolumeError(
            _("The temporary folder {folder} cannot be used.").format(folder=home()),
            why=f"{error.strerror or error}.",
            mend=_("Choose another one in the application settings."),
        ) from error


def remove(folder: Path) -> None:
    """Remove the folder with all it holds; what another program keeps open is left to the next start."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logging.warning("EfficientSeg could not remove %s now; it is removed at the next start.", folder)


def sweep() -> list[Path]:
    """Remove the folders of sessions that are gone; returns them."""
    found = []
    for folder in home().glob(f"{PREFIX}*-*"):
        owner = folder.name[len(PREFIX) :].partition("-")[0]
        if owner.isdigit() and int(owner) != os.getpid() and not is_running(int(owner)):
            remove(folder)
            found.append(folder)
    return found
