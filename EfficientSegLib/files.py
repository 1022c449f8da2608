"""Files and folders that appear whole or not at all."""

import errno
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from EfficientSegLib.environment import is_running
from EfficientSegLib.errors import VolumeError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
NEARLY_FULL_BYTES = 1 << 20


@contextmanager
def replacing(path: str | os.PathLike, ending: str = "") -> Iterator[Path]:
    """Hand out a name beside `path` to write to; on success it replaces `path` in one step.

    Whatever goes wrong, nothing half-written stays and an older file at `path` is as it was.

    Args:
        path: the file to make; its folder is made where it is missing.
        ending: such as ".nii.gz", for a writer that chooses the format by the name.

    Raises:
        VolumeError: the disk is full, the folder may not be written, or writing failed otherwise.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part{ending}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        part_size = _size(part)
        part.unlink(missing_ok=True) if part_size is not None else None
        raise explain(path, error, part_size or 0) from error
    except BaseException:
        if _size(part) is not None:
            part.unlink(missing_ok=True)
        raise


@contextmanager
def scratch_in(parent: str | os.PathLike) -> Iterator[Path]:
    """A folder of this process inside `parent`, on the disk of the results that will be moved out of it; then it goes.

    What processes of this machine have left there that were killed before they could is removed, too.

    Raises:
        VolumeError: nothing can be written there.
    """
    parent, own = Path(parent), f".efficientseg-{socket.gethostname()}-"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_orphans(parent, own)
        folder = parent / f"{own}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        folder.mkdir()  # not by tempfile: what is moved out of it, or is it, is as open to others as any result
    except OSError as error:
        raise VolumeError(
            f"Nothing can be written to {parent}.", why=f"{error.strerror}.", mend="Choose another folder."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def appearing(path: str | os.PathLike) -> Iterator[Path]:
    """Hand out a folder to fill; on success it takes its place at `path`, where there is none or an empty one.

    Whatever goes wrong, nothing half-filled stays.

    Raises:
        VolumeError: nothing can be written beside `path`, or something has come there meanwhile.
    """
    path = Path(path)
    with scratch_in(path.parent) as folder:
        yield folder
        try:
            if path.is_dir():
                path.rmdir()
            os.replace(folder, path)
        except OSError as error:
            raise explain(path, error) from error


def _remove_orphans(folder: Path, own: str) -> None:
    for left in folder.glob(f"{own}*-*"):
        pid = left.name.removeprefix(own).partition("-")[0]
        if pid.isdigit() and not is_running(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def explain(path: Path, error: OSError, freed: int = 0) -> VolumeError:
    """Why a file could not be written, in words.

    A library that hides the reason (no errno) leaves the disk's state as the only witness; `freed` are the bytes that
    were given back since.
    """
    folder = path.parent
    number = error.errno
    if number is None and folder.is_dir():
        if not os.access(folder, os.W_OK):
            number = errno.EACCES
        elif shutil.disk_usage(folder).free - freed < NEARLY_FULL_BYTES:
            number = errno.ENOSPC
    if number in FULL:
        return VolumeError(
            f"{path.name} could not be written: the disk is full.",
            why=f"{folder} has no room for it. Nothing was changed.",
            mend="Free some space or choose a folder on another disk.",
        )
    if number in FORBIDDEN:
        return VolumeError(
            f"{path.name} could not be written: its folder may not be written to.",
            why=f"{folder} is read-only for you, or the file is open elsewhere.",
            mend="Choose another folder, for example in your home folder.",
        )
    return VolumeError(
        f"{path.name} could not be written.",
        why=f"{error.strerror or error}. Nothing was changed.",
        mend=f"Check the folder {folder}.",
    )
