"""A folder of DICOM files → one image. A series that is not one straight, evenly spaced stack is refused in words."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from EfficientSegLib.errors import VolumeError

SERIES, DESCRIPTION, MODALITY, NUMBER = "0020|000e", "0008|103e", "0008|0060", "0020|0011"
NO_DESCRIPTION = "without description"
SLOPE, INTERCEPT = "0028|1053", "0028|1052"
LARGEST_TURN = 1e-3  # difference between the directions of two slices of one stack
UNEVEN, TOO_UNEVEN = 0.02, 0.1  # of the slice spacing
SHOWN_SERIES = 6


@dataclass(frozen=True)
class Series:
    """One series as an image; its metadata holds the modality."""

    image: sitk.Image
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """What the header of one file tells."""

    path: str
    series: str
    number: str
    description: str
    modality: str
    origin: np.ndarray  # (3,), LPS
    direction: np.ndarray  # (3, 3), columns
    grid: tuple  # size and spacing
    fractions: bool  # the rescale makes fractions


def read_series(folder: Path, files: Sequence[str] = ()) -> Series:
    """Read the one image series in a folder and its sub-folders.

    Args:
        folder: where it lies.
        files: only these, relative to the folder: one series of several; (): all.

    Raises:
        VolumeError: there is none, or more than one; slices differ in size or direction, repeat, are missing or
            unevenly spaced; the gantry was tilted; a file is broken.
    """
    slices, unread = scan((str(folder / name) for name in files) if files else _all_files(folder))
    series: dict[str, list[Slice]] = {}
    for item in slices:
        series.setdefault(item.series, []).append(item)
    if not series:
        raise VolumeError(
            f"{folder} holds no DICOM image.", why="No file in it can be read as one.", mend="Choose another folder."
        )
    if len(series) > 1:
        _refuse_several(folder, series)
    stack = next(iter(series.values()))
    warnings = [f"{unread} DICOM files hold no readable image and were left out."] if unread else []
    if len(stack) == 1:
        return Series(_execute([stack[0].path], stack), tuple(warnings))
    stack, step = _order(stack, folder.name)
    warnings += _check_spacing(stack, step, folder.name)
    image = _narrow(_execute([item.path for item in stack], stack))
    # The reader takes the slice spacing from the first pair; over the whole stack, rounding matters less.
    image.SetSpacing((*image.GetSpacing()[:2], step))
    image.SetOrigin(stack[0].origin.tolist())
    image.SetDirection(stack[0].direction.ravel().tolist())
    image.SetMetaData(MODALITY, stack[0].modality)
    return Series(image, tuple(warnings))


def _all_files(folder: Path) -> Iterable[str]:
    for parent, _, names in sorted(os.walk(folder)):
        yield from (os.path.join(parent, name) for name in sorted(names))


def scan(paths: Iterable[str]) -> tuple[list[Slice], int]:
    """The image files among `paths`, and the number of DICOM files that hold no image or a broken one.

    Raises:
        VolumeError: a file cannot be opened, or has another number of dimensions than three.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    slices, unread = [], 0
    for path in paths:
        reader.SetFileName(path)
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            unread += os.path.basename(path).upper() != "DICOMDIR" and is_dicom(path)
            continue
        slices.append(_describe(reader, path))
    return slices, unread


