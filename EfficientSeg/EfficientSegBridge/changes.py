"""What refinement changed, voxel by voxel, small enough to be saved with a scene: so that going back to the coarse
labels at one place is possible later, and so that nothing is touched that somebody has edited since.

Only voxels whose label changed are kept: their distances from one to the next, their coarse and their refined label,
compressed.
"""

import base64
import binascii
import zlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from EfficientSegBridge.translation import _
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, PatchBox

LARGEST_TEXT = 8_000_000  # characters in the scene; above it only the places of the review list are kept, or nothing
SLAB = 2_000_000  # voxels compared in one step: about 5 ms
PIECE = 1 << 19  # bytes packed in one step
LEVEL = 3  # of zlib: nearly as small as 9, several times faster


@dataclass(frozen=True)
class Changes:
    """Voxels whose label differs between the coarse and the refined labels."""

    shape: Index  # of the volume, I J K
    slowest: int  # axis of which `index` grows last: 0 counts (i * J + j) * K + k, 2 counts (k * J + j) * I + i
    index: np.ndarray  # (N,) int64, ascending
    coarse: np.ndarray  # (N,) label values before refinement
    refined: np.ndarray  # (N,) and after it

    def inside(self, box: PatchBox, value: int | None = None) -> "Changes":
        """Those inside a box; with `value` only those that gained or lost this label."""
        plane = self._counts()[1] * self._counts()[2]
        ends = [box.start[self.slowest] * plane, box.stop[self.slowest] * plane]
        near = self.only(slice(*np.searchsorted(self.index, ends)))
        chosen = np.ones(near.index.size, bool)
        for position, start, stop in zip(near.positions(), box.start, box.stop):
            chosen &= (position >= start) & (position < stop)
        if value is not None:
            chosen &= (near.coarse == value) | (near.refined == value)
        return near.only(chosen)

    def only(self, chosen: np.ndarray | slice) -> "Changes":
        return Changes(self.shape, self.slowest, self.index[chosen], self.coarse[chosen], self.refined[chosen])

    def positions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """I, J and K of each voxel."""
        rest, last = np.divmod(self.index, self._counts()[2])
        first, middle = np.divmod(rest, self._counts()[1])
        return (first, middle, last) if self.slowest == 0 else (last, middle, first)

    def reversed(self) -> "Changes":
        """The way back."""
        return Changes(self.shape, self.slowest, self.index, self.refined, self.coarse)

    def _counts(self) -> Index:
        """Voxels per axis, slowest first."""
        return self.shape if self.slowest == 0 else self.shape[::-1]


def between(coarse: np.ndarray, refined: np.ndarray) -> Generator[None, None, Changes]:
    """All changes, found slab by slab, one per step.

    Args:
        coarse, refined: label values, (I, J, K) each; taken in the order in which they lie in memory, since turning
            them round would take 6 s for 512 x 512 x 400 voxels instead of 0.2 s.
    """
    slowest = 0 if refined.flags.c_contiguous else 2
    before, after = (coarse, refined) if slowest == 0 else (coarse.T, refined.T)
    plane = before[0].size
    step = max(SLAB // plane, 1)
    found = []
    for start in range(0, before.shape[0], step):
        old, new = before[start : start + step].ravel(), after[start : start + step].ravel()
        places = np.flatnonzero(old != new)
        found.append((places + start * plane, old[places], new[places]))
        yield
    index, old, new = (np.concatenate(parts) for parts in zip(*found))
    return Changes(coarse.shape, slowest, index.astype(np.int64), old, new)


def toJson(
    changes: Changes, boxes: Sequence[PatchBox], largest: int = LARGEST_TEXT
) -> Generator[None, None, dict[str, Any]]:
    """A JSON object of at most about `largest` characters, packed piece by piece, one per step.

    `kept` says what is in it: "all"; "places" where only the voxels inside `boxes` found room; "none" where not even
    these did.
    """
    text = yield from _packed(changes)
    if len(text) <= largest:
        return _content("all", changes, text)
    chosen = np.zeros(changes.index.size, bool)
    positions = changes.positions()
    for box in boxes:
        inside = [(p >= a) & (p < b) for p, a, b in zip(positions, box.start, box.stop)]
        chosen |= inside[0] & inside[1] & inside[2]
        yield
    fewer = changes.only(chosen)
    text = yield from _packed(fewer)
    if len(text) <= largest:
        return _content("places", fewer, text)
    return _content("none", changes.only(np.zeros(changes.index.size, bool)), "")


def fromJson(content: Mapping[str, Any]) -> Changes:
    """Changes from `toJson`.

    Raises:
        OptionError: the text is damaged.
    """
    try:
        shape = tuple(int(length) for length in content["shape"])
        count, slowest = int(content["count"]), {0: 0, 2: 2}[content["slowest"]]
        raw = zlib.decompress(base64.b64decode(content["data"], validate=True)) if content["data"] else b""
        step, value = (np.dtype(content[kind]) for kind in ("steps", "values"))
        if len(raw) != count * (step.itemsize + 2 * value.itemsize) or len(shape) != 3:
            raise ValueError("its length is wrong")
        steps = np.frombuffer(raw, step, count)
        coarse = np.frombuffer(raw, value, count, count * step.itemsize)
        refined = np.frombuffer(raw, value, count, count * (step.itemsize + value.itemsize))
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise OptionError(
            _("The coarse labels of this scene cannot be read."),
            why=f"{error}.",
            mend=_("Segment again to be able to go back to the coarse labels."),
        ) from error
    return Changes(shape, slowest, np.cumsum(steps, dtype=np.int64), coarse, refined)


def _packed(changes: Changes) -> Generator[None, None, str]:
    if not changes.index.size:
        return ""
    packer = zlib.compressobj(LEVEL)
    packed = []
    columns = (
        np.diff(changes.index, prepend=0).astype(_stepType(changes)),
        changes.coarse.astype(_valueType(changes)),
        changes.refined.astype(_valueType(changes)),
    )
    for column in columns:
        raw = column.tobytes()
        for start in range(0, len(raw), PIECE):
            packed.append(packer.compress(raw[start : start + PIECE]))
            yield
    packed.append(packer.flush())
    return base64.b64encode(b"".join(packed)).decode("ascii")


def _stepType(changes: Changes) -> np.dtype:
    largest = np.diff(changes.index, prepend=0).max(initial=0)
    return np.dtype("<u2" if largest < 1 << 16 else "<u4" if largest < 1 << 32 else "<u8")


def _valueType(changes: Changes) -> np.dtype:
    largest = max(changes.coarse.max(initial=0), changes.refined.max(initial=0))
    return np.dtype("u1" if largest < 256 else "<u2")


def _content(kept: str, changes: Changes, text: str) -> dict[str, Any]:
    return {
        "kept": kept,
        "shape": list(changes.shape),
        "slowest": changes.slowest,
        "count": int(changes.index.size),
        "steps": _stepType(changes).str,
        "values": _valueType(changes).str,
        "data": text,
    }
