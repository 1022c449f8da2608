"""Places in the scene as boxes of a volume's voxels: a point that was clicked, a box that was drawn."""

from itertools import product

import numpy as np
import slicer

from EfficientSegBridge import nodes
from EfficientSegBridge.translation import _
from EfficientSegBridge.world import toVoxels
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import PatchBox, whole

STEPS = 5  # points per edge of a drawn box: a bent transform moves its middle too


def pointBox(world, volumeNode) -> PatchBox:
    """The one voxel of the volume at a point of the world, in mm.

    Raises:
        VolumeError: the point lies outside the volume.
    """
    return _inside(toVoxels(volumeNode, np.array([world])), volumeNode, _("The place"))


def roiBox(roiNode, volumeNode) -> PatchBox:
    """The voxels of the volume that a markups ROI holds, turned or under transforms as both may be.

    Raises:
        VolumeError: the ROI is empty, or lies outside the volume.
    """
    half = np.array(roiNode.GetSize(), float) / 2
    matrix = slicer.util.arrayFromVTKMatrix(roiNode.GetObjectToWorldMatrix())
    if not np.all(half > 0):
        raise VolumeError(
            _("{name} is empty.").format(name=roiNode.GetName()),
            why=_("It has no size."),
            mend=_("Draw it again, or choose the whole volume."),
        )
    corners = np.array(list(product(*(np.linspace(-length, length, STEPS) for length in half))))
    world = corners @ matrix[:3, :3].T + matrix[:3, 3]
    return _inside(toVoxels(volumeNode, world), volumeNode, roiNode.GetName())


def _inside(voxels: np.ndarray, volumeNode, name: str) -> PatchBox:
    start, stop = np.floor(voxels.min(axis=0) + 0.5), np.ceil(voxels.max(axis=0) + 0.5)
    box = PatchBox(tuple(start), tuple(np.maximum(stop, start + 1))).intersection(whole(nodes.shape(volumeNode)))
    if box is None:
        raise VolumeError(
            _("{name} lies outside {volume}.").format(name=name, volume=volumeNode.GetName()),
            why=_("There is nothing to read."),
            mend=_("Choose a place inside the volume."),
        )
    return box