def is_dicom(path: str) -> bool:
    """Whether a file says at its beginning that it is DICOM.

    Raises:
        VolumeError: it cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise VolumeError(
            f"{Path(path).name} cannot be opened.", why=f"{error.strerror}.", mend="Check who may read this folder."
        ) from error


def _describe(reader: sitk.ImageFileReader, path: str) -> Slice:
    def tag(key: str, default: str = "") -> str:
        text = reader.GetMetaData(key) if reader.HasMetaDataKey(key) else default
        return text.encode("utf-8", "replace").decode("utf-8").strip(" \0") or default

    if reader.GetDimension() != 3:
        raise VolumeError(
            f"{Path(path).name} has {reader.GetDimension()} dimensions.", why="Three are read.", mend="Leave it out."
        )
    return Slice(
        path,
        tag(SERIES),
        tag(NUMBER),
        tag(DESCRIPTION, NO_DESCRIPTION),
        tag(MODALITY),
        np.array(reader.GetOrigin()),
        np.array(reader.GetDirection()).reshape(3, 3),
        (*reader.GetSize(), *(round(value, 4) for value in reader.GetSpacing()[:2])),
        reader.GetNumberOfComponents() == 1 and not all(_is_whole(tag(key, "0")) for key in (SLOPE, INTERCEPT)),
    )


def _is_whole(text: str) -> bool:
    try:
        return float(text).is_integer()
    except ValueError:
        return False


def _refuse_several(folder: Path, series: dict[str, list[Slice]]) -> None:
    largest = sorted(series.values(), key=len, reverse=True)
    listed = ", ".join(f"{items[0].description!r} ({_images(len(items))})" for items in largest[:SHOWN_SERIES])
    more = f" and {len(largest) - SHOWN_SERIES} more" if len(largest) > SHOWN_SERIES else ""
    raise VolumeError(
        f"{folder} holds {len(series)} DICOM series: {listed}{more}.",
        why="One is segmented at a time, and choosing is yours.",
        mend="Copy the wanted series into a folder of its own, or load it in Slicer's DICOM module.",
    )


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _order(stack: list[Slice], name: str) -> tuple[list[Slice], float]:
    """Sort along the normal; also the mean slice spacing in mm."""
    first = stack[0]
    if any(item.grid[2] != 1 for item in stack):
        raise VolumeError(
            f"{name} holds {len(stack)} volumes in one series.", why="One is read.", mend="Leave only one file in it."
        )
    for item in stack:
        if item.grid != first.grid or np.abs(item.direction - first.direction).max() > LARGEST_TURN:
            raise VolumeError(
                f"The slices in {name} differ in size, pixel spacing or direction.",
                why=f"{Path(first.path).name} and {Path(item.path).name} do not belong to one stack; scouts do this.",
                mend="Take the scouts and reformatted images out of the folder.",
            )
    normal = first.direction[:, 2]
    stack = sorted(stack, key=lambda item: float(item.origin @ normal))
    height = [float(item.origin @ normal) for item in stack]
    repeats = max(Counter(round(value, 3) for value in height).values())
    if repeats > 1:
        raise VolumeError(
            f"{name} has up to {repeats} images at one position.",
            why="It holds several time points, phases or echoes, or copies, or the positions are missing.",
            mend="Leave one image per position, or load it in Slicer's DICOM module and choose one time point.",
        )
    return stack, (height[-1] - height[0]) / (len(stack) - 1)


def _check_spacing(stack: list[Slice], step: float, name: str) -> list[str]:
    normal = stack[0].direction[:, 2]
    gaps = np.diff([float(item.origin @ normal) for item in stack])
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > 1.5 * usual)
    if len(wide):
        missing = int(sum(max(round(gaps[index] / usual) - 1, 1) for index in wide))
        raise VolumeError(
            f"{name} lacks about {missing} of {len(stack) + missing} slices.",
            why=f"Slices are {usual:.3g} mm apart, but {gaps[wide[0]]:.3g} mm after slice {wide[0] + 1}.",
            mend="Get the whole series from the archive again.",
        )
    uneven = float(np.abs(gaps - usual).max()) / usual
    if uneven > TOO_UNEVEN:
        raise VolumeError(
            f"The slices in {name} are unevenly spaced.",
            why=f"They are {gaps.min():.3g} to {gaps.max():.3g} mm apart; a straight grid would misplace them.",
            mend="Load it in Slicer's DICOM module, which can regularise it, and save it as NRRD.",
        )
    drift = stack[-1].origin - stack[0].origin
    drift = float(np.linalg.norm(drift - (drift @ normal) * normal))
    if drift > 0.5 * min(stack[0].grid[3:]):
        angle = np.degrees(np.arctan2(drift, step * (len(stack) - 1)))
        raise VolumeError(
            f"{name} was taken with a tilted gantry ({angle:.1f} degrees).",
            why="Its slices do not lie straight above one another, so the volume is sheared.",
            mend="Load it in Slicer's DICOM module (acquisition geometry regularisation), harden it and save as NRRD.",
        )
    return [f"Slice positions vary by {100 * uneven:.0f} % of their spacing."] if uneven > UNEVEN else []


def _execute(paths: list[str], stack: list[Slice]) -> sitk.Image:
    try:
        if len(paths) == 1:
            return sitk.ReadImage(paths[0])
        reader = sitk.ImageSeriesReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileNames(paths)
        if any(item.fractions for item in stack):
            # The type would follow the first slice: later slopes, which differ in PET, would be cut to whole numbers.
            reader.SetOutputPixelType(sitk.sitkFloat32)
        return reader.Execute()
    except RuntimeError as error:
        raise VolumeError(
            f"{Path(paths[0]).parent} holds a DICOM file that cannot be decoded.",
            why=str(error).strip().splitlines()[-1].strip(),
            mend="Get the series from the archive again, uncompressed if it can do so.",
        ) from error


def _narrow(image: sitk.Image) -> sitk.Image:
    """16 bits where they suffice: the decoder doubles the memory of many a CT for values that it never has."""
    if image.GetPixelID() not in (sitk.sitkInt32, sitk.sitkUInt32):
        return image
    limits = sitk.MinimumMaximumImageFilter()
    limits.Execute(image)
    fits = limits.GetMinimum() >= -(1 << 15) and limits.GetMaximum() < 1 << 15
    return sitk.Cast(image, sitk.sitkInt16) if fits else image
