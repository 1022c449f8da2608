"""Image file ↔ `Volume`.

Arrays are (C, I, J, K): index order, the order of spacing and size. SimpleITK's reversed order is dealt with here and
nowhere else. Millimetres; positions and directions are LPS (x to the patient's left, y to the back, z to the head), as
in the file: position = origin + direction @ (spacing * index). Values keep the file's type; DICOM's rescale is applied.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from EfficientSegLib import dicom, headers, nifti, seg_nrrd, suitability
from EfficientSegLib.bundle import Label
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.files import replacing
from EfficientSegLib.overlaps import Masks

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

# One file each: a header that names a second file would name a temporary one.
WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class Volume:
    """An image and where it lies.

    Attributes:
        array: values, (C, I, J, K); a view in the file's own memory order.
        spacing_mm: size of a voxel along I, J, K.
        origin_mm: position of the centre of voxel (0, 0, 0).
        direction: 3 x 3, row by row; column a is the unit vector along which axis a grows.
        warnings: what was odd about the file, one sentence each.
        modality: as DICOM says it ("CT", "MR", ...), "" where the file does not say.
    """

    array: np.ndarray
    spacing_mm: Vector
    origin_mm: Vector = (0.0, 0.0, 0.0)
    direction: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    warnings: tuple[str, ...] = ()
    modality: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along I, J, K."""
        return tuple(self.array.shape[1:])

    @property
    def affine(self) -> np.ndarray:
        """4 x 4 matrix from voxel indices to LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction) * self.spacing_mm
        matrix[:3, 3] = self.origin_mm
        return matrix


def read(path: str | os.PathLike, files: Sequence[str] = ()) -> Volume:
    """Read an image file, or a folder that holds one DICOM series.

    Args:
        path: of the file or the folder.
        files: of the folder only these, relative to it: one series of several; (): all.

    Raises:
        VolumeError: there is no such file, it is no image, it is cut off, it is not one three-dimensional scalar
            image, or its geometry is impossible.
    """
    path = Path(path)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VolumeError(
            f"{path} does not exist.", why="There is no such file or folder.", mend="Check the path and its drive."
        ) from error
    except OSError as error:
        raise _closed(path, error) from error
    if is_folder:
        series = dicom.read_series(path, files)
        image, warnings = series.image, list(series.warnings)
    else:
        image = _read_file(path)
        warnings = headers.check(path, image)
    return _to_volume(image, path.name, warnings)


def _read_file(path: Path) -> sitk.Image:
    try:
        with open(path, "rb") as file:
            is_empty = not file.read(1)
        if is_empty:
            raise VolumeError(f"{path.name} is empty.", why="The file has 0 bytes.", mend="Copy or export it again.")
        return sitk.ReadImage(str(path))
    except OSError as error:
        raise _closed(path, error) from error
    except RuntimeError as error:
        raise headers.explain(path, str(error)) from error


def _closed(path: Path, error: OSError) -> VolumeError:
    return VolumeError(
        f"{path.name} cannot be opened.", why=f"{error.strerror}.", mend="Check its name and who may read it."
    )


def _to_volume(image: sitk.Image, name: str, warnings: list[str]) -> Volume:
    components, dimension = image.GetNumberOfComponentsPerPixel(), image.GetDimension()
    if components > 1:
        raise VolumeError(
            f"{name} has {components} values per voxel.",
            why="It is a time series, a colour image or a vector field. One CT or MR image is segmented at a time.",
            mend="Take one time point or channel out of it (in Slicer: Sequences, or Vector to Scalar Volume).",
        )
    if dimension != 3:
        raise VolumeError(
            f"{name} has {dimension} dimensions ({' x '.join(map(str, image.GetSize()))}).",
            why="One three-dimensional volume is segmented at a time.",
            mend="Take one time point out of it." if dimension > 3 else "Give the whole scan, not one slice of it.",
        )
    if 0 in image.GetSize():
        raise VolumeError(f"{name} is empty.", why="It has no voxels.", mend="Export it again.")
    if image.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise VolumeError(f"{name} has complex values.", why="Scans are real.", mend="Export the magnitude image.")
    spacing = tuple(float(value) for value in image.GetSpacing())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    suitability.check_geometry(spacing, direction)
    skew = suitability.skew(direction)
    if skew > suitability.UNNOTICED_SKEW:
        direction = _nearest_rotation(direction)
        warnings = [*warnings, f"The axes were not quite at right angles (off by {skew:.1g}); they were straightened."]
    return Volume(
        array=sitk.GetArrayFromImage(image).transpose(2, 1, 0)[None],
        spacing_mm=spacing,
        origin_mm=tuple(float(value) for value in image.GetOrigin()),
        direction=tuple(tuple(float(value) for value in row) for row in direction),
        warnings=tuple(warnings),
        modality=image.GetMetaData("0008|0060").strip() if image.HasMetaDataKey("0008|0060") else "",
    )


def _nearest_rotation(direction: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(direction)
    return left @ right


def write(volume: Volume, path: str | os.PathLike) -> None:
    """Write a volume of one channel as NIfTI, NRRD or MetaImage, compressed; an older file is replaced in one step.

    Raises:
        VolumeError: the format or the type of value is unknown, or the file cannot be written.
    """
    path = Path(path)
    ending = next((ending for ending in WRITABLE if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise VolumeError(
            f"{path.name} cannot be written.", why="Its format is unknown.", mend=f"Use {', '.join(WRITABLE)}."
        )
    with replacing(path, ending) as part:
        image = _to_image(volume)
        try:
            sitk.WriteImage(image, str(part), useCompression=True, compressionLevel=1)
        except RuntimeError as error:
            raise OSError(None, "The image library could not write it", str(part)) from error
        if ending.startswith(".nii") and not nifti.is_whole(part):
            raise OSError(None, "Not all of it could be written", str(part))


def _to_image(volume: Volume) -> sitk.Image:
    if volume.array.ndim != 4 or volume.array.shape[0] != 1:
        raise VolumeError(
            f"An array of shape {volume.array.shape} cannot be written.",
            why="One channel, (1, I, J, K), is.",
            mend="Write each channel on its own.",
        )
    array = volume.array[0]
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(volume.origin_mm)
    image.SetDirection([value for row in volume.direction for value in row])
    return image


def write_overlapping(masks: Masks, volume: Volume, labels: Sequence[Label], path: str | os.PathLike) -> None:
    """Write labels that may overlap as a Slicer segmentation (.seg.nrrd) of as many layers as that takes.

    Args:
        masks: where each label is, on the grid of `volume`.
        volume: the image that was segmented; only its geometry is used.
        labels: all of the bundle, in its order; auxiliary ones are left out.
        path: ends with ".seg.nrrd"; an older file is replaced in one step.

    Raises:
        VolumeError: shapes differ, or the file cannot be written.
    """
    _check_shape(masks.shape, volume)
    channels = [channel for channel, label in enumerate(labels) if not label.auxiliary]
    seg_nrrd.write_overlapping(masks, channels, volume.affine, [labels[channel] for channel in channels], path)


def write_segmentation(labels: np.ndarray, volume: Volume, shown: Sequence[Label], path: str | os.PathLike) -> None:
    """Write a label map as a Slicer segmentation (.seg.nrrd): names, colours and terminology included.

    Args:
        labels: label values on the grid of `volume`, (I, J, K), integer; 0 is background.
        volume: the image that was segmented; only its geometry is used.
        shown: the segments, in this order.
        path: ends with ".seg.nrrd"; an older file is replaced in one step.

    Raises:
        VolumeError: shapes differ, a value has no label, or the file cannot be written.
    """
    _check_shape(labels.shape, volume)
    seg_nrrd.write(labels, volume.affine, shown, path)


def _check_shape(shape: tuple[int, ...], volume: Volume) -> None:
    if shape != volume.shape:
        raise VolumeError(
            f"The label map has shape {shape}, its image {volume.shape}.",
            why="A segmentation is written on the grid of its image.",
            mend="Restore the labels to the input grid first.",
        )
