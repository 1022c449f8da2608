"""A volume node and its file: what can be segmented, how it is written, where results belong in the scene."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import slicer
import vtk

from EfficientSegBridge.translation import _
from EfficientSegLib import suitability
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import PatchBox

WRITTEN_SLICES = 8  # at a time
# NRRD's words for numpy's scalar types.
NRRD_TYPES = {
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    "int64": "int64",
    "uint64": "uint64",
    "float32": "float",
    "float64": "double",
}


def ijkToRas(volumeNode) -> np.ndarray:
    """The volume's own matrix from voxel indices to RAS millimetres, 4x4; its parent transform is not in it."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def shape(volumeNode) -> tuple[int, int, int]:
    """Voxels along I, J and K."""
    return tuple(int(count) for count in volumeNode.GetImageData().GetDimensions())


def direction(volumeNode) -> np.ndarray:
    """Unit vectors of I, J and K in RAS, one per column; no number where the spacing is 0."""
    columns = ijkToRas(volumeNode)[:3, :3]
    with np.errstate(divide="ignore", invalid="ignore"):
        return columns / np.linalg.norm(columns, axis=0)


def checkVolume(volumeNode) -> None:
    """Refuse what cannot be one grey-value volume.

    Raises:
        VolumeError: no node, no voxels, a label map, several components, a spacing of 0, or sheared axes.
    """
    if volumeNode is None:
        raise VolumeError(
            _("No volume is chosen."), why=_("There is nothing to segment."), mend=_("Load a CT and choose it.")
        )
    name = volumeNode.GetName()
    image = volumeNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise VolumeError(
            _("{name} has no voxels.").format(name=name), why=_("The node is empty."), mend=_("Load the image again.")
        )
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        raise VolumeError(
            _("{name} is a label map.").format(name=name),
            why=_("Its values are labels, not grey values."),
            mend=_("Choose the image itself."),
        )
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise VolumeError(
            _("{name} has {count} values in each voxel.").format(name=name, count=components),
            why=_("It is a colour, vector or 4D image; one grey value per voxel is read."),
            mend=_("Load one phase of it as a scalar volume (Add Data, Show Options)."),
        )
    _checkAxes(volumeNode, name)


def _checkAxes(volumeNode, name: str) -> None:
    columns = ijkToRas(volumeNode)[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(columns)) or spacing.min() <= 0:
        said = " × ".join(f"{value:g}" for value in spacing)
        raise VolumeError(
            _("{name} has a spacing of {spacing} mm.").format(name=name, spacing=said),
            why=_("Voxels need a size."),
            mend=_("Correct it in the Volumes module, under Volume Information."),
        )
    shear = suitability.skew(columns / spacing)
    if shear > suitability.LARGEST_SKEW:
        degrees = np.degrees(np.arcsin(min(shear, 1.0)))
        raise VolumeError(
            _("The axes of {name} are sheared by {degrees}°.").format(name=name, degrees=f"{degrees:.1f}"),
            why=_("The networks read voxels at right angles, and labels on a sheared grid cannot be saved exactly."),
            mend=_("Use Acquisition Geometry Regularization in the DICOM module, or Resample Scalar Volume."),
        )


def writeVolume(volumeNode, path: Path) -> Path:
    """`writing`, at once."""
    for _step in writing(volumeNode, path):
        pass
    return path


def writing(volumeNode, path: Path) -> Iterator[None]:
    """Write the voxels as they are, uncompressed, with the volume's own geometry; its parent transform stays out.

    A generator of short steps: checks and the header first, then a few slices at a time. Written here and not by a
    storage node, because saving would change which file the node belongs to. Raw NRRD takes 0.06 s for 210 MB,
    compressed 3.7 s.

    Raises:
        VolumeError: `checkVolume` refuses the node, or the file cannot be written.
    """
    checkVolume(volumeNode)
    voxels = slicer.util.arrayFromVolume(volumeNode)  # (K, J, I)
    stored = voxels.dtype
    if stored.name not in NRRD_TYPES:
        stored = np.dtype(np.int64 if stored.kind in "iu" else np.float64)
    toLps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijkToRas(volumeNode)
    header = [
        "NRRD0004",
        f"type: {NRRD_TYPES[stored.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(count) for count in reversed(voxels.shape))}",
        f"space directions: {' '.join(_vector(toLps[:3, axis]) for axis in range(3))}",
        "kinds: domain domain domain",
        f"endian: {'big' if stored.newbyteorder('=').str[0] == '>' else 'little'}",
        "encoding: raw",
        f"space origin: {_vector(toLps[:3, 3])}",
    ]
    try:
        with open(path, "wb") as file:
            file.write(("\n".join(header) + "\n\n").encode("ascii"))
            yield
            for start in range(0, len(voxels), WRITTEN_SLICES):
                np.ascontiguousarray(voxels[start : start + WRITTEN_SLICES], dtype=stored).tofile(file)
                yield
    except OSError as error:
        raise VolumeError(
            _("{name} could not be written to {path}.").format(name=volumeNode.GetName(), path=path),
            why=f"{error.strerror or error}.",
            mend=_("Make room on that disk, or choose another temporary folder in the application settings."),
        ) from error


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"


def boxCorners(box: PatchBox, volumeNode) -> np.ndarray:
    """The eight corners in the volume's RAS, without its parent transform, (8, 3); a voxel reaches from -0.5 to +0.5.

    Corner number c has the start of axis a where bit a of c is 0, else its stop.
    """
    ends = np.array([box.start, box.stop], dtype=float) - 0.5
    indices = np.array([[ends[(corner >> axis) & 1, axis] for axis in range(3)] for corner in range(8)])
    return (np.c_[indices, np.ones(8)] @ ijkToRas(volumeNode).T)[:, :3]


def placeBeside(node, volumeNode) -> None:
    """Show the node under the same parent as the volume in subject hierarchy, where both have an item."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volumeItem, item = hierarchy.GetItemByDataNode(volumeNode), hierarchy.GetItemByDataNode(node)
    if volumeItem and item:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(volumeItem))
