"""Labels of one volume as segments, filled directly and rewritten in place while the worker reads patches.

All labels share one vtkOrientedImageData with one value each: 0.05 s for 512 x 512 x 400 voxels, against 3 to 15 s
through ImportLabelmapToSegmentationNode. Our labels never enter an image that was there before, so that whatever the
user drew stays, and going back is only a matter of pointing the segments at their old images.

A segment that the user has set to Completed is not written. One that he has hidden is written like the others, because
hiding is for seeing better and a result that is refined here and stale there would be no result; but it stays hidden.
"""

from collections.abc import Iterator

import numpy as np
import slicer

from EfficientSegBridge import nodes, surfaces, undo_point
from EfficientSegBridge.segment_links import SegmentLinks
from EfficientSegBridge.segment_parts import CLOSED_SURFACE, belongsTo, makeNode
from EfficientSegBridge.steps import atOnce
from EfficientSegBridge.volume_image import VolumeImage, slabs
from EfficientSegLib.bundle import Bundle, Label
from EfficientSegLib.geometry import PatchBox, whole

UNREFINED_OUTLINE = 0.55  # opacity of outlines until the last patch is read


class LiveSegmentation:
    """The segments of one run.

    What takes long comes as a generator of short steps (`writing`, `finishing`); `write` and `finish` do it at once.

    Args:
        volumeNode: the volume that is segmented.
        bundle: names, colours, terminology and label values.
        segmentationNode: where the segments go; None, or one that belongs to another volume: a new node is made.
        shown: label values that become segments; None: all. The others are left as they are.
        earlier: the run that this one goes on from: what the user has changed in its segments stays changed.
        region: box of the volume outside which nothing is written; None: everywhere.
    """

    def __init__(
        self,
        volumeNode,
        bundle: Bundle,
        segmentationNode=None,
        shown: tuple[int, ...] | None = None,
        earlier: "LiveSegmentation | None" = None,
        region: PatchBox | None = None,
    ) -> None:
        self._volume = volumeNode
        self._shape = nodes.shape(volumeNode) if volumeNode.GetImageData() is not None else (0, 0, 0)
        self._region = region
        self._earlier = earlier
        self._image: VolumeImage | None = None
        self._bundle, self._shown = bundle, shown
        self._links = SegmentLinks(bundle, shown)
        self._surfaces: dict[str, tuple] = {}  # of before the run; see surfaces.held
        self._outline = 1.0
        self._isLive = False  # True while labels come, without surfaces and with faint outlines
        self.started = False  # True once something of it is in the scene
        self.labels: np.ndarray | None = None  # as the worker said them last, (I, J, K)
        self.voxels: dict[int, int] = {}  # found, by label value; after `finishing`
        self.isNew = segmentationNode is None or not belongsTo(segmentationNode, volumeNode)
        self.node = None if self.isNew else segmentationNode

    def segmentId(self, label: Label) -> str:
        """Our segment of this label; empty where there is none."""
        return self._links.ids.get(label.value, "")

    def resume(self, labels: np.ndarray, found: set[int]) -> None:
        """Go on from what an earlier session has written into the segmentation; its user's changes stay.

        Args:
            labels: as the worker had said them, (I, J, K).
            found: values of them that became segments.
        """
        earlier = LiveSegmentation(self._volume, self._bundle, self.node, self._shown)
        earlier.labels = labels
        earlier._links.adopt(self.node.GetSegmentation(), found)
        self._earlier = earlier

    def respected(self) -> tuple[list[str], list[str]]:
        """Names of our segments that were left alone because they are completed, and of those written though hidden."""
        if self.node is None or self.node.GetDisplayNode() is None:
            return [], []
        return self._links.spared(self.node.GetSegmentation()), self._links.hidden(self.node.GetDisplayNode())

    def write(self, labels: np.ndarray, box: PatchBox) -> None:
        """`writing`, at once."""
        atOnce(self.writing(labels, box))

    def finish(self, labels: np.ndarray) -> dict[int, int]:
        """`finishing`, at once; returns `voxels`."""
        atOnce(self.finishing(labels))
        return self.voxels

    def writing(self, labels: np.ndarray, box: PatchBox) -> Iterator[None]:
        """Rewrite the labels of a box in place, but for what the user has changed there; `show` tells the scene.

        The first one puts the segments into the scene at its end.

        Args:
            labels: label values, (I, J, K) of the box.
            box: in voxels of the volume.
        """
        if self._image is None:
            yield from self._begin()
        inside = box.intersection(self._region) if self._region else box
        if inside is not None:
            table = self._links.table(self._image)
            i, j, k = inside.slices()
            cut = labels[inside.shifted(tuple(-start for start in box.start)).slices()].T
            for rows in slabs(k.start, k.stop):
                fresh = cut[rows.start - k.start : rows.stop - k.start]
                self._merge(fresh, (rows, j, i), table)
                yield
        if not self.started:
            self._attach()
            yield

    def _merge(self, fresh: np.ndarray, place: tuple[slice, slice, slice], table) -> None:
        """Write a slab, (K, J, I). A voxel that is not what we wrote last was changed by the user and stays."""
        said = self.labels.T[place]
        if np.array_equal(fresh, said):
            return
        voxels = self._image.voxels[place]
        wanted, changed = table(fresh), voxels != table(said)
        voxels[...] = np.where(changed, voxels, wanted) if changed.any() else wanted
        said[...] = fresh

    def show(self) -> None:
        """Tell the views, once for any number of `write`."""
        self._image.modified()
        self.node.Modified()

    def finishing(self, labels: np.ndarray) -> Iterator[None]:
        """Write the last labels, drop what was not found, shrink the image to what it holds, and show it in full.

        Args:
            labels: label values of the whole volume, (I, J, K).
        """
        yield from self.writing(labels, whole(labels.shape))
        counts, used = np.zeros(np.iinfo(self._image.dtype).max + 1, np.int64), _Used(self._shape)
        voxels = self._image.voxels
        for rows in self._image.slabs():
            counts += np.bincount(voxels[rows].ravel(), minlength=counts.size)
            used.add(voxels[rows], rows.start)
            yield
        self.voxels = self._links.found(counts)
        for value, count in self.voxels.items():
            if not count and self._links.drop(self.node.GetSegmentation(), value):
                yield
        if used.any:
            yield from self._image.cropping(*used.corners())
        self.show()
        yield
        yield from self._endLive()

    def keeping(self) -> Iterator[None]:
        """End with what was written so far."""
        self.show()
        yield
        yield from self._endLive()

    def restore(self) -> None:
        """Bring the segmentation back to what it was before the first write; a node made for the run goes away."""
        if not self.started or self.node is None:
            self._image = None
            return
        if slicer.mrmlScene.IsNodePresent(self.node):
            if self.isNew:
                slicer.mrmlScene.RemoveNode(self.node)
            else:
                self._goBack(self.node)
        self.started = False
        self._image = None
        if self.isNew:
            self.node = None

    def _goBack(self, node) -> None:
        """Surfaces come back with their labels, unless the user has taken them away since."""
        had3D = self._isLive or node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE)
        modifying = node.StartModify()
        self._links.restore(node.GetSegmentation())
        surfaces.giveBack(node, self._surfaces if had3D else {})
        node.GetDisplayNode().SetOpacity2DOutline(self._outline)
        node.EndModify(modifying)
        node.Modified()

    def _begin(self) -> Iterator[None]:
        """Our image with what is to stay in it; the scene does not know of it yet."""
        image = VolumeImage(self._volume, self._links.largestValue)
        segmentation = None if self.isNew else self.node.GetSegmentation()
        known = self._earlier is not None and self._earlier.labels is not None
        self._links.prepare(segmentation, self._earlier._links if known else None)
        keeps = segmentation is not None and (known or self._region is not None)
        content = self._links.content(segmentation, image) if keeps else None
        said = np.zeros(self._shape, image.dtype, order="F")
        voxels = image.voxels
        for rows in image.slabs():
            voxels[rows] = content(rows) if content else 0
            if self._region is not None and not known:
                i, j, k = self._region.slices()
                voxels[max(rows.start, k.start) : min(rows.stop, k.stop), j, i] = 0
            if known:
                said.T[rows] = self._earlier.labels.T[rows]
            yield
        self._image, self.labels = image, said
        self._earlier = None  # its memory is not needed any more

    def _attach(self) -> None:
        """Put our image into the scene."""
        if self.isNew:
            self.node = makeNode(self._volume)
        else:
            undo_point.save(self.node)
        self.started = True
        self.node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
        self.node.SetReferenceImageGeometryParameterFromVolumeNode(self._volume)
        nodes.placeBeside(self.node, self._volume)
        # Surfaces would be made again at every partial result; they come back at the end.
        self._isLive = True
        self._surfaces = surfaces.held(self.node)
        if self._surfaces:
            self.node.RemoveClosedSurfaceRepresentation()
        self._outline = self.node.GetDisplayNode().GetOpacity2DOutline()
        self.node.GetDisplayNode().SetOpacity2DOutline(UNREFINED_OUTLINE * self._outline)
        modifying = self.node.StartModify()
        self._links.attach(self.node.GetSegmentation(), self._image.image)
        self.node.EndModify(modifying)

    def _endLive(self) -> Iterator[None]:
        """After `show`: a change of the labels would take the surfaces away again."""
        self.node.GetDisplayNode().SetOpacity2DOutline(self._outline)
        if self._surfaces:
            yield
            yield from surfaces.making(self.node, self._surfaces)
        self._isLive = False


class _Used:
    """Which part of a volume holds labels."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._axes = [np.zeros(length, bool) for length in shape]

    def add(self, slab: np.ndarray, start: int) -> None:
        """Voxels, (K, J, I), from slice `start` on."""
        plane = slab.any(axis=0)
        self._axes[0] |= plane.any(axis=0)
        self._axes[1] |= plane.any(axis=1)
        self._axes[2][start : start + len(slab)] = slab.any(axis=(1, 2))

    @property
    def any(self) -> bool:
        return bool(self._axes[0].any())

    def corners(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First and last voxel per axis I, J, K."""
        ends = [np.flatnonzero(axis)[[0, -1]] for axis in self._axes]
        return tuple(int(low) for low, _high in ends), tuple(int(high) for _low, high in ends)
