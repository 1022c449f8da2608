"""Between the voxels of a volume and the world of the views, with any parent transform; and jumps to a place there."""

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from EfficientSegBridge import nodes
from EfficientSegLib.geometry import PatchBox

RIM = 0.08  # share of a view at each side where a place is seen too badly: the view is then centred on it


def toWorld(volumeNode, voxels: np.ndarray) -> np.ndarray:
    """Voxel indices (N, 3) as points of the world in RAS millimetres (N, 3)."""
    ras = np.c_[voxels, np.ones(len(voxels))] @ nodes.ijkToRas(volumeNode).T
    return _between(volumeNode.GetParentTransformNode(), None, ras[:, :3])


def toVoxels(volumeNode, points: np.ndarray) -> np.ndarray:
    """Points of the world in RAS millimetres (N, 3) as voxel indices (N, 3), not rounded."""
    local = _between(None, volumeNode.GetParentTransformNode(), np.asarray(points, float))
    return (np.c_[local, np.ones(len(local))] @ np.linalg.inv(nodes.ijkToRas(volumeNode)).T)[:, :3]


def isInside(box: PatchBox, voxel: np.ndarray) -> bool:
    """True if a point in voxel indices, not rounded, lies in a box; a voxel reaches from -0.5 to +0.5."""
    return all(a - 0.5 <= value < b - 0.5 for a, value, b in zip(box.start, voxel, box.stop))


def centre(box: PatchBox) -> np.ndarray:
    """The middle of a box in voxel indices, (3,); whole numbers are the middles of voxels."""
    return (np.array(box.start, float) + np.array(box.stop, float)) / 2 - 0.5


def jumpTo(volumeNode, box: PatchBox) -> None:
    """Show the middle of a box in all slice views; a view is moved only where the place would be out of sight."""
    (point,) = toWorld(volumeNode, centre(box)[None])
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSliceByOffsetting(*point)
        if not _isSeen(node, point):
            node.JumpSliceByCentering(*point)


def _isSeen(sliceNode, point: np.ndarray) -> bool:
    toView = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(sliceNode.GetXYToRAS(), toView)
    place = toView.MultiplyPoint((*point, 1.0))
    return all(RIM < part / max(size, 1) < 1 - RIM for part, size in zip(place[:2], sliceNode.GetDimensions()[:2]))


def _between(source, target, points: np.ndarray) -> np.ndarray:
    """Points under one transform node as points under another one; None is the world."""
    if source is target or not len(points):
        return points
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    given, moved = vtk.vtkPoints(), vtk.vtkPoints()
    given.SetData(numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64), deep=True))
    moved.SetDataTypeToDouble()
    transform.TransformPoints(given, moved)
    return vtk_to_numpy(moved.GetData()).copy()
