"""`bundles --install`, `--delete` and `--where`: the user's own models."""

import argparse
import sys
import threading
from pathlib import Path

from EfficientSegLib import bundle as bundles
from EfficientSegLib.commands.segment import INTERRUPTED, stopping_on_interrupt
from EfficientSegLib.store.download import download_bundle, download_weights
from EfficientSegLib.store.home import megabytes, user_folder
from EfficientSegLib.store.keeping import delete, install, named
from EfficientSegLib.store.progress import StoreStopped

WORDS = {"download": "downloading", "check": "comparing the checksum", "unpack": "copying"}


def wanted(arguments: argparse.Namespace) -> bool:
    """Whether one of these was asked for."""
    return bool(arguments.install or arguments.delete or arguments.where)


def run(arguments: argparse.Namespace) -> int:
    """Do it.

    Raises:
        EfficientSegError: it cannot be done; nothing was changed.
    """
    if arguments.where:
        print(user_folder())
        return 0
    if arguments.delete:
        folder = named(arguments.delete)
        delete(folder)
        print(f"Deleted: {folder}")
        return 0
    return _install(arguments.install, arguments.replace)


def _install(source: str, replace: bool) -> int:
    stop, line = threading.Event(), _Line()
    with stopping_on_interrupt(stop):
        try:
            bundle = _fetch_or_copy(source, replace, line, stop.is_set)
        except StoreStopped as error:
            print(f"{error.what} {error.mend}")
            return INTERRUPTED
        finally:
            line.end()
    print(f"Installed: {bundle.name} {bundle.version}, {bundle.title}")
    print(f"Licence: {bundle.licence.weights}. {bundle.licence.use}")
    print(f"Folder: {bundle.folder}")
    return 0


def _fetch_or_copy(source: str, replace: bool, report, stopped) -> bundles.Bundle:
    if source.startswith(("http://", "https://")):
        bundle = download_bundle(source, replace=replace, report=report, stopped=stopped)
    else:
        bundle = install(Path(source), replace=replace, report=report, stopped=stopped)
    if not bundle.weights_path.is_file():  # only its manifest came, with the address of the rest
        bundle = download_weights(bundle.folder, report=report, stopped=stopped)
    return bundle


class _Line:
    """How far it is, on standard error: one line that changes on a terminal, else one per stage."""

    def __init__(self) -> None:
        self._stage, self._shown = "", ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            said = f"{WORDS[stage]} {megabytes(done)}" + (f" of {megabytes(total)}" if total else "")
            if said != self._shown:
                print(f"\r{said}\x1b[K", end="", file=sys.stderr, flush=True)
                self._shown = said
        elif stage != self._stage:
            print(f"{WORDS[stage]} {megabytes(total) if total else ''}".rstrip(), file=sys.stderr, flush=True)
        self._stage = stage

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
            self._shown = ""
