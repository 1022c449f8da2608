"""Where a case's result lies, whether it was made before, and how a new one takes its place."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.files import replacing
from EfficientSegLib.protocol import Request
from EfficientSegLib.studies.case import Case, Entry

SEGMENTATION, LABEL_MAP = ".seg.nrrd", ".seg.nii.gz"
ENDINGS = {"seg.nrrd": SEGMENTATION, "nii.gz": LABEL_MAP}
TOKENS = {SEGMENTATION: ".tokens.nrrd", LABEL_MAP: ".tokens.nii.gz"}  # of the map of dropped tokens beside a result
RECORD = ".run.json"
# Of a manifest, what changes no voxel of a result.
WORDS_ONLY = ("title", "description", "provenance", "licence", "reduced_precision")


def asked(bundle: Bundle, request: Request, ending: str) -> dict[str, Any]:
    """What decides a result: two runs on one scan with equal answers here give equal labels."""
    strategy = bundle.run_strategy(request.strategy, request.options)
    manifest = {key: value for key, value in bundle.to_json().items() if key not in WORDS_ONLY}
    manifest["weights"] = {"sha256": bundle.weights.sha256}
    options = {**strategy.options}
    options.pop("clip_top_k", None)  # whether too large a number is refused; a result it does not change
    wished = {
        "bundle": f"{bundle.name} {bundle.version}",
        "manifest_sha256": hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
        "strategy": strategy.name,
        "options": options,
        "structures": request.structures,
        "overlapping": request.overlapping,
        "precision": request.precision,
        "backend": request.backend,
        "ending": ending,
    }
    return json.loads(json.dumps(wished))  # as it comes back from a file: lists, no tuples


def fingerprint(case: Case) -> dict[str, Any]:
    """What tells a scan from another without reading it: bytes, newest change and number of its files.

    Raises:
        VolumeError: one of them is not there.
    """
    found = []
    for path in [Path(case.input) / name for name in case.files] or [Path(case.input)]:
        try:
            found.append(path.stat())
        except OSError as error:
            raise VolumeError(
                f"{path} cannot be opened.", why=f"{error.strerror}.", mend="Check the path, its drive and its links."
            ) from error
    newest = max(item.st_mtime_ns for item in found)
    return {"files": len(found), "bytes": sum(item.st_size for item in found), "changed_ns": newest}


@dataclass(frozen=True)
class Place:
    """Where the result of one case lies."""

    folder: Path  # the queue's output folder
    case: Case
    ending: str = SEGMENTATION
    tokens: bool = False  # a map of dropped tokens belongs to the result

    @property
    def result(self) -> Path:
        return self.folder / f"{self.case.name}{self.ending}"

    @property
    def token_map(self) -> Path:
        return self.folder / f"{self.case.name}{TOKENS[self.ending]}"

    @property
    def record(self) -> Path:
        return self.folder / f"{self.case.name}{RECORD}"

    def read_record(self) -> dict[str, Any]:
        """The record of the result that is here; {} where there is none, or none that a queue has written."""
        try:
            content = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) and isinstance(content.get("queue"), dict) else {}

    def done_before(self, wished: dict[str, Any]) -> Entry | None:
        """The entry of the result that is here, if it is whole, of this very scan, and asked for in the same way."""
        record = self.read_record()
        known = record.get("queue", {})
        if not record.get("complete") or known.get("asked") != wished or not _is_there(self.result, known):
            return None
        if self.tokens and not _is_there(self.token_map, known.get("tokens", {})):
            return None
        try:
            if known.get("scan") != fingerprint(self.case):
                return None
        except VolumeError:
            return None  # running it will say so
        return self.entry(record)

    def entry(self, record: dict[str, Any]) -> Entry:
        """The row of a result with this record."""
        return Entry(
            case=self.case.name,
            input=self.case.input,
            state="done" if record["complete"] else "stopped",
            seconds=record["seconds"]["total"],
            volumes_ml=dict(record["volumes_ml"]),
            warnings=tuple(record["warnings"]),
            machine=record["queue"].get("machine", ""),
        )

    def check_free(self) -> None:
        """Refuse to replace what this queue has not made: other people's work, or work done on its result.

        Raises:
            VolumeError: something else lies in the place of the result, or of the map that belongs to it.
        """
        known = self.read_record().get("queue", {})
        places = {self.result: known, **({self.token_map: known.get("tokens", {})} if self.tokens else {})}
        for path, note in places.items():
            if not path.exists() and not path.is_symlink():
                continue
            _check_own(path, note)
            if known.get("input") != self.case.input and known.get("scan") != fingerprint(self.case):
                raise VolumeError(
                    f"{path} belongs to another scan, {known.get('input')}.",
                    why="Two folders of scans have this name in common, and one result would replace the other.",
                    mend="Choose another output folder for this one.",
                )

    def hand_over(
        self, made: Path, record: Path, wished: dict[str, Any], machine: str = "", tokens: Path | None = None
    ) -> Entry:
        """Move a new result here. Whatever happens on the way, the older one or the new one is whole.

        Args:
            made: the segmentation or label map, on any disk.
            record: the run's record, as the pipeline wrote it.
            wished: from `asked`.
            machine: where it was made, if not here.
            tokens: the map of dropped tokens, on any disk; without one, an older result's map goes with that result.

        Raises:
            VolumeError: it cannot be written.
        """
        content = json.loads(record.read_text(encoding="utf-8"))
        older = self.read_record().get("queue", {}).get("tokens", {})
        is_stale = tokens is None and _is_own(self.token_map, older)
        content["input"].update({"files": list(self.case.files), "title": self.case.title})
        content["queue"] = {
            "case": self.case.name,
            "input": self.case.input,
            "scan": fingerprint(self.case),
            "asked": wished,
            **_note(self.result, made),
            "machine": machine,
        }
        if tokens is not None or is_stale:
            content["queue"]["tokens"] = _note(self.token_map, tokens)
        if tokens is not None:
            content["tokens"]["file"] = str(self.token_map)
        # First the record, which knows both: a process that dies in between leaves nothing that nobody has made.
        with replacing(self.record) as part:
            part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if tokens is not None:
            with replacing(self.token_map) as part:
                _move(tokens, part)
        with replacing(self.result) as part:
            _move(made, part)
        if is_stale:
            self.token_map.unlink(missing_ok=True)
        return self.entry(content)


def _note(place: Path, made: Path | None) -> dict[str, str]:
    """What a record keeps of a file that is about to come to `place`; None: none does, and the older one goes."""
    return {
        "result": place.name,
        "result_sha256": bundles.checksum(made) if made else "",
        "replaces": bundles.checksum(place) if place.is_file() else "",
    }


def _is_there(path: Path, note: dict[str, str]) -> bool:
    """Whether the file of a note lies here; corrected by hand it does."""
    if not note.get("result_sha256") or not path.is_file():
        return False
    older, found = note.get("replaces"), bundles.checksum(path)
    # The older one: a process died after the record was written and before this one came. A new one may equal it.
    return found != older or found == note["result_sha256"]


def _is_own(path: Path, note: dict[str, str]) -> bool:
    """Whether this is the file of a note, or the one that it replaces, as it was made."""
    known = (note.get("result_sha256"), note.get("replaces"))
    return note.get("result") == path.name and path.is_file() and bundles.checksum(path) in known


def _check_own(path: Path, note: dict[str, str]) -> None:
    if note.get("result") != path.name:
        raise VolumeError(
            f"{path} is there, and was not made by this queue.",
            why="It may be somebody's work, and would be lost.",
            mend="Move it away, or choose another output folder.",
        )
    if not _is_own(path, note):
        raise VolumeError(
            f"{path} was changed after it was made.",
            why="Corrections by hand would be lost.",
            mend="Move it away to have it made again, or choose another output folder.",
        )


def _move(made: Path, place: Path) -> None:
    try:
        os.replace(made, place)
    except OSError:
        shutil.copyfile(made, place)  # another disk
