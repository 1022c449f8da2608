"""What the application and the process that fetches bundles for it say to each other: JSON, one object a line."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal, get_args

from EfficientSegLib.errors import OptionError, ProtocolError
from EfficientSegLib.options import read_options
from EfficientSegLib.protocol import MARK, Failed


@dataclass(frozen=True)
class Task:
    """What is to be done."""

    do: Literal["install", "download", "weights", "look"]
    source: str  # install: folder or file; download and look: address; weights: folder of the manifest
    replace: bool = False
    home: str = ""  # the user's folder; "": the platform's


@dataclass(frozen=True)
class Moving:
    """How far it is."""

    stage: str  # download, check, unpack
    done: int  # bytes
    total: int  # 0: not known


@dataclass(frozen=True)
class Offered:
    """What an address has; the answer to `look`."""

    host: str
    size: int | None  # bytes


@dataclass(frozen=True)
class Kept:
    """The bundle lies in this folder now."""

    folder: str
    title: str


@dataclass(frozen=True)
class Taken:
    """There is a bundle of this name and version already; nothing was changed."""

    what: str


Event = Moving | Offered | Kept | Taken | Failed
EVENTS = {kind.__name__: kind for kind in get_args(Event)}


def encode(event: Event) -> str:
    """One line without its end."""
    return MARK + json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)})


def decode(line: str) -> Event | None:
    """The event in a line; None for whatever else a library prints."""
    if not line.startswith(MARK):
        return None
    try:
        content = json.loads(line[len(MARK) :])
        kind = EVENTS[content.pop("event")]
        return read_options(kind, content)
    except (ValueError, KeyError, AttributeError, OptionError):
        return None


def encode_task(task: Task) -> str:
    """One line without its end."""
    return json.dumps(dataclasses.asdict(task))


def decode_task(line: str) -> Task:
    """The task in a line.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return read_options(Task, json.loads(line))
    except (ValueError, OptionError) as error:
        raise ProtocolError(
            f"The task {line[:200]!r} cannot be understood.", why=f"{error}", mend="Restart Slicer and try again."
        ) from error
