"""What the image library says in its own words, or not at all, in the user's."""

import re
from pathlib import Path

import SimpleITK as sitk

from EfficientSegLib import nifti
from EfficientSegLib.errors import VolumeError

TEXT_BYTES = 20_000
TEXT_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
SPACING_FIELDS = (b"\nspace directions:", b"\nspacings:", b"ElementSpacing", b"ElementSize")
NOT_A_NUMBER = re.compile(rb"\n(space directions|spacings):[^\n]*\bnan\b", re.IGNORECASE)
NO_SPACING = re.compile(rb"\nspace directions:([ \t]*none)+[ \t]*\r?\n", re.IGNORECASE)
REFUSALS = (
    ("orthonormal", "Its axes are not at right angles.", "Resample it onto a straight grid, or mend its sform."),
    ("spacing", "Its voxel size is 0 or missing.", "Correct the voxel size in its header, or export it again."),
    ("size is zero", "It has no voxels.", "Export it again."),
    ("allocate memory", "It does not fit into memory, or its header is broken.", "Check its size; close programs."),
    ("No such file or directory", "It is cut off, or a file that it names is missing.", "Copy it again, all of it."),
    ("Unable to determine ImageIO", "It is no known kind of image.", "Give NIfTI, NRRD, MetaImage or a DICOM folder."),
)


def explain(path: Path, message: str) -> VolumeError:
    """The image library's refusal to read a file, in words."""
    for part, why, mend in REFUSALS:
        if part in message:
            return VolumeError(f"{path.name} cannot be read.", why=why, mend=mend)
    last = message.strip().splitlines()[-1].strip()
    return VolumeError(
        f"{path.name} cannot be read.",
        why=f"It is cut off, broken or of an unknown kind ({last}).",
        mend="Copy or export it again.",
    )


def check(path: Path, image: sitk.Image) -> list[str]:
    """Compare a file's header with the image that was read from it.

    Returns:
        Warnings.

    Raises:
        VolumeError: a voxel size is not a number; for NIfTI see `nifti.check`.
    """
    name = path.name.lower()
    if image.GetDimension() == 3 and name.endswith(nifti.ENDINGS):
        return nifti.check(path, image)
    if name.endswith(TEXT_ENDINGS):
        with open(path, "rb") as file:
            header = file.read(TEXT_BYTES)
        if not any(field in header for field in SPACING_FIELDS) or NO_SPACING.search(header):
            return [f"{path.name} names no voxel size: 1 mm is assumed, so that sizes and volumes may be wrong."]
        if NOT_A_NUMBER.search(header):
            raise VolumeError(
                f"{path.name} has a voxel size that is not a number.",
                why="The image library would take 1 mm instead.",
                mend="Correct its spacing, or export it again.",
            )
    return []
