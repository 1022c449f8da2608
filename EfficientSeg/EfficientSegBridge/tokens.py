"""Dropped tokens: where a network of tokens stopped looking closely, as a colour map over the slices.

A token is a small cube of the volume, 8 voxels along each axis. The network drops those that it finds nothing worth
further computing in, in several steps: dark cubes were dropped first, bright ones were computed to the end. The map is
a hidden segmentation, which leaves the views' label layer to the user, with a segment for each step; it is saved with
the scene like the other overlays, and holds all that its legend says.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from EfficientSegBridge import nodes, overlay_image, overlay_nodes
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, asArray
from EfficientSegBridge.translation import _

# From dropped first to computed to the end: dark violet, red, orange, yellow; told apart by lightness alone.
RAMP = ((0.20, 0.07, 0.38), (0.62, 0.16, 0.40), (0.95, 0.50, 0.13), (0.98, 0.85, 0.25))
FILL = 0.4  # opacity
SHARE = "EfficientSeg.TokenShare"  # tag of a segment: how much of what was read it is, 0 to 1
VOLUME = "EfficientSeg.Volume"  # reference to the volume of the map
PLANES = 16  # of the smaller map in one step


@dataclass(frozen=True, eq=False)
class TokenMap:
    """Which step each place reached."""

    depths: np.ndarray  # (K, J, I) of `overlay_image`: 0 not read, 1 to stages dropped there, stages + 1 to the end
    stages: int


@dataclass(frozen=True)
class Level:
    """One line of the legend."""

    name: str
    color: tuple[float, float, float]
    share: float  # of what was read


def reading(path: str, stages: int) -> Iterator[None]:
    """The worker's map, made smaller, as the value of a generator of short steps: a `TokenMap`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no map of a volume, or holds other steps than it should.
    """
    depths = np.load(path, mmap_mode="r")
    if depths.ndim != 3 or stages < 1:
        raise ValueError(f"shape {depths.shape}, {stages} steps")
    steps = overlay_image.factors(depths.shape)
    middles = [np.arange(step // 2, length + step // 2, step) for length, step in zip(depths.shape, steps)]
    i, j, k = (np.minimum(places, length - 1) for places, length in zip(middles, depths.shape))
    small = np.zeros((len(k), len(j), len(i)), np.uint8)
    for start in range(0, len(k), PLANES):
        rows = k[start : start + PLANES]
        small[start : start + PLANES] = depths[np.ix_(i, j, rows)].T
        yield
    if small.max(initial=0) > stages + 1:
        raise ValueError(f"step {small.max()} of {stages}")
    return TokenMap(small, stages)


def show(tokens: TokenMap, volumeNode, visible: bool) -> None:
    """Draw the map in slice views."""
    if tokens.depths.shape[::-1] != overlay_image.size(nodes.shape(volumeNode)):
        return  # the volume has been given other voxels since
    node = overlay_nodes.find("tokens")
    if node is not None and not _shows(node, tokens, volumeNode):
        slicer.mrmlScene.RemoveNode(node)
        node = None
    if node is None:
        _make(tokens, volumeNode)
    setVisible(visible)


def setVisible(visible: bool) -> None:
    node = overlay_nodes.find("tokens")
    if node is not None and bool(node.GetDisplayNode().GetVisibility()) != bool(visible):
        node.GetDisplayNode().SetVisibility(bool(visible))


def legend() -> list[Level]:
    """What the colours mean, dropped first to computed to the end; empty where there is no map."""
    node = overlay_nodes.find("tokens")
    if node is None:
        return []
    segmentation = node.GetSegmentation()
    found = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    return [Level(segment.GetName(), segment.GetColor(), _share(segment)) for segment in found]


def color(level: int, stages: int) -> tuple[float, float, float]:
    """Of those dropped at step `level`; `stages` + 1 is computed to the end."""
    place = (level - 1) / stages
    steps = np.linspace(0, 1, len(RAMP))
    return tuple(float(np.interp(place, steps, [step[part] for step in RAMP])) for part in range(3))


def _shows(node, tokens: TokenMap, volumeNode) -> bool:
    segment = node.GetSegmentation().GetNthSegment(0)
    image = segment.GetRepresentation(BINARY_LABELMAP) if segment is not None else None
    here = node.GetNodeReferenceID(VOLUME) == volumeNode.GetID()
    return here and image is not None and np.array_equal(asArray(image), tokens.depths)


def _share(segment) -> float:
    value = vtk.reference("")
    try:
        return float(str(value)) if segment.GetTag(SHARE, value) else 0.0
    except ValueError:
        return 0.0


def _make(tokens: TokenMap, volumeNode) -> None:
    name = _("Dropped tokens of {name}").format(name=volumeNode.GetName())
    node = overlay_nodes.add("vtkMRMLSegmentationNode", "tokens", name, volumeNode, hidden=True)
    node.SetSelectable(False)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetNodeReferenceID(VOLUME, volumeNode.GetID())
    image = overlay_image.make(volumeNode)
    asArray(image)[:] = tokens.depths
    counts = np.bincount(tokens.depths.ravel(), minlength=tokens.stages + 2)
    read = max(int(counts[1:].sum()), 1)
    for level in range(1, tokens.stages + 2):
        segment = slicer.vtkSegment()
        segment.SetName(_name(level, tokens.stages))
        segment.SetColor(*color(level, tokens.stages))
        segment.SetLabelValue(level)
        segment.SetTag(SHARE, f"{counts[level] / read:.4f}")
        segment.AddRepresentation(BINARY_LABELMAP, image)
        node.GetSegmentation().AddSegment(segment, f"level{level}")
    display = node.GetDisplayNode()
    display.SetVisibility(False)
    display.SetVisibility3D(False)
    display.SetOpacity2DFill(FILL)
    display.SetOpacity2DOutline(0.0)


def _name(level: int, stages: int) -> str:
    if level > stages:
        return _("computed to the end")
    if level == 1:
        return _("dropped first")
    return _("dropped at step {number} of {steps}").format(number=level, steps=stages)
