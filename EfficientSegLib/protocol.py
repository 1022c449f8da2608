"""The messages between the application and the worker.

A request is one JSON object on one line. An event is one line with a mark in front, so that whatever else a library
prints is simply log text. A newer field may be added; a changed meaning raises `PROTOCOL`.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from EfficientSegLib.errors import OptionError, ProtocolError
from EfficientSegLib.geometry import PatchBox, ScoredBox
from EfficientSegLib.options import read_options
from EfficientSegLib.reviewed import PatchChange as PatchChange  # a part of the protocol, in a file of its own
from EfficientSegLib.reviewed import Place as Place
from EfficientSegLib.reviewed import Reviewed
from EfficientSegLib.reviewed import SegmentRefinement as SegmentRefinement

PROTOCOL = 1
MARK = "@EfficientSeg "


@dataclass(frozen=True)
class Request:
    """One volume to segment."""

    input: str  # image file, or a folder with one DICOM series
    output_dir: str  # everything the worker writes lies here
    bundle: str  # the bundle's folder
    strategy: str | None = None  # None: the bundle's
    options: dict[str, Any] = field(default_factory=dict)  # replace the bundle's strategy options one by one
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int | None = None  # None: all cores but one
    save_segmentation: bool = True  # also write segmentation.seg.nrrd (compressed); the panel does not need it
    cancel_file: str | None = None  # once this file exists, the worker ends after the patch in hand
    parent_pid: int | None = None  # the worker ends itself when this process is gone
    continue_from: str = ""  # `run_id` of this worker's last run: read only what it has not read; see `Finished`
    temporary: bool = False  # output_dir is the parent's scratch folder: removed if the parent is gone
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the hardware has it and the bundle bears it
    backend: Literal["torch", "openvino"] = "torch"  # openvino: an optional package, on the CPU
    keep: bool = False  # keep what was read for `continue_from` of a later request: up to memory_mb, and the volume
    first: tuple[PatchBox, ...] = ()  # of the input volume: patches that touch them are read first, beside the budget
    only_first: bool = False  # besides what was read before, read nothing but these
    structures: tuple[int, ...] = ()  # label values: patches that touch them in the coarse labels come next
    region: PatchBox | None = None  # of the input volume: only patches that touch it; outside it labels are 0
    files: tuple[str, ...] = ()  # where input is a folder: only these, relative to it: one DICOM series of several
    overlapping: bool = False  # segments may share voxels in the segmentation file; needs independent outputs
    tokens: bool = False  # also tell where the network stopped looking closely; see `Tokens`
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Measure:
    """Asks how fast each device of this machine is; answered by Measured, and by Finished without files or Failed."""

    bundle: str  # the bundle's folder: its network reads the patches
    threads: int | None = None  # None: all cores but one
    cancel_file: str | None = None  # once this file exists, no further patch is read
    measure: bool = True
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Shutdown:
    """Asks a warm worker to end; sent instead of a request."""

    shutdown: bool = True


@dataclass(frozen=True)
class Ready:
    """The worker listens; sent once, before any request is read."""

    pid: int
    version: str


@dataclass(frozen=True)
class Started:
    """A request was accepted; `device` and `precision` are those really used.

    Sent again, behind a warning that says why, where the memory of a device did not suffice: it is another one now.
    """

    pid: int
    device: str
    threads: int
    precision: str = "fp32"


@dataclass(frozen=True)
class Heartbeat:
    """The worker lives; at least every two seconds during a run."""

    memory_mb: float


@dataclass(frozen=True)
class Progress:
    """How far a stage is. Stages: read, prepare, load, coarse, patches, restore, review, write; extent and slices where
    slices are read: extent is a first pass that finds where the structures begin and end."""

    stage: str
    fraction: float  # of the whole run, 0 to 1
    done: int = 0  # of this stage, for example patches read
    total: int = 0
    seconds_left: float | None = None  # once a patch was timed


@dataclass(frozen=True)
class Patches:
    """The chosen patches in voxels of the input volume, best first; sent before the first is read."""

    boxes: tuple[ScoredBox, ...]
    candidates: int  # of how many they were chosen


@dataclass(frozen=True)
class ClassWeights:
    """How far each label trusts the patches, 0 to 1, by label value."""

    weights: dict[str, float]


@dataclass(frozen=True)
class Partial:
    """Labels so far: a .npy array (I, J, K) for one box of the input volume. The first covers all of it."""

    labels: str
    box: PatchBox
    patches_read: int
    patches_total: int


@dataclass(frozen=True)
class Pace:
    """What this run takes: `base_seconds` + n * `patch_seconds` for n patches that are not read yet.

    Sent once the first patch was timed, after the third, and at the end. In a run that goes on, the base is what going
    on costs; where no patch was left to read, `patch_seconds` is 0.
    """

    base_seconds: float  # all but the patches: from the request to `Finished`, the end of it estimated at first
    patch_seconds: float  # one patch, its share of labels on the way included
    candidates: int  # patches that could be read in all


@dataclass(frozen=True)
class Tokens:
    """Where a network of tokens stopped computing them: a .npy array (I, J, K), uint8, of the whole input volume.

    0: not read by such a network; 1 to `stages`: dropped at this stage; `stages` + 1: kept to the end. Where patches
    overlap, the deepest. Sent once before `Finished`, where it was asked for and the network has tokens.
    """

    depths: str
    stages: int


@dataclass(frozen=True)
class Warned:
    """Something the user should know that does not stop the run."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The run ended well. `complete` is False after Cancel; what was done is in the files all the same."""

    labels: str  # .npy array (I, J, K) of the whole input volume
    segmentation: str  # .seg.nrrd with names, colours and terminology, or ""
    record: str  # run record, JSON
    seconds: float
    peak_memory_mb: float
    complete: bool
    patches_read: int
    patches_total: int
    run_id: str = ""  # what a later request of more patches can go on from; "": nothing was kept (`Request.keep`)
    unit: str = "patches"  # what was read and is counted: "patches", or "slices"


