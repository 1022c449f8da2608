"""Why something could not be fetched, in words that help in a hospital's network."""

import socket
import ssl
import urllib.error
from urllib.parse import urlsplit

from EfficientSegLib.errors import DownloadError

OTHER_WAY = "Or fetch the file on another computer and add it from the file."


def host(url: str) -> str:
    """The computer that an address names."""
    return urlsplit(url).hostname or url


def explain(url: str, error: Exception) -> DownloadError:
    """A DownloadError for what urllib or http.client has raised."""
    if isinstance(error, urllib.error.HTTPError):
        return _status(url, error.code, str(error.reason))
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, Exception) else error
    name = host(url)
    if isinstance(cause, ssl.SSLCertVerificationError):
        said = getattr(cause, "verify_message", "") or cause
        return DownloadError(
            f"The certificate of {name} is not trusted.",
            why=f"{said}. A proxy that looks into the traffic gives certificates of its own.",
            mend="Let the SSL_CERT_FILE of the environment name your institution's certificates. " + OTHER_WAY,
        )
    if isinstance(cause, ssl.SSLError):
        return DownloadError(
            f"No secure connection to {name} could be made.",
            why=f"{getattr(cause, 'reason', None) or cause}.",
            mend="Try again later, or ask your network's administrator. " + OTHER_WAY,
        )
    if isinstance(cause, socket.gaierror):
        return DownloadError(
            f"{name} cannot be found.",
            why="There is no network, or it does not know this name.",
            mend="Check the connection, and https_proxy if you are behind a proxy. " + OTHER_WAY,
        )
    if isinstance(cause, (TimeoutError, socket.timeout)):
        return DownloadError(
            f"{name} does not answer.",
            why="It was silent for too long.",
            mend="Try again: a download goes on from where it was. " + OTHER_WAY,
        )
    if isinstance(cause, ConnectionRefusedError):
        return DownloadError(
            f"{name} refuses the connection.",
            why="Nothing listens there, or a firewall is between.",
            mend="Check the address, and https_proxy if you are behind a proxy. " + OTHER_WAY,
        )
    return DownloadError(
        f"The connection to {name} broke.",
        why=f"{cause or type(cause).__name__}.",
        mend="Try again: the download goes on from where it was. " + OTHER_WAY,
    )


def _status(url: str, code: int, reason: str) -> DownloadError:
    name = host(url)
    if code in (404, 410):
        return DownloadError(
            f"{name} has no such file.", why=f"{url} gives {code} ({reason}).", mend="Ask the author for its address."
        )
    if code in (401, 403):
        return DownloadError(
            f"{name} does not give this file to everyone.",
            why=f"{url} gives {code} ({reason}).",
            mend="Fetch it in a browser where you are signed in, and add it from the file.",
        )
    if code == 407:
        return DownloadError(
            "The proxy wants a name and a password.",
            why=f"It gives {code} ({reason}).",
            mend="Put them into https_proxy of the environment. " + OTHER_WAY,
        )
    return DownloadError(
        f"{name} cannot give the file now.", why=f"It gives {code} ({reason}).", mend="Try again later. " + OTHER_WAY
    )
