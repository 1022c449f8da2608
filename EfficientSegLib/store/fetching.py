"""One file from an address: goes on where a connection broke, now or days later.

urllib's own defaults hold: proxies and certificates of the system. Nothing is asked for but what is called for here.
"""

import hashlib
import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from EfficientSegLib import __version__
from EfficientSegLib.errors import DownloadError
from EfficientSegLib.store.home import refuse_without_room
from EfficientSegLib.store.network_words import explain, host
from EfficientSegLib.store.progress import BLOCK, Watch

BREAKS = 5  # so often a broken connection is taken up again
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Offer:
    """What an address has."""

    host: str
    size: int | None  # bytes; None: it does not say


@dataclass(frozen=True)
class _Known:
    """What is known of a part on the disk, kept beside it."""

    url: str
    validator: str = ""  # ETag or date: the rest must be of the same file
    total: int = 0  # 0: not known


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to other addresses, never from https down to something that can be listened to."""

    def redirect_request(self, request, file, code, message, headers, new_url):
        if request.type == "https" and urlsplit(new_url).scheme != "https":
            raise urllib.error.URLError(ConnectionError(f"{host(request.full_url)} points to an open connection"))
        new = super().redirect_request(request, file, code, message, headers, new_url)
        if new is not None and request.get_method() == "HEAD":
            new.method = "HEAD"
        return new


def check_address(url: str) -> None:
    """Raises DownloadError where the address is none of http or https."""
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname
    except ValueError:
        wrong = True
    if wrong:
        raise DownloadError(
            f"{url!r} is no address of a file.",
            why="It begins with https:// or http:// and names a computer.",
            mend="Copy the whole address.",
        )


def look(url: str, timeout: float = TIMEOUT_SECONDS) -> Offer:
    """Ask how large a file is, without fetching it.

    Raises:
        DownloadError: it cannot be had.
    """
    check_address(url)
    try:
        with _open(url, {}, timeout, "HEAD") as response:
            return Offer(host(url), _length(response))
    except urllib.error.HTTPError as error:
        if error.code in (405, 501):  # it knows no HEAD
            return Offer(host(url), None)
        raise explain(url, error) from error
    except (OSError, http.client.HTTPException) as error:
        raise explain(url, error) from error


def part_name(url: str) -> str:
    """Under which name a download of this address lies until it is whole."""
    return hashlib.sha256(urldefrag(url).url.encode()).hexdigest()[:20] + ".part"


def fetch(
    url: str, part: Path, watch: Watch, *, timeout: float = TIMEOUT_SECONDS, pause_seconds: float = PAUSE_SECONDS
) -> None:
    """Fetch a file into `part`; what is there of it already is not fetched again.

    Args:
        url: of http or https.
        part: stays where it is when the download ends early.
        watch: told the bytes; may stop it.
        timeout: seconds of silence that are borne.
        pause_seconds: before a broken connection is taken up again, longer each time.

    Raises:
        DownloadError: it cannot be had, or broke too often.
        BundleError: the disk has no room for it.
        StoreStopped: `watch` said so.
        OSError: the disk does not take it.
    """
    check_address(url)
    breaks = 0
    while True:
        try:
            _go_on(url, part, watch, timeout)
            return
        except urllib.error.HTTPError as error:
            if error.code != 416 or not part.exists():
                raise explain(url, error) from error
            part.unlink()  # what is there is more than the file has by now
        except _BrokenError as error:
            breaks += 1
            if breaks > BREAKS or not part.exists() or _is_lasting(error.cause):
                raise explain(url, error.cause) from error.cause
            time.sleep(pause_seconds * breaks)


class _BrokenError(Exception):
    """The connection ended before the file did."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


def _is_lasting(error: Exception) -> bool:
    """Whether trying again at once is of no use."""
    cause = getattr(error, "reason", error)
    return isinstance(cause, (ssl.SSLError, socket.gaierror, ConnectionRefusedError))


def _go_on(url: str, part: Path, watch: Watch, timeout: float) -> None:
    known = _read_known(part, url)
    have = part.stat().st_size if known is not None else 0
    if known is not None and known.total and have == known.total:
        watch.begin("download", known.total, have)
        return
    headers = {}
    if have:
        headers["Range"] = f"bytes={have}-"
        if known.validator:
            headers["If-Range"] = known.validator
    try:
        opened = _open(url, headers, timeout)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(error) from error
    with opened as response:
        goes_on = response.status == 206 and _begin(response) == have
        if response.status == 206 and not goes_on:
            part.unlink(missing_ok=True)
            raise _BrokenError(ConnectionError("it sends another part than was asked for"))
        have = have if goes_on else 0
        length = _length(response)
        total = have + length if length is not None else 0
        refuse_without_room(part.parent, (length or 0), "The download")
        with open(part, "ab" if goes_on else "wb") as file:
            _write_known(part, _Known(url, _validator(response), total))
            watch.begin("download", total, have)
            have += _receive(response, file, watch)
    if total and have < total:
        raise _BrokenError(ConnectionError(f"it ended after {have} of {total} bytes"))


def _receive(response, file, watch: Watch) -> int:
    received = 0
    while True:
        try:
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError(error) from error
        if not block:
            return received
        file.write(block)
        received += len(block)
        watch.add(len(block))


def _open(url: str, headers: dict[str, str], timeout: float, method: str = "GET"):
    request = urllib.request.Request(urldefrag(url).url, headers=headers, method=method)
    request.add_header("User-Agent", f"EfficientSeg/{__version__}")
    request.add_header("Accept-Encoding", "identity")  # packed on the way, its bytes could not be counted
    return urllib.request.build_opener(_Redirects).open(request, timeout=timeout)


def _length(response) -> int | None:
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isdigit() else None


def _begin(response) -> int:
    """The first byte that a partial answer brings; -1 where it does not say."""
    said = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(said) if said.isdigit() else -1


def _validator(response) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _known_path(part: Path) -> Path:
    return part.with_suffix(".json")


def _read_known(part: Path, url: str) -> _Known | None:
    """What is known of a part; None where there is none of this address."""
    try:
        known = _Known(**json.loads(_known_path(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return known if part.is_file() and known.url == url else None


def _write_known(part: Path, known: _Known) -> None:
    _known_path(part).write_text(json.dumps(vars(known)), encoding="utf-8")


def forget(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    _known_path(part).unlink(missing_ok=True)


def remember_whole(part: Path, url: str) -> None:
    """Say that a part is the whole file, so that `fetch` need not ask for it again."""
    _write_known(part, _Known(url, "", part.stat().st_size))