@dataclass(frozen=True)
class DeviceSpeed:
    """How fast a device reads patches, or why it cannot."""

    device: str  # cpu, cuda or mps
    title: str  # what its maker calls it
    seconds: float | None = None  # for one patch, or one slice of a model of slices; None: it does not work
    unit: str = "patch"
    precision: str = "fp32"
    trouble: str = ""


@dataclass(frozen=True)
class Measured:
    """The devices of this machine, the fastest first, those that do not work last."""

    devices: tuple[DeviceSpeed, ...]


@dataclass(frozen=True)
class Failed:
    """The run ended without a result."""

    what: str
    why: str
    mend: str
    cancelled: bool = False  # no mistake: stopped on request, before there was anything to keep


Event = (
    Ready
    | Started
    | Heartbeat
    | Progress
    | Patches
    | ClassWeights
    | Partial
    | Pace
    | Reviewed
    | Tokens
    | Warned
    | Measured
    | Finished
    | Failed
)
EVENTS = {kind.__name__: kind for kind in get_args(Event)}


def encode(event: Event) -> str:
    """One line without its end."""
    return MARK + json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)})


def decode(line: str) -> Event | None:
    """The event in a line; None for log text and for events of a newer worker.

    Raises:
        ProtocolError: the line has the mark, yet holds no valid event.
    """
    if not line.startswith(MARK):
        return None
    try:
        content = json.loads(line[len(MARK) :])
        kind = EVENTS.get(content.pop("event"))
        if kind is None:
            return None
        known = {item.name for item in dataclasses.fields(kind)}
        return read_options(kind, {name: value for name, value in content.items() if name in known})
    except (ValueError, KeyError, AttributeError, TypeError, OptionError) as error:
        raise ProtocolError(
            f"The worker said {line[:200]!r}.",
            why="That is no valid event.",
            mend="Look at the log; if it happens again, restart Slicer and report it.",
        ) from error


def encode_request(request: Request | Measure | Shutdown) -> str:
    """One line without its end."""
    return json.dumps(dataclasses.asdict(request))


def decode_request(line: str) -> Request | Measure | Shutdown:
    """The request in a line.

    Raises:
        ProtocolError: it is not JSON, of another protocol, or has unknown or wrong fields.
    """
    try:
        content = json.loads(line)
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise ProtocolError(
            f"The request {line[:200]!r} is not a JSON object.", why=f"{error}.", mend="Send one JSON object per line."
        ) from error
    if content.get("shutdown") is True:
        return Shutdown()
    if content.get("protocol", PROTOCOL) != PROTOCOL:
        raise ProtocolError(
            f"The request speaks protocol {content['protocol']!r}.",
            why=f"This worker speaks {PROTOCOL}.",
            mend="Restart Slicer, so that the panel and the worker are of one version.",
        )
    try:
        return read_options(Measure if content.get("measure") is True else Request, content)
    except OptionError as error:
        raise ProtocolError(f"The request is wrong: {error.what}", why=error.why, mend=error.mend) from error
