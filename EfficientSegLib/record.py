"""The run record: what was done, with what, and what came out; JSON beside the labels."""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from EfficientSegLib import __version__
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.files import replacing
from EfficientSegLib.protocol import Pace, Reviewed

if TYPE_CHECKING:
    from EfficientSegLib.segment import Segmentation
    from EfficientSegLib.volume import Volume

SCHEMA = 1


def build(
    source: str | os.PathLike,
    volume: "Volume",
    bundle: Bundle,
    segmentation: "Segmentation",
    *,
    strategy: str,
    options: Mapping[str, Any],
    device: str,
    devices: Sequence[Mapping[str, Any]] = (),
    threads: int,
    precision: str = "fp32",
    backend: str = "torch",
    seconds: Mapping[str, float],
    peak_memory_mb: float,
    warnings: Sequence[str] = (),
    wishes: Mapping[str, Any] | None = None,
    review: Reviewed | None = None,
    pace: Pace | None = None,
    tokens: str = "",
) -> dict[str, Any]:
    """The record as a JSON object; two runs differ in times and memory only.

    Args:
        source: where the volume was read from.
        options: of the strategy, all of them, defaults included.
        device: that the run ended on.
        devices: all that it was on, in order, with how many patches were read before; see `Reporter.devices`.
        seconds: by stage.
        wishes: what was to be read first, or alone.
        review: what the patches changed, and where to look first.
        pace: seconds of this run besides patches, and of a patch.
        tokens: file of the map of dropped tokens, where there is one.
    """
    spent = {stage: round(value, 3) for stage, value in seconds.items()}
    return {
        "schema": SCHEMA,
        "purpose": "research only",
        "input": {
            "path": str(source),
            "shape": list(volume.shape),
            "spacing_mm": list(volume.spacing_mm),
            "origin_mm": list(volume.origin_mm),
            "direction": [list(row) for row in volume.direction],
            "voxels_sha256": voxel_checksum(volume.array),
        },
        "bundle": {
            "name": bundle.name,
            "version": bundle.version,
            "title": bundle.title,
            "weights_sha256": bundle.weights.sha256,
            "licence": bundle.licence.weights,
        },
        "strategy": {"name": strategy, "options": dict(options)},
        "wishes": dict(wishes or {}),
        "device": device,
        "devices": [dict(used) for used in devices],
        "precision": precision,
        "backend": backend,
        "threads": threads,
        "versions": versions(),
        "complete": segmentation.complete,
        "patches": {
            "unit": segmentation.unit,
            "read": segmentation.patches_read,
            "chosen": segmentation.patches_total,
            "candidates": segmentation.candidates,
            "boxes": [
                {
                    "rank": patch.rank,
                    "priority": round(patch.score, 6),
                    "start": list(patch.box.start),
                    "stop": list(patch.box.stop),
                    "read": patch.rank <= segmentation.patches_read,
                }
                for patch in segmentation.patches
            ],
        },
        "class_weights": _by_name(segmentation.class_weights, bundle),
        "volumes_ml": segments_ml(segmentation, volume.spacing_mm, bundle),
        "review": None if review is None else asdict(review),
        "tokens": None if segmentation.tokens is None else segmentation.tokens.summary(tokens),
        "warnings": list(warnings),
        "seconds": {**spent, "total": round(sum(seconds.values()), 3)},
        "pace": None if pace is None else asdict(pace),
        "peak_memory_mb": round(peak_memory_mb, 1),
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def voxel_checksum(array: np.ndarray) -> str:
    """SHA-256 of the values in index order and of their type: one scan in two file formats gives one checksum."""
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape}".encode())
    for channel in array:
        for plane in np.moveaxis(channel, -1, 0):  # the last axis is outermost in files: planes are read in order
            digest.update(np.ascontiguousarray(plane.T))
    return digest.hexdigest()


def segments_ml(segmentation: "Segmentation", spacing_mm: Sequence[float], bundle: Bundle) -> dict[str, float]:
    """Volume of each shown label by name, in millilitres; where labels overlap, with the voxels it shares."""
    masks = segmentation.masks
    if masks is None:
        return volumes_ml(segmentation.labels, spacing_mm, bundle)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    shown = [(index, label.name) for index, label in enumerate(bundle.labels) if not label.auxiliary]
    return {name: round(int(np.count_nonzero(masks.mask(index))) * voxel_ml, 3) for index, name in shown}


def volumes_ml(labels: np.ndarray, spacing_mm: Sequence[float], bundle: Bundle) -> dict[str, float]:
    """Volume of each shown label by name, in millilitres; 0 where nothing was found."""
    counts = np.zeros(max(label.value for label in bundle.labels) + 1, dtype=np.int64)
    for plane in labels:
        counts += np.bincount(plane.ravel(), minlength=len(counts))[: len(counts)]
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    return {label.name: round(int(counts[label.value]) * voxel_ml, 3) for label in bundle.shown_labels}


def versions() -> dict[str, str]:
    """Versions of what decides a result; packages only as far as they are loaded."""
    found = {"EfficientSeg": __version__, "python": platform.python_version(), "system": platform.platform(terse=True)}
    for name in ("numpy", "torch", "SimpleITK", "openvino"):
        if name in sys.modules:
            found[name] = str(getattr(sys.modules[name], "__version__", ""))
    return found


def write(record: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write a record; an older one is replaced in one step."""
    with replacing(path) as part:
        part.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _by_name(class_weights: Mapping[int, float] | None, bundle: Bundle) -> dict[str, float] | None:
    if class_weights is None:
        return None
    names = {label.value: label.name for label in bundle.labels}
    return {names[value]: round(float(weight), 6) for value, weight in class_weights.items()}
