"""What the image library passes over in silence or says in its own words: voxel sizes and two-fold NIfTI geometry."""

import gzip
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from EfficientSegLib.errors import VolumeError

NIFTI = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")
TEXT_BYTES = 20_000
# By size of the header, NIfTI-1 and -2: format and place of each field that matters here. Source: nifti1.h, nifti2.h.
NIFTI_FIELDS = {
    348: {"pixdim": ("8f", 76), "unit": ("b", 123), "codes": ("2h", 252), "turn": ("6f", 256), "rows": ("12f", 280)},
    540: {"pixdim": ("8d", 104), "unit": ("i", 500), "codes": ("2i", 344), "turn": ("6d", 352), "rows": ("12d", 400)},
}
REFUSALS = (
    ("orthonormal", "Its axes are not at right angles.", "Resample it onto a straight grid, or mend its sform."),
    ("spacing", "Its voxel size is 0 or missing.", "Correct the voxel size in its header, or export it again."),
    ("size is zero", "It has no voxels.", "Export it again."),
    (
        "Unable to determine ImageIO",
        "It is no image of a known kind.",
        "Give NIfTI, NRRD, MetaImage or a DICOM folder.",
    ),
)


def explain(path: Path, message: str) -> VolumeError:
    """The image library's refusal in words."""
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
    """Compare a file's header with what was read from it.

    Returns:
        Warnings.

    Raises:
        VolumeError: the header gives an impossible voxel size, or places the image elsewhere than it was read.
    """
    name = path.name.lower()
    if image.GetDimension() != 3:
        return []
    if name.endswith(NIFTI):
        return _check_nifti(path, image)
    if name.endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        return _check_text(path)
    return []


def _check_text(path: Path) -> list[str]:
    with open(path, "rb") as file:
        header = file.read(TEXT_BYTES)
    names = (b"\nspace directions:", b"\nspacings:", b"ElementSpacing", b"ElementSize")
    if any(name in header for name in names):
        return []
    return [f"{path.name} names no voxel size: 1 mm is assumed, so that sizes and volumes may be wrong."]


def _check_nifti(path: Path, image: sitk.Image) -> list[str]:
    fields = _nifti_fields(path)
    if fields is None:
        return []
    pixdim, (q_code, s_code) = fields["pixdim"], fields["codes"]
    if not all(np.isfinite(value) and value > 0 for value in pixdim[1:4]):
        raise VolumeError(
            f"{path.name} has voxels of {', '.join(f'{value:g}' for value in pixdim[1:4])} mm.",
            why="Sizes must be above 0.",
            mend="Correct pixdim in its header, or export it again.",
        )
    if fields["unit"][0] & 7 in (1, 3):
        raise VolumeError(
            f"{path.name} measures in metres or micrometres.", why="Scans use millimetres.", mend="Convert it first."
        )
    if q_code <= 0 and s_code <= 0:
        return [f"{path.name} does not say how the patient lies: left, right, front and back may be exchanged."]
    read = _corners(_affine_of(image), image.GetSize())
    allowed = max(0.01, 0.1 * min(image.GetSpacing()))
    if s_code > 0:
        rows = np.array(fields["rows"]).reshape(3, 4)
        if np.abs(_corners(rows, image.GetSize()) - read).max() > allowed:
            raise VolumeError(
                f"{path.name} says in two ways where it lies, and they differ.",
                why="Its sform is sheared or scaled against its qform and voxel size, so it cannot be placed surely.",
                mend="Make both alike (in Slicer: load and save it as NRRD after checking its place).",
            )
    if q_code > 0 and s_code > 0:
        rows = _quaternion_affine(fields["turn"], pixdim)
        if np.abs(_corners(rows, image.GetSize()) - read).max() > allowed:
            return [f"{path.name} says in two ways where it lies (sform and qform differ); the sform is used."]
    return []


def _nifti_fields(path: Path) -> dict[str, tuple] | None:
    name = path.name.replace(".img", ".hdr")
    header_path = path.with_name(name)
    path = header_path if header_path.exists() else path
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else open(path, "rb") as file:
        header = file.read(540)
    for order in "<>":
        size = struct.unpack_from(f"{order}i", header)[0] if len(header) >= 348 else 0
        if size in NIFTI_FIELDS and len(header) >= size:
            return {
                field: struct.unpack_from(order + kind, header, place)
                for field, (kind, place) in NIFTI_FIELDS[size].items()
            }
    return None


def _affine_of(image: sitk.Image) -> np.ndarray:
    """3 x 4 from indices to NIfTI's own RAS millimetres."""
    direction = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    return np.diag([-1, -1, 1]) @ np.column_stack([direction, image.GetOrigin()])


def _quaternion_affine(quatern: tuple[float, ...], pixdim: tuple[float, ...]) -> np.ndarray:
    """3 x 4 from indices to RAS. Source: nifti1.h, method 2."""
    b, c, d, *offset = quatern
    a = max(1 - b * b - c * c - d * d, 0) ** 0.5
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = -1 if pixdim[0] < 0 else 1
    return np.column_stack([rotation * (pixdim[1], pixdim[2], handed * pixdim[3]), offset])


def _corners(affine: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    corners = np.array(np.meshgrid(*[(0, count - 1) for count in size], indexing="ij")).reshape(3, 8)
    return affine[:, :3] @ corners + affine[:, 3:]
