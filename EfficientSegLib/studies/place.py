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
RECORD = ".run.json"
# Of a manifest, what changes no voxel of a result.
WORDS_ONLY = ("title", "description", "provenance", "licence", "reduced_precision")


def asked(bundle: Bundle, request: Request, ending: str) -> dict[str, Any]:
    """What decides a result: two runs on one scan with equal answers here give equal labels."""
    name = request.strategy or bundle.strategy.name
    own = bundle.strategy.options if name == bundle.strategy.name else {}
    manifest = {key: value for key, value in bundle.to_json().items() if key not in WORDS_ONLY}
    manifest["weights"] = {"sha256": bundle.weights.sha256}
    options = {**own, **request.options}
    options.pop("clip_top_k", None)  # whether too large a number is refused; a result it does not change
    wished = {
        "bundle": f"{bundle.name} {bundle.version}",
        "manifest_sha256": hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
        "strategy": name,
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

    @property
    def result(self) -> Path:
        return self.folder / f"{self.case.name}{self.ending}"

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
        if not record.get("complete") or known.get("asked") != wished or not self.result.is_file():
            return None
        try:
            if known.get("scan") != fingerprint(self.case):
                return None
        except VolumeError:
            return None  # running it will say so
        if known.get("replaces") == bundles.checksum(self.result):
            return None  # a process died after the record was written and before the result came
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
            VolumeError: something else lies in the result's place.
        """
        if not self.result.exists() and not self.result.is_symlink():
            return
        known = self.read_record().get("queue", {})
        if not known or known.get("result") != self.result.name:
            raise VolumeError(
                f"{self.result} is there, and was not made by this queue.",
                why="It may be somebody's work, and would be lost.",
                mend="Move it away, or choose another output folder.",
            )
        if bundles.checksum(self.result) not in (known.get("result_sha256"), known.get("replaces")):
            raise VolumeError(
                f"{self.result} was changed after it was made.",
                why="Corrections by hand would be lost.",
                mend="Move it away to have it made again, or choose another output folder.",
            )
        if known.get("input") != self.case.input and known.get("scan") != fingerprint(self.case):
            raise VolumeError(
                f"{self.result} belongs to another scan, {known.get('input')}.",
                why="Two folders of scans have this name in common, and one result would replace the other.",
                mend="Choose another output folder for this one.",
            )

    def hand_over(self, made: Path, record: Path, wished: dict[str, Any], machine: str = "") -> Entry:
        """Move a new result here. Whatever happens on the way, the older one or the new one is whole.

        Args:
            made: the segmentation or label map, on any disk.
            record: the run's record, as the pipeline wrote it.
            wished: from `asked`.
            machine: where it was made, if not here.

        Raises:
            VolumeError: it cannot be written.
        """
        content = json.loads(record.read_text(encoding="utf-8"))
        content["input"].update({"files": list(self.case.files), "title": self.case.title})
        content["queue"] = {
            "case": self.case.name,
            "input": self.case.input,
            "scan": fingerprint(self.case),
            "asked": wished,
            "result": self.result.name,
            "result_sha256": bundles.checksum(made),
            "replaces": bundles.checksum(self.result) if self.result.is_file() else "",
            "machine": machine,
        }
        # First the record, which knows both: a process that dies in between leaves nothing that nobody has made.
        with replacing(self.record) as part:
            part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with replacing(self.result) as part:
            _move(made, part)
        return self.entry(content)


def _move(made: Path, place: Path) -> None:
    try:
        os.replace(made, place)
    except OSError:
        shutil.copyfile(made, place)  # another disk
