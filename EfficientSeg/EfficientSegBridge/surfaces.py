"""3D surfaces of a segmentation: made one segment after the other, and kept while the voxels of others change.

Slicer makes all of them in one piece, and looks through the whole shared label image for each: 28 s for 20 segments of
512 x 512 x 400 voxels, during which nothing answers. Here each segment's own part of the image is cut out first, and
the same conversion is asked for that part: the same surface to the last point, 5 s in all. One segment is the smallest
step that Slicer's conversion has; one of 100,000 points takes 0.3 s.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import slicer
import vtk

from EfficientSegBridge.segment_parts import BINARY_LABELMAP, CLOSED_SURFACE, asArray
from EfficientSegBridge.steps import atOnce

PLANES = 16  # of a label image looked through in one step: about 5 ms for 512 x 512 voxels


@contextmanager
def kept(segmentationNode) -> Iterator[set[str]]:
    """Put the identifiers of changed segments into the set that is handed out; at the end the surfaces stand again.

    A change of a label image takes the surfaces of all segments away, and making them again takes seconds.
    """
    changed: set[str] = set()
    before = held(segmentationNode)
    yield changed
    if before:
        standing = {name: (None, surface) for name, (_seen, surface) in before.items() if name not in changed}
        atOnce(making(segmentationNode, standing))


def held(segmentationNode) -> dict[str, tuple]:
    """The surfaces that there are by segment, each with what it was made of; they can be given back by `making`."""
    segmentation = segmentationNode.GetSegmentation()
    segments = {name: segmentation.GetSegment(name) for name in _ids(segmentation)}
    found = {name: (_seen(segment), segment.GetRepresentation(CLOSED_SURFACE)) for name, segment in segments.items()}
    return {name: (seen, surface) for name, (seen, surface) in found.items() if surface is not None}


def making(segmentationNode, standing: dict[str, tuple] | None = None) -> Iterator[None]:
    """Make the surfaces of all segments in short steps; they appear together, at the end.

    Args:
        standing: surfaces of `held`, taken over where they were made of what the segment holds now, or of None.
    """
    segmentation = segmentationNode.GetSegmentation()
    made = dict(standing or {})
    if _isPlain(segmentation):
        rule = _rule(segmentation)
        for name in _ids(segmentation):
            segment = segmentation.GetSegment(name)
            if segment is not None and not _fits(made.get(name), segment):
                seen = _seen(segment)
                made[name] = seen, (yield from _surface(*seen[:2], rule))
                yield
    _give(segmentationNode, made)


def giveBack(segmentationNode, standing: dict[str, tuple]) -> None:
    """Put surfaces of `held` in the place of those that there are, if each segment still is what its one was made of;
    else there are none afterwards."""
    segmentationNode.RemoveClosedSurfaceRepresentation()
    segmentation = segmentationNode.GetSegmentation()
    names = _ids(segmentation)
    if names and all(_fits(standing.get(name), segmentation.GetSegment(name)) for name in names):
        _give(segmentationNode, standing)


def _give(segmentationNode, made: dict[str, tuple]) -> None:
    segmentation = segmentationNode.GetSegmentation()
    modifying = segmentationNode.StartModify()  # else each view looks through all segments after each of them
    for name, surface in made.items():
        segment = segmentation.GetSegment(name)
        if segment is not None and _fits(surface, segment):  # nobody has drawn in it meanwhile
            segment.AddRepresentation(CLOSED_SURFACE, surface[1])
    segmentation.CreateRepresentation(CLOSED_SURFACE, False)  # what is missing, and tells those who look on
    segmentationNode.EndModify(modifying)
    segmentationNode.Modified()


def _fits(surface: tuple | None, segment) -> bool:
    """True if there is a surface, and it was made of what the segment holds, or is said to be right."""
    return surface is not None and surface[0] in (None, _seen(segment))


def _ids(segmentation) -> list[str]:
    return [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]


def _isPlain(segmentation) -> bool:
    """True if each surface follows from its own labels alone; jointly smoothed ones are left to Slicer."""
    joint = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule.GetJointSmoothingParameterName()
    asked = segmentation.GetConversionParameter(joint) or "0"
    return segmentation.GetSourceRepresentationName() == BINARY_LABELMAP and float(asked) == 0


def _rule(segmentation):
    """Slicer's conversion, as it is set for this segmentation."""
    kind = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule
    rule = kind()
    for name in (
        kind.GetDecimationFactorParameterName(),
        kind.GetSmoothingFactorParameterName(),
        kind.GetComputeSurfaceNormalsParameterName(),
        *_newer(kind),
    ):
        value = segmentation.GetConversionParameter(name)
        if value:
            rule.SetConversionParameter(name, value)
    return rule


def _newer(kind) -> list[str]:
    """Parameters that Slicer before 5.2 does not know."""
    getters = ("GetConversionMethodParameterName", "GetSurfaceNetInternalSmoothingParameterName")
    return [getattr(kind, getter)() for getter in getters if hasattr(kind, getter)]


def _seen(segment) -> tuple:
    """Its label image, its value there, and how new that is."""
    image = segment.GetRepresentation(BINARY_LABELMAP)
    return image, segment.GetLabelValue(), image.GetMTime() if image is not None else 0


def _surface(image, value: int, rule) -> Iterator[None]:
    """The surface of one label, as the value of a generator of short steps."""
    box = None
    if image is not None and image.GetNumberOfPoints():
        box = yield from _box(image, value)
    if box is None:
        return vtk.vtkPolyData()
    segment = slicer.vtkSegment()
    segment.SetLabelValue(1)
    segment.AddRepresentation(BINARY_LABELMAP, _cut(image, value, box))
    yield
    rule.Convert(segment)
    return segment.GetRepresentation(CLOSED_SURFACE)


def _box(image, value: int) -> Iterator[None]:
    """Where in the array of an image a label lies, (K, J, I) slices, as the value of a generator of short steps."""
    voxels, seen = asArray(image), image.GetMTime()
    used = [np.zeros(length, bool) for length in voxels.shape]
    for start in range(0, voxels.shape[0], PLANES):
        if image.GetMTime() != seen:
            return None  # an editor may have taken the memory away
        here = voxels[start : start + PLANES] == value
        plane = here.any(axis=0)
        used[0][start : start + PLANES] = here.any(axis=(1, 2))
        used[1] |= plane.any(axis=1)
        used[2] |= plane.any(axis=0)
        yield
    if not used[0].any() or image.GetMTime() != seen:
        return None
    ends = [np.flatnonzero(axis)[[0, -1]] for axis in used]
    return tuple(slice(int(low), int(high) + 1) for low, high in ends)


def _cut(image, value: int, box: tuple[slice, ...]):
    """1 where the label is, no larger than it."""
    cut = slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    cut.SetGeometryFromImageToWorldMatrix(matrix)
    first = image.GetExtent()[::2]
    cut.SetExtent(*(a + end for a, rows in zip(first, box[::-1]) for end in (rows.start, rows.stop - 1)))
    cut.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    asArray(cut)[:] = asArray(image)[box] == value
    return cut
