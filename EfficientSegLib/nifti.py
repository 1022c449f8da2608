"""What the image library passes over in silence in NIfTI files: cut-off data, NaN, voxels of 0 mm, a two-fold place."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from EfficientSegLib import suitability
from EfficientSegLib.errors import VolumeError

ENDINGS = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")
# By size of the header, NIfTI-1 and -2: format and place of each field that matters here. Source: nifti1.h, nifti2.h.
FIELDS = {
    348: {
        **{
            "dim": ("8h", 40),
            "type": ("h", 70),
            "bits": ("h", 72),
            "offset": ("f", 108),
            "pixdim": ("8f", 76),
            "unit": ("b", 123),
        },
        **{"codes": ("2h", 252), "turn": ("6f", 256), "rows": ("12f", 280)},
    },
    540: {
        **{
            "dim": ("8q", 16),
            "type": ("h", 12),
            "bits": ("h", 14),
            "offset": ("q", 168),
            "pixdim": ("8d", 104),
            "unit": ("i", 500),
        },
        **{"codes": ("2i", 344), "turn": ("6d", 352), "rows": ("12d", 400)},
    },
}
METRES, MICROMETRES = 1, 3
FLOATS = {16: "f4", 64: "f8"}  # values of "type" that can hold NaN
BLOCK = 1 << 22


def is_whole(path: Path) -> bool:
    """Whether all voxels that the header promises are there; True for a file that is not NIfTI inside."""
    fields = _fields(path)
    if fields is None:
        return len(_header(path)) >= min(FIELDS)
    dim = fields["dim"]
    expected = int(fields["offset"][0]) + int(np.prod(dim[1 : dim[0] + 1], dtype=np.int64)) * fields["bits"][0] // 8
    data_path = _sibling(path, ".hdr", ".img")
    if not _is_packed(data_path):
        return data_path.stat().st_size >= expected
    with open(data_path, "rb") as file:
        file.seek(-4, 2)
        # A gzip stream ends with the length of what it holds; only if that is no answer, it is unpacked and counted.
        if int.from_bytes(file.read(4), "little") == expected % (1 << 32):
            return True
    try:
        with gzip.open(data_path) as file:
            return sum(len(block) for block in iter(lambda: file.read(BLOCK), b"")) >= expected
    except (EOFError, OSError, zlib.error):
        return False


def check(path: Path, image: sitk.Image) -> list[str]:
    """Compare the header with what was read.

    Returns:
        Warnings.

    Raises:
        VolumeError: voxels are missing or no numbers, the voxel size is impossible, or the image was read into
            another place than the header gives.
    """
    if not is_whole(path):
        raise VolumeError(
            f"{path.name} is cut off.", why="It holds fewer voxels than its header says.", mend="Copy it again."
        )
    fields = _fields(path)
    if fields is None:
        return []
    pixdim, (q_code, s_code) = fields["pixdim"], fields["codes"]
    if not all(np.isfinite(value) and value > 0 for value in pixdim[1:4]):
        raise VolumeError(
            f"{path.name} has voxels of {' x '.join(f'{value:g}' for value in pixdim[1:4])} mm.",
            why="A voxel size must be above 0.",
            mend="Correct pixdim in its header, or export it again.",
        )
    if fields["unit"][0] & 7 in (METRES, MICROMETRES):
        raise VolumeError(
            f"{path.name} measures in metres or micrometres.", why="Scans use millimetres.", mend="Convert it first."
        )
    _check_numbers(path, fields)
    if q_code <= 0 and s_code <= 0:
        return [f"{path.name} does not say how the patient lies: left, right, front and back may be exchanged."]
    return _check_place(path, image, fields)


def _check_numbers(path: Path, fields: dict[str, tuple]) -> None:
    """The image library reads NaN and infinity as 0, which in a CT is water; so the file itself is looked through."""
    kind = FLOATS.get(fields["type"][0])
    if kind is None:
        return
    dim, bad = fields["dim"], 0
    left = int(np.prod(dim[1 : dim[0] + 1], dtype=np.int64)) * np.dtype(kind).itemsize
    data_path = _sibling(path, ".hdr", ".img")
    with gzip.open(data_path) if _is_packed(data_path) else open(data_path, "rb") as file:
        file.seek(int(fields["offset"][0]))
        while left > 0 and (block := file.read(min(BLOCK, left))):
            left -= len(block)
            values = np.frombuffer(block, f"{fields['order'][0]}{kind}", len(block) // np.dtype(kind).itemsize)
            bad += values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        raise suitability.not_finite(bad, int(np.prod(dim[1 : dim[0] + 1], dtype=np.int64)))


def _check_place(path: Path, image: sitk.Image, fields: dict[str, tuple]) -> list[str]:
    q_code, s_code = fields["codes"]
    direction = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    read = np.diag([-1, -1, 1]) @ np.column_stack([direction, image.GetOrigin()])  # in NIfTI's RAS
    rows = np.array(fields["rows"]).reshape(3, 4)
    if s_code > 0 and not _same_place(rows, read, image):
        raise VolumeError(
            f"{path.name} says in two ways where it lies, and they differ.",
            why="Its sform is sheared or scaled against its qform and voxel size, so it cannot be placed surely.",
            mend="Check its place in Slicer and save it from there as NRRD.",
        )
    if q_code > 0 and not _same_place(_quaternion_rows(fields["turn"], fields["pixdim"]), read, image):
        return [f"{path.name} says in two ways where it lies (sform and qform differ); the sform is used."]
    return []


def _same_place(rows: np.ndarray, other: np.ndarray, image: sitk.Image) -> bool:
    """Whether two 3 x 4 matrices put every corner of the image within a tenth of a voxel."""
    corners = np.array(np.meshgrid(*[(0, count - 1) for count in image.GetSize()], indexing="ij")).reshape(3, 8)
    difference = rows - other
    return bool(np.abs(difference[:, :3] @ corners + difference[:, 3:]).max() <= 0.1 * min(image.GetSpacing()))


def _quaternion_rows(turn: tuple[float, ...], pixdim: tuple[float, ...]) -> np.ndarray:
    """3 x 4 from indices to RAS. Source: nifti1.h, method 2."""
    b, c, d, *offset = turn
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


def _fields(path: Path) -> dict[str, tuple] | None:
    header = _header(path)
    for order in "<>":
        size = struct.unpack_from(f"{order}i", header)[0] if len(header) >= min(FIELDS) else 0
        if size in FIELDS and len(header) >= size:
            fields = {name: struct.unpack_from(order + kind, header, at) for name, (kind, at) in FIELDS[size].items()}
            return {**fields, "order": (order,)}
    return None


def _header(path: Path) -> bytes:
    """The first bytes of a file, unpacked, as far as they are there."""
    path = _sibling(path, ".img", ".hdr")
    with open(path, "rb") as file:
        raw = file.read(BLOCK) if _is_packed(path) else file.read(max(FIELDS))
    if not _is_packed(path):
        return raw
    try:
        with gzip.open(path) as file:
            return file.read(max(FIELDS))
    except (EOFError, OSError, zlib.error):
        try:
            return zlib.decompressobj(wbits=31).decompress(raw, max(FIELDS))  # what there is of a file that is cut off
        except zlib.error:
            return b""


def _sibling(path: Path, own: str, wanted: str) -> Path:
    """The other file of a header-and-image pair, or the file itself."""
    other = path.with_name(path.name.replace(own, wanted))
    return other if other.exists() else path


def _is_packed(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"
