"""Bundles and weights from an address; only where somebody has asked for exactly this."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urldefrag

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Bundle, checksum
from EfficientSegLib.errors import BundleError, DownloadError
from EfficientSegLib.store import keeping
from EfficientSegLib.store.fetching import fetch, forget, part_name, remember_whole
from EfficientSegLib.store.gather import gather
from EfficientSegLib.store.home import disk_in_words, staging, user_folder, workshop
from EfficientSegLib.store.network_words import host
from EfficientSegLib.store.progress import Report, Watch


def download_bundle(
    url: str,
    home: Path | None = None,
    *,
    replace: bool = False,
    report: Report | None = None,
    stopped: Callable[[], bool] | None = None,
    **patience: float,
) -> Bundle:
    """Fetch a .zip with a bundle and install it.

    Args:
        url: of http or https; "#sha256=..." at its end is compared with what came.
        home, replace, report, stopped: as for `keeping.install`; a further stage is "download".
        patience: `timeout` and `pause_seconds` of `fetch`.

    Raises:
        DownloadError: it could not be fetched, or its checksum is another; what came of it stays, to go on from.
        BundleError, StoreStopped: as `keeping.install`.
    """
    home = home or user_folder()
    with disk_in_words(home / "download"):
        part = workshop(home) / part_name(url)
        fetch(url, part, Watch(report, stopped), **patience)
        wanted = parse_qs(urldefrag(url).fragment).get("sha256", [""])[0].lower()
        if wanted:
            _compare(part, wanted, url)
        whole = part.with_name(part.stem + ".zip")
        os.replace(part, whole)
        forget(part)
    try:
        bundle = keeping.install(whole, home, replace=replace, report=report, stopped=stopped)
    except keeping.AlreadyThereError:
        os.replace(whole, part)  # asked whether to replace, the user need not fetch it twice
        remember_whole(part, url)
        raise
    except BundleError as error:
        whole.unlink(missing_ok=True)
        said = error.what.replace(whole.name, f"What {host(url)} has sent")
        raise BundleError(said, why=error.why, mend=error.mend) from error
    whole.unlink(missing_ok=True)
    return bundle


def download_weights(
    folder: str | os.PathLike,
    home: Path | None = None,
    *,
    report: Report | None = None,
    stopped: Callable[[], bool] | None = None,
    **patience: float,
) -> Bundle:
    """Fetch the weights that a manifest names by address, and compare them with its checksum.

    They go beside the manifest where it lies in the user's folder; else the bundle is copied there.

    Args:
        folder: with bundle.json.
        home, report, stopped, patience: as for `download_bundle`.

    Raises:
        DownloadError, BundleError, StoreStopped: as `download_bundle`; or the manifest names no address.
    """
    folder, home, watch = Path(folder), home or user_folder(), Watch(report, stopped)
    bundle = bundles.load(folder, needs_weights=False)
    url = bundle.weights.url
    if not url:
        raise BundleError(
            f"Bundle {bundle.name!r} names no address of its weights.",
            why="Its author gives them in another way.",
            mend="Get the whole bundle from its author.",
        )
    with disk_in_words(home / bundle.weights.file):
        part = workshop(home) / part_name(url)
        fetch(url, part, watch, **patience)
        watch.begin("check", part.stat().st_size)
        _compare(part, bundle.weights.sha256, url)
        if keeping.is_users(folder, home):
            os.replace(part, bundle.weights_path)
            forget(part)
            return bundles.load(folder)
        with staging(home) as stage:
            copied = gather(folder / bundles.MANIFEST, stage, watch)
            os.replace(part, copied.weights_path)
            forget(part)
            return keeping.keep(stage, copied, home, True, watch)


def _compare(part: Path, wanted: str, url: str) -> None:
    found = checksum(part)
    if found != wanted.lower():
        forget(part)
        raise DownloadError(
            f"What {host(url)} has sent has checksum {found[:12]}….",
            why=f"{wanted[:12]}… was expected: it is another file, or it was changed on the way. It was removed.",
            mend="Download it again; if it happens twice, ask the bundle's author.",
        )
