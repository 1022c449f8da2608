"""Data sets as they lie on people's disks: Medical Segmentation Decathlon, nnU-Net v2 raw, or one folder per case.

Only names are read here, no voxel.

Sources: Antonelli et al. (Nature Communications 2022) for the Decathlon's `dataset.json`; the documentation of nnU-Net
v2 for `channel_names`, `labels`, `file_ending`, `imagesTr/CASE_0000.ext` and `labelsTr/CASE.ext`.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.training.cases import Case

log = logging.getLogger(__name__)
MANIFEST = "dataset.json"
UNKNOWN = "unknown: fill in"
FORMS = (
    f"A data set has a {MANIFEST} of the Medical Segmentation Decathlon or of nnU-Net v2, or folders CASE with "
    "image.nii.gz and label.nii.gz."
)


@dataclass(frozen=True)
class Dataset:
    """What a data set says of itself."""

    name: str
    form: Literal["msd", "nnunet", "folders"]
    modality: Literal["CT", "MR"] | None  # None: not told
    channel: str  # of the image, in its own words
    labels: dict[int, str] | None  # value -> name, background left out; None: not told
    cases: tuple[Case, ...]  # with labels, by name; paths are relative to the folder
    licence: str = UNKNOWN
    reference: str = ""


def read_dataset(folder: str | os.PathLike) -> Dataset:
    """Read what a folder holds.

    Raises:
        TrainingError: the folder is none of the known forms, has no labelled case, more than one channel, or labels
            that overlap.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        return _folders(folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read as JSON.", why=f"{error}.", mend="Correct it.") from error
    if not isinstance(content, Mapping) or not ({"channel_names", "training"} & set(content)):
        raise TrainingError(
            f"{path} has neither channel_names (nnU-Net v2) nor training (Decathlon).", why=FORMS, mend="Complete it."
        )
    return _nnunet(folder, content) if "channel_names" in content else _decathlon(folder, content)


def _decathlon(folder: Path, content: Mapping[str, Any]) -> Dataset:
    channel = _one_channel(folder, content.get("modality") or {"0": ""})
    pairs = content["training"]
    if not isinstance(pairs, list) or not all(isinstance(pair, Mapping) and "image" in pair for pair in pairs):
        raise TrainingError(
            f"training in {folder / MANIFEST} does not list images.",
            why="Each entry is an object with image and label.",
            mend="Correct it.",
        )
    unlabelled = [pair["image"] for pair in pairs if not pair.get("label")]
    if unlabelled:
        raise TrainingError(
            f"{unlabelled[0]} has no label.", why="Training needs one.", mend="Remove it from training."
        )
    labels, ignored = _labels(folder, content.get("labels") or {})
    cases = [_case(_plain(pair["image"]), _plain(pair["label"]), labels, ignored) for pair in pairs]
    return _dataset(folder, "msd", content, channel, labels, cases)


def _nnunet(folder: Path, content: Mapping[str, Any]) -> Dataset:
    channel = _one_channel(folder, content["channel_names"])
    given = content.get("labels") or {}
    regions = [name for name, value in given.items() if isinstance(value, (list, tuple))]
    if regions:
        raise TrainingError(
            f"Label {regions[0]!r} of {folder / MANIFEST} is a region made of {given[regions[0]]}.",
            why="Regions overlap, and what is planned gives each voxel one label.",
            mend="Declare each value as a label of its own, and plan. To train the regions themselves, make them the "
            'bundle\'s labels, with outputs "independent", and list them in the map of each case: {"2": [1, 2]}.',
        )
    labels, ignored = _labels(folder, {value: name for name, value in given.items()})
    ending = content.get("file_ending", ".nii.gz")
    if isinstance(content.get("dataset"), Mapping):
        files = [(entry["images"][0], entry["label"]) for entry in content["dataset"].values()]
        cases = [_case(_plain(image), _plain(label), labels, ignored) for image, label in files]
    else:
        cases = _listed(folder, ending, labels, ignored)
    if content.get("numTraining") not in (None, len(cases)):
        log.warning("%s announces %s cases; %d are there.", folder / MANIFEST, content["numTraining"], len(cases))
    return _dataset(folder, "nnunet", content, channel, labels, cases)


def _listed(folder: Path, ending: str, labels: dict[int, str], ignored: int | None) -> list[Case]:
    def names(part: str, tail: str) -> set[str]:
        paths = (folder / part).glob(f"*{tail}")
        return {path.name.removesuffix(tail) for path in paths if not path.name.startswith(".")}

    images, drawn = names("imagesTr", f"_0000{ending}"), names("labelsTr", ending)
    if images != drawn and drawn:
        alone = sorted(images ^ drawn)[0]
        missing = f"labelsTr/{alone}{ending}" if alone in images else f"imagesTr/{alone}_0000{ending}"
        raise TrainingError(f"{folder / missing} is missing.", why="Images and labels go in pairs.", mend="Add it.")
    return [
        _case(f"imagesTr/{name}_0000{ending}", f"labelsTr/{name}{ending}", labels, ignored) for name in sorted(drawn)
    ]


def _folders(folder: Path) -> Dataset:
    if not folder.is_dir():
        raise TrainingError(f"{folder} is no folder.", why=FORMS, mend="Check the path.")
    images = sorted(folder.glob("*/image.nii.gz"))
    if not images:
        raise TrainingError(f"{folder} holds no data set.", why=FORMS, mend="Choose its folder, or write the file.")
    unlabelled = [image.parent.name for image in images if not (image.parent / "label.nii.gz").is_file()]
    if unlabelled:
        raise TrainingError(
            f"{unlabelled[0]} has no label.nii.gz ({len(unlabelled)} of {len(images)} cases).",
            why="Training needs one.",
            mend="Add it, or take the case out of the folder.",
        )
    cases = [_case(f"{p.parent.name}/image.nii.gz", f"{p.parent.name}/label.nii.gz", {}, None) for p in images]
    return _dataset(folder, "folders", {}, "", None, cases)


def _dataset(
    folder: Path, form: str, content: Mapping[str, Any], channel: str, labels: dict[int, str] | None, cases: list[Case]
) -> Dataset:
    if not cases:
        raise TrainingError(f"{folder} has no labelled case.", why="Training learns from labels.", mend="Add some.")
    return Dataset(
        name=str(content.get("name") or folder.resolve().name),
        form=form,
        modality=_modality(channel),
        channel=channel,
        labels=labels,
        cases=tuple(sorted(cases, key=lambda case: case.image)),
        licence=str(content.get("licence") or content.get("license") or UNKNOWN),
        reference=str(content.get("reference") or ""),
    )


def _one_channel(folder: Path, channels: Any) -> str:
    names = list(channels.values()) if isinstance(channels, Mapping) else [channels]
    if len(names) != 1:
        raise TrainingError(
            f"{folder.name} has {len(names)} channels ({', '.join(map(str, names))}).",
            why="One image per case is read.",
            mend="Make a data set of one channel.",
        )
    return str(names[0])


def _modality(channel: str) -> Literal["CT", "MR"] | None:
    """MR for all that is not CT: its values have no unit, so they are normalised by their own volume."""
    if not channel:
        return None
    return "CT" if channel.strip().upper() in ("CT", "CTA", "CBCT") else "MR"


def _labels(folder: Path, given: Mapping[Any, Any]) -> tuple[dict[int, str], int | None]:
    """Names by value, and the value that says nothing."""
    try:
        labels = {int(value): str(name).strip() for value, name in given.items()}
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"labels in {folder / MANIFEST} are {dict(given)}.", why="They pair names with numbers.", mend="Correct it."
        ) from error
    labels.pop(0, None)
    if not labels:
        raise TrainingError(
            f"{folder / MANIFEST} declares no label.", why="There is nothing to find.", mend="Add some."
        )
    ignored = next((value for value, name in labels.items() if name.lower() == "ignore"), None)
    labels.pop(ignored, None)
    names = list(labels.values())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TrainingError(
            f"{folder / MANIFEST} has two labels {twice[0]!r}.", why="Each needs its own name.", mend="Rename one."
        )
    return dict(sorted(labels.items())), ignored


def _case(image: str, label: str, labels: Mapping[int, str], ignored: int | None) -> Case:
    if ignored is None:
        return Case(image, label)
    return Case(image, label, map={**{str(value): value for value in labels}, str(ignored): None})


def _plain(path: str) -> str:
    return str(path).replace("\\", "/").removeprefix("./")
