"""What is evaluated on: images and their reference labels, from a list, two folders or a data set's folder."""

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options

log = logging.getLogger(__name__)

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
FIRST_CHANNEL = "_0000"  # nnU-Net's name of the only, or first, channel


@dataclass(frozen=True)
class EvaluationCase:
    """One image and its reference."""

    name: str
    image: Path | None  # None: only label files are compared
    label: Path
    # Value in the label file -> ours, or a list of ours where labels may overlap; others 0; {}: as they are.
    map: dict[int, int | tuple[int, ...]] = field(default_factory=dict)
    annotated: Literal["all"] | tuple[int, ...] = "all"  # our values that are drawn wherever they are; others: no score
    split: str = ""  # as "validation", "fold 0"
    unscored: tuple[int, ...] = ()  # our values that this reference is not to be trusted for

    @property
    def lists_labels(self) -> bool:
        """Whether the map lists labels: each is then scored by itself, if those of the bundle may overlap."""
        return any(isinstance(labels, tuple) for labels in self.map.values())

    @property
    def overlaps(self) -> bool:
        """Whether a value of the label file stands for several labels of ours."""
        return any(isinstance(labels, tuple) and len(labels) > 1 for labels in self.map.values())

    def scores(self, value: int) -> bool:
        """Whether a label of ours is scored in this case."""
        return (self.annotated == "all" or value in self.annotated) and value not in self.unscored


@dataclass(frozen=True)
class _Entry:
    """A case as a JSON list has it; further names in it belong to training and are not read here."""

    image: str
    label: str | None = None
    name: str = ""
    map: dict[str, Any] = field(default_factory=dict)
    annotated: Literal["all"] | tuple[int, ...] = "all"
    split: str = ""
    lungs: tuple[int, ...] | None = None  # made by rule where nothing is drawn: no reference


