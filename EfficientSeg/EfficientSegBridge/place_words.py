"""Says where boxes of a volume lie, from the segmentation as it is now."""

from collections.abc import Iterator

import numpy as np

from EfficientSegBridge import anatomy, nodes, world
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.segment_layers import labelPart
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import PatchBox, whole

MOST_VOXELS = 1_500_000  # of the volume that are looked at, for how far structures reach
SLAB = 12  # planes of these in one step
MOST_ACROSS = 20  # voxels looked at along each axis of a box


class PlaceWords:
    """Where boxes lie, in words; each box is looked at once.

    Args:
        segmentationNode: its segments of the bundle name the places.
        volumeNode: the volume of the boxes.
        findings: which bundle, and its labels.
    """

    def __init__(self, segmentationNode, volumeNode, findings: Findings) -> None:
        self._segmentation, self._volume, self._findings = segmentationNode, volumeNode, findings
        self._extents: dict[int, anatomy.Extent] = {}
        self._said: dict[tuple[PatchBox, int | None], str] = {}

    def preparing(self) -> Iterator[None]:
        """Find out how far the structures reach, in steps; before it is through, only names are said."""
        shape = nodes.shape(self._volume)
        step = max(round((shape[0] * shape[1] * shape[2] / MOST_VOXELS) ** (1 / 3)), 1)
        slabs = []
        try:
            for k in range(0, shape[2], SLAB * step):
                box = PatchBox((0, 0, k), (*shape[:2], min(k + SLAB * step, shape[2])))
                slabs.append(labelPart(self._segmentation, self._volume, self._findings.bundle, box, step))
                yield
        except VolumeError:  # moved or resampled since: then there is no part to be named
            return
        labels = np.concatenate(slabs, axis=2)
        self._extents = yield from anatomy.extents(labels, step, lambda voxels: world.toWorld(self._volume, voxels))
        self._said = {}

    def say(self, box: PatchBox, value: int | None = None) -> str:
        """Such as "Left kidney, upper pole".

        Args:
            value: the label that the box is about; None: the one around its centre.
        """
        if (box, value) not in self._said:
            about = self._structure(box) if value is None else value
            (point,) = world.toWorld(self._volume, world.centre(box)[None])
            self._said[box, value] = anatomy.say(about, point, self._extents, self._findings.label(about))
        return self._said[box, value]

    def _structure(self, box: PatchBox) -> int:
        inside = box.intersection(whole(nodes.shape(self._volume)))
        if inside is None:
            return 0
        step = max(min(inside.shape) // MOST_ACROSS, 1)
        try:
            part = labelPart(self._segmentation, self._volume, self._findings.bundle, inside, step)
        except VolumeError:
            return 0
        return anatomy.structure(part)
