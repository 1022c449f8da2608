"""A folder tree → the images in it: files, and DICOM series wherever their files lie."""

import fnmatch
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from EfficientSegLib import dicom
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.studies import queue_file
from EfficientSegLib.studies.case import Case
from EfficientSegLib.studies.place import TOKENS
from EfficientSegLib.suitability import FEWEST_SLICES, OTHER_MODALITIES

IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
RESULT_ENDINGS = {
    **dict.fromkeys((".seg.nrrd", ".seg.nii.gz", ".seg.nii"), "a segmentation"),
    **dict.fromkeys(TOKENS.values(), "a map of dropped tokens"),
}
DICOM_ENDINGS = (".dcm", ".ima", ".dicom")
NO_IMAGES = ("SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "PR", "SR", "KO", "REG", "DOC", "AU", "ECG")
LONGEST_NAME = 60  # letters of a series description in a file's name


@dataclass(frozen=True)
class LeftOut:
    """Something in the tree that is no case, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Found:
    """What a tree holds."""

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...]


def find(
    root: str | os.PathLike,
    modality: str,
    output: str | os.PathLike | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Found:
    """All images below a folder, sorted by name; links are followed, each real folder is entered once.

    Args:
        root: the folder.
        modality: the bundle's; DICOM series of another one are left out.
        output: where results go: never searched, unless it is the root itself.
        include: patterns such as `*thorax*`, of names and series descriptions; (): everything.
        exclude: the same, for what is left out.

    Raises:
        VolumeError: `root` is no folder that can be opened.
    """
    root = Path(root)
    if not root.is_dir():
        raise VolumeError(
            f"{root} is no folder.", why="Many studies are looked for in a folder.", mend="Give one, or use `segment`."
        )
    left_out: list[LeftOut] = []
    images, candidates = [], []
    for path in _files(root, Path(output) if output else None, left_out):
        name = path.name.lower()
        result = next((kind for ending, kind in RESULT_ENDINGS.items() if name.endswith(ending)), "")
        if result:
            left_out.append(LeftOut(str(path), result))
        elif name.endswith(IMAGE_ENDINGS):
            images.append(path)
        else:
            candidates.append(path)
    cases = _named([*_file_cases(root, images), *_series_cases(root, candidates, modality, left_out)])
    chosen = []
    for case in sorted(cases, key=lambda case: case.name):
        if (include and not _fits(case, include)) or _fits(case, exclude):
            left_out.append(LeftOut(case.name, "not asked for"))
        else:
            chosen.append(case)
    return Found(tuple(chosen), tuple(left_out))


def _fits(case: Case, patterns: Sequence[str]) -> bool:
    """Patterns speak of the path in the tree or of the series description; small and capital letters are alike."""
    texts = (case.name, case.input, case.title)
    return any(fnmatch.fnmatch(text.lower(), pattern.lower()) for text in texts for pattern in patterns)


def _files(root: Path, output: Path | None, left_out: list[LeftOut]) -> Iterator[Path]:
    """Files below the root, sorted; hidden ones and earlier results are passed over."""
    seen = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            state = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            left_out.append(LeftOut(str(folder), f"cannot be opened: {error.strerror}"))
            continue
        if (state.st_dev, state.st_ino) in seen:
            left_out.append(LeftOut(str(folder), "a link to a folder that is here already"))
            continue
        seen.add((state.st_dev, state.st_ino))
        is_output = output is not None and output.exists() and folder.samefile(output)
        if folder != root and (is_output or (folder / queue_file.NAME).is_file()):
            left_out.append(LeftOut(str(folder), "results"))
            continue
        shown = [entry for entry in entries if not entry.name.startswith(".")]
        waiting += [Path(entry.path) for entry in reversed(shown) if _is(entry.is_dir)]
        for entry in shown:
            # A link to nothing is told about by whoever reads it; a pipe would be waited for.
            if not _is(entry.is_dir) and (_is(entry.is_file) or entry.is_symlink()):
                yield Path(entry.path)


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:
        return False  # a link that leads to itself


def _file_cases(root: Path, paths: Iterable[Path]) -> list[tuple[Case, str]]:
    """A case per file, named after it; where two files differ in the ending only, both keep it."""
    paths = list(paths)
    stems = {path: path.relative_to(root).as_posix()[: -len(_ending(path))] for path in paths}
    count = Counter(stem.lower() for stem in stems.values())
    return [
        (Case(stem if count[stem.lower()] == 1 else path.relative_to(root).as_posix(), str(path)), "")
        for path, stem in stems.items()
    ]


def _ending(path: Path) -> str:
    return next(ending for ending in IMAGE_ENDINGS if path.name.lower().endswith(ending))


def _series_cases(root: Path, paths: Iterable[Path], modality: str, left_out: list[LeftOut]) -> list[tuple[Case, str]]:
    """A case per DICOM series among files of unknown kind, with a mark of the series' identity."""
    candidates = []
    for path in paths:
        try:
            if dicom.is_dicom(str(path)) or path.name.lower().endswith(DICOM_ENDINGS):
                candidates.append(str(path))
        except VolumeError as error:
            left_out.append(LeftOut(str(path), f"cannot be opened: {error.why}"))
    series: dict[tuple[str, str], list[dicom.Slice]] = {}
    for path in candidates:
        try:
            slices, unread = dicom.scan([path])
        except VolumeError as error:
            left_out.append(LeftOut(path, f"{error.what} {error.why}"))
            continue
        if (unread or not slices) and os.path.basename(path).upper() != "DICOMDIR":
            left_out.append(LeftOut(path, "DICOM without a readable image"))
        for item in slices:
            # Without an identity, files of one folder are taken for one series.
            series.setdefault((item.series, "" if item.series else os.path.dirname(path)), []).append(item)
    cases = []
    for (identity, _), items in series.items():
        reason = _why_not(items, modality)
        case = _series_case(root, items)
        if reason:
            left_out.append(LeftOut(f"{case.input} ({case.title or 'series without description'})", reason))
        else:
            cases.append((case, hashlib.sha256(identity.encode()).hexdigest()[:6]))
    return cases


def _why_not(items: list[dicom.Slice], modality: str) -> str:
    said = items[0].modality
    if said in NO_IMAGES:
        return f"{said}, no scan"
    others = OTHER_MODALITIES if modality == "CT" else ("CT", *(name for name in OTHER_MODALITIES if name != modality))
    if said in others:
        return f"{said}, and the bundle reads {modality}"
    slices = sum(item.grid[2] for item in items)
    return f"only {slices} {'slice' if slices == 1 else 'slices'}" if slices < FEWEST_SLICES else ""


def _series_case(root: Path, items: list[dicom.Slice]) -> Case:
    """Named after the series, below the folder that all its files have in common."""
    folder = Path(os.path.commonpath([os.path.dirname(item.path) for item in items]))
    title = "" if items[0].description == dicom.NO_DESCRIPTION else items[0].description
    words = re.sub(r"[^\w .+-]", "_", title)[:LONGEST_NAME].strip(" .")
    own = "-".join(part for part in (re.sub(r"\D", "", items[0].number), words) if part) or "series"
    place = folder.relative_to(root).as_posix()
    files = tuple(Path(item.path).relative_to(folder).as_posix() for item in items)
    return Case(own if place == "." else f"{place}/{own}", str(folder), files, title)


def _named(cases: Iterable[tuple[Case, str]]) -> list[Case]:
    """The cases with names that are all different, on disks that know no small and capital letters too.

    Args:
        cases: each with what is added to its name where another has the same; "": a number is.
    """
    cases = list(cases)
    count = Counter(case.name.lower() for case, _ in cases)
    taken: set[str] = set()
    named = []
    for case, mark in cases:
        name = f"{case.name}-{mark}" if mark and count[case.name.lower()] > 1 else case.name
        first, number = name, 2
        while name.lower() in taken:
            name, number = f"{first}-{number}", number + 1
        taken.add(name.lower())
        named.append(replace(case, name=name))
    return named