def read_list(path: str | os.PathLike, data_folder: str | os.PathLike | None = None) -> list[EvaluationCase]:
    """The cases of a JSON file, in its order.

    It is a list of objects with `image` and `label` (paths), and as one likes `name`, `map`, `annotated` and `split`;
    or an object that has such lists as `cases` and `validation`, as a training's configuration does. Cases of
    `validation` without a split have the split "validation", the others beside them "training".

    Args:
        path: the JSON file.
        data_folder: what its paths are relative to; None is its own folder.

    Raises:
        OptionError: the file is missing, not JSON, or says what cannot be.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{path} cannot be read.", why=f"{error.strerror}.", mend="Check the path.") from error
    except ValueError as error:
        raise OptionError(f"{path} is not JSON.", why=f"{error}.", mend="Correct it.") from error
    folder = Path(data_folder) if data_folder else path.parent
    if isinstance(content, Mapping):
        held_out = bool(content.get("validation"))
        parts = [("training" if held_out else "", content.get("cases") or [])]
        parts.append(("validation", content.get("validation") or []))
    else:
        parts = [("", content)]
    known = set(_Entry.__dataclass_fields__)
    cases = []
    for split, entries in parts:
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise OptionError(
                f"{path} holds no list of cases.",
                why='Each case is an object with "image" and "label".',
                mend="Give a list of such objects.",
            )
        for given in entries:
            entry = read_options(_Entry, {name: value for name, value in given.items() if name in known})
            if entry.label is not None and not given.get("hollow"):  # a hollow case's image is drawn over
                cases.append(_case(entry, folder, split))
    return _unique(cases, path)


def _case(entry: _Entry, folder: Path, split: str) -> EvaluationCase:
    return EvaluationCase(
        name=entry.name or stem(Path(entry.image)).as_posix(),
        image=folder / entry.image,
        label=folder / entry.label,
        map={_whole(source): _target(target) for source, target in entry.map.items()},
        annotated=entry.annotated,
        split=entry.split or split,
        unscored=entry.lungs or (),
    )


def _target(value: Any) -> int | tuple[int, ...]:
    """A label of ours, or a list of them, ascending."""
    if not isinstance(value, (list, tuple)):
        return _whole(value)
    labels = tuple(sorted({_whole(label) for label in value}))
    if 0 in labels:
        raise OptionError(
            f"A case's map holds {list(value)}.", why="0 is background, where no label is.", mend="Leave 0 out of it."
        )
    return labels


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"A case's map holds {value!r}.",
            why="It maps label values to label values.",
            mend='Write {"3": 1}, or {"3": [1, 2]} where labels overlap.',
        ) from error


def read_folders(images: str | os.PathLike | None, labels: str | os.PathLike) -> list[EvaluationCase]:
    """Pairs of equal file names, in order of name; "case_0000.nii.gz" is the image of "case.nii.gz".

    Args:
        images: None where only label files are compared.
        labels: each file is a case.

    Raises:
        OptionError: a folder is missing, or no pair is found.
    """
    references = files_by_name(labels)
    pictures = files_by_name(images) if images is not None else dict.fromkeys(references)
    shared = [name for name in references if name in pictures]
    if not shared:
        raise OptionError(
            f"No image in {images} has a label file in {labels}.",
            why=f"{len(pictures)} images and {len(references)} label files were found, and no two names are equal.",
            mend=f"Name both alike; the image may end in {FIRST_CHANNEL}.",
        )
    if len(shared) < len(references):
        log.warning("Note: %d label files in %s have no image and are left out.", len(references) - len(shared), labels)
    return [EvaluationCase(name, pictures[name], references[name]) for name in shared]


def read_dataset(folder: str | os.PathLike) -> list[EvaluationCase]:
    """The annotated cases of a folder in the form of the Medical Segmentation Decathlon or nnU-Net (raw).

    `imagesTr` with `labelsTr` has the split "training", and `imagesTs` with `labelsTs`, where it exists, "test".

    Raises:
        OptionError: there are no such folders, or no pairs in them.
    """
    folder = Path(folder)
    cases = []
    for ending, split in (("Tr", "training"), ("Ts", "test")):
        images, labels = folder / f"images{ending}", folder / f"labels{ending}"
        if images.is_dir() and labels.is_dir():
            cases += [replace(case, split=split) for case in read_folders(images, labels)]
    if not cases:
        raise OptionError(
            f"{folder} is no data set.",
            why="It has no imagesTr beside labelsTr.",
            mend="Give a Decathlon or nnU-Net raw folder, a JSON list, or --images and --labels.",
        )
    return _unique(cases, folder)


def of_fold(cases: Sequence[EvaluationCase], splits: str | os.PathLike, fold: int) -> list[EvaluationCase]:
    """The validation cases of one fold of nnU-Net's `splits_final.json`.

    Raises:
        OptionError: the file cannot be read, has no such fold, or names a case that is not there.
    """
    splits = Path(splits)
    try:
        names = json.loads(splits.read_text(encoding="utf-8"))[fold]["val"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise OptionError(
            f"Fold {fold} cannot be read from {splits.name}.",
            why='A list with one {"train": [...], "val": [...]} for each fold was expected.',
            mend="Give the splits_final.json of nnU-Net, and a fold in it, counted from 0.",
        ) from error
    by_name = {case.name: case for case in cases}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise OptionError(
            f"Fold {fold} names the case {missing[0]!r}.", why="It is not among the cases.", mend="Mend the list."
        )
    return [replace(by_name[name], split=f"fold {fold}") for name in names]


def of_split(cases: Sequence[EvaluationCase], split: str) -> list[EvaluationCase]:
    """The cases of one split.

    Raises:
        OptionError: it has none.
    """
    chosen = [case for case in cases if case.split == split]
    if not chosen:
        known = sorted({case.split for case in cases} - {""})
        raise OptionError(
            f"No case has the split {split!r}.", why=f"There are: {', '.join(known) or 'none'}.", mend="Choose another."
        )
    return chosen


def files_by_name(folder: str | os.PathLike) -> dict[str, Path]:
    """The image files of a folder by name without ending and `_0000`, in order; other channels are left out.

    Raises:
        OptionError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OptionError(f"{folder} is no folder.", why="Files in it were to be read.", mend="Check the path.")
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.name.lower().endswith(ENDINGS):
            continue  # a Mac leaves "._" files behind
        name = stem(path).name
        if len(name) > 5 and name[-5] == "_" and name[-4:].isdecimal():
            if not name.endswith(FIRST_CHANNEL):
                continue
            name = name.removesuffix(FIRST_CHANNEL)
        found.setdefault(name, path)
    return found


def stem(path: Path) -> Path:
    """A path without the ending of an image file."""
    ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")
    return path.with_name(path.name[: len(path.name) - len(ending)]) if ending else path


def _unique(cases: Iterable[EvaluationCase], source: Path) -> list[EvaluationCase]:
    cases = list(cases)
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(
            f"Two cases of {source.name} are called {twice[0]!r}.",
            why="Results are kept by name.",
            mend="Give each a name of its own.",
        )
    if not cases:
        raise OptionError(f"{source} holds no case with a label.", why="There is nothing to score.", mend="Add some.")
    return cases
