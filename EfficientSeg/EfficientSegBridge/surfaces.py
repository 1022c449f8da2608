"""3D surfaces of a segmentation while its voxels change: only those of the changed segments are made again."""

from collections.abc import Iterator
from contextlib import contextmanager

from EfficientSegBridge.segment_parts import CLOSED_SURFACE


@contextmanager
def kept(segmentationNode) -> Iterator[set[str]]:
    """Put the identifiers of changed segments into the set that is handed out; at the end the surfaces stand again.

    A change of a label image takes the surfaces of all segments away, and making them again takes seconds.
    """
    segmentation = segmentationNode.GetSegmentation()
    changed: set[str] = set()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    surfaces = {name: segmentation.GetSegment(name).GetRepresentation(CLOSED_SURFACE) for name in ids}
    yield changed
    if any(surface is not None for surface in surfaces.values()):
        for name, surface in surfaces.items():
            segment = segmentation.GetSegment(name)
            if segment is not None and surface is not None and name not in changed:
                segment.AddRepresentation(CLOSED_SURFACE, surface)
        segmentation.CreateRepresentation(CLOSED_SURFACE, False)
        segmentationNode.Modified()
