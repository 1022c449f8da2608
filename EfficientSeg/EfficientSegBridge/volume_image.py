"""One label image on a volume's grid, which all segments of a run share, and its voxels as an array."""

from collections.abc import Iterator

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from EfficientSegBridge import nodes
from EfficientSegBridge.segment_parts import asArray

SLAB = 8  # slices at a time: 2 million voxels of a 512 x 512 volume, some milliseconds


class VolumeImage:
    """A vtkOrientedImageData on the volume's grid; an editor may resize it meanwhile, `voxels` sees to that.

    Args:
        volumeNode: gives size and place.
        largestValue: one byte per voxel where the label values allow it, else two.
    """

    def __init__(self, volumeNode, largestValue: int) -> None:
        self._size = nodes.shape(volumeNode)
        self.dtype = np.dtype(np.uint8 if largestValue < 256 else np.uint16)
        self.image = slicer.vtkOrientedImageData()
        matrix = vtk.vtkMatrix4x4()
        volumeNode.GetIJKToRASMatrix(matrix)
        self.image.SetGeometryFromImageToWorldMatrix(matrix)
        self.image.SetExtent(*self._whole())
        self.image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR if self.dtype.itemsize == 1 else vtk.VTK_UNSIGNED_SHORT, 1)

    @property
    def voxels(self) -> np.ndarray:
        """Its voxels, writable, (K, J, I) of the whole volume."""
        extent = self.image.GetExtent()
        if extent != self._whole():
            scalars = _scalars(self.dtype, self._size)
            grown = vtk_to_numpy(scalars).reshape(self._size[::-1])
            grown[:] = 0
            copyShared(asArray(self.image), extent, grown, self._whole())
            self.image.SetExtent(*self._whole())
            self.image.GetPointData().SetScalars(scalars)
        return asArray(self.image)

    def slabs(self) -> Iterator[slice]:
        """Slices along K, a few at a time."""
        return slabs(0, self._size[2])

    def modified(self) -> None:
        self.image.GetPointData().GetScalars().Modified()
        self.image.Modified()

    def cropping(self, low: tuple[int, int, int], high: tuple[int, int, int]) -> Iterator[None]:
        """Shrink it to the voxels from `low` to `high`, both inside, per axis I, J, K, in steps.

        vtkImageData.Crop takes 0.5 s for 512 x 512 x 400 voxels in one piece. Given up where an editor changes the
        image on the way.
        """
        seen = self.image.GetMTime()
        voxels = self.voxels
        size = tuple(b - a + 1 for a, b in zip(low, high))
        scalars = _scalars(self.dtype, size)
        cut = vtk_to_numpy(scalars).reshape(size[::-1])
        for part in slabs(0, size[2]):
            rows = slice(part.start + low[2], part.stop + low[2])
            cut[part] = voxels[rows, low[1] : high[1] + 1, low[0] : high[0] + 1]
            yield
        if self.image.GetMTime() == seen:
            self.image.SetExtent(*(value for pair in zip(low, high) for value in pair))
            self.image.GetPointData().SetScalars(scalars)

    def _whole(self) -> tuple[int, ...]:
        return tuple(value for count in self._size for value in (0, count - 1))


def _scalars(dtype: np.dtype, size: tuple[int, int, int]):
    """Memory of VTK's own, not written yet: numpy's could be gone while the image still lives."""
    scalars = vtk.vtkUnsignedCharArray() if dtype.itemsize == 1 else vtk.vtkUnsignedShortArray()
    scalars.SetName("ImageScalars")
    scalars.SetNumberOfTuples(size[0] * size[1] * size[2])
    return scalars


def slabs(start: int, stop: int) -> Iterator[slice]:
    return (slice(a, min(a + SLAB, stop)) for a in range(start, stop, SLAB))


def copyShared(old: np.ndarray, oldExtent: tuple[int, ...], new: np.ndarray, newExtent: tuple[int, ...]) -> None:
    """Copy the voxels that both extents hold; arrays (K, J, I)."""
    low = [max(a, b) for a, b in zip(oldExtent[::2], newExtent[::2])]
    high = [min(a, b) for a, b in zip(oldExtent[1::2], newExtent[1::2])]
    if all(a <= b for a, b in zip(low, high)):
        inOld, inNew = (
            tuple(slice(low[axis] - extent[2 * axis], high[axis] - extent[2 * axis] + 1) for axis in (2, 1, 0))
            for extent in (oldExtent, newExtent)
        )
        new[inNew] = old[inOld]


def copied(labels: np.ndarray) -> Iterator[None]:
    """A copy, (I, J, K), as the value of a generator of short steps."""
    copy = np.empty_like(labels)  # in the order of memory that `labels` has
    for rows in slabs(0, labels.shape[2]):
        copy[:, :, rows] = labels[:, :, rows]
        yield
    return copy


def counted(labels: np.ndarray) -> Iterator[None]:
    """How many voxels each label value has, as the value of a generator of short steps."""
    counts = np.zeros(np.iinfo(labels.dtype).max + 1, np.int64)
    for rows in slabs(0, labels.shape[2]):
        counts += np.bincount(labels[:, :, rows].ravel(order="K"), minlength=counts.size)
        yield
    return counts


class LabelTable:
    """Says for each label value which value stands for it in an image; 0 for those that are left out."""

    def __init__(self, values: dict[int, int], dtype: np.dtype) -> None:
        self._table = np.zeros(np.iinfo(dtype).max + 1, dtype)
        for value, shown in values.items():
            self._table[value] = shown
        self._dtype = dtype

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """The same voxels in the image's values, contiguous."""
        labels = np.ascontiguousarray(labels, dtype=self._dtype)
        if self._dtype.itemsize == 1:  # four times as fast as indexing
            return np.frombuffer(labels.tobytes().translate(self._table.tobytes()), np.uint8).reshape(labels.shape)
        return self._table[labels]
