"""Where the coarse labels of a result come from: a run of this session holds them; a loaded scene knows what refinement
has changed, and everything else is as coarse as it was.
"""

from collections.abc import Iterator

import numpy as np

from EfficientSegBridge import nodes
from EfficientSegBridge.changes import Changes
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.scene_record import SceneRecord
from EfficientSegBridge.segment_layers import labelPart
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox

PLANES = 8  # of the volume in one step
AT_ONCE = 200_000  # changed voxels in one step


def trouble(record: SceneRecord) -> str:
    """Why the record does not tell the coarse labels; empty where it does."""
    if record.kept == "all":
        return "" if record.changes is not None else _("The coarse labels of this scene cannot be read.")
    if record.kept:
        return _("Refinement has changed so much that the scene does not hold it all. Segment again to see it.")
    return _("There are no coarse labels: this result was not refined, or they were not kept.")


def ofRecord(segmentationNode, volumeNode, findings: Findings, changes: Changes) -> Iterator[None]:
    """Coarse labels, (I, J, K), as the value of a generator of short steps. What the user has edited outside the
    changed voxels is in them as it is now.

    Raises:
        VolumeError: the segmentation lies on other voxels than the volume.
        OptionError: the record belongs to a volume of another size.
    """
    shape = nodes.shape(volumeNode)
    if tuple(changes.shape) != shape:
        raise OptionError(
            _("The record is of another volume."),
            why=_("It counts {one} voxels, the volume has {other}.").format(one=changes.shape, other=shape),
            mend=_("Segment again to see the coarse labels."),
        )
    largest = max((label.value for label in findings.labels), default=0)
    coarse = np.zeros(shape, np.uint8 if largest < 256 else np.uint16, order="F")
    for k in range(0, shape[2], PLANES):
        box = PatchBox((0, 0, k), (*shape[:2], min(k + PLANES, shape[2])))
        coarse[box.slices()] = labelPart(segmentationNode, volumeNode, findings.bundle, box)
        yield
    for start in range(0, changes.index.size, AT_ONCE):
        some = changes.only(slice(start, start + AT_ONCE))
        coarse[some.positions()] = some.coarse
        yield
    return coarse
