"""A volume to paint on: deformed coordinates, HU with partial volume, labels."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .fields import smooth_field
from .shapes import Points, ellipsoid, segment

FIELD_OF_VIEW_MM = 384.0
Box = tuple[slice, slice, slice]


@dataclass
class Region:
    """A form in its box: signed distance in mm, negative inside."""

    box: Box
    distance: np.ndarray


class Canvas:
    """The volume that is painted, later strokes over earlier ones.

    Axes are x to the right, y to the front, z upwards, in mm; x and y are 0 in the middle, z at the lower border.

    Args:
        size: voxels per axis; the field of view is always 384 mm, so the same seed shows the same person at any size.
        bend_mm: greatest displacement of the smooth random deformation.
    """

    def __init__(self, size: int, generator: np.random.Generator, bend_mm: float = 9.0) -> None:
        self.size = size
        self.spacing_mm = FIELD_OF_VIEW_MM / size
        centres = (np.arange(size) + 0.5) * self.spacing_mm
        self._lows = (-FIELD_OF_VIEW_MM / 2, -FIELD_OF_VIEW_MM / 2, 0.0)
        axes = tuple(centres + low for low in self._lows)
        self.axes = axes
        self.bend_mm = bend_mm
        coordinates = []
        for index, axis in enumerate(axes):
            moved = smooth_field(axes, 85.0, generator)
            np.tanh(0.5 * moved, out=moved)
            moved *= np.float32(bend_mm)
            moved += np.expand_dims(axis.astype(np.float32), tuple(other for other in range(3) if other != index))
            coordinates.append(moved)
        self.points: Points = tuple(coordinates)
        self.bumps = smooth_field(axes, 20.0, generator)  # the uneven surface of organs
        self.patches = smooth_field(axes, 13.0, generator)  # inhomogeneous parenchyma, contents of the gut
        self.strands = smooth_field(axes, 6.0, generator)  # fine structure of fat and lung
        self.hu = np.full((size, size, size), -1000.0, np.float32)
        self.labels = np.zeros((size, size, size), np.uint8)

    def box(self, low, high) -> Box:
        """Voxels that may show what lies between two corners in mm, wherever the deformation moves it."""
        margin = self.bend_mm + 2 * self.spacing_mm
        ends = []
        for start, one, other in zip(self._lows, low, high):
            first = int(np.clip((one - margin - start) / self.spacing_mm, 0, self.size))
            ends.append(
                slice(first, int(np.clip(np.ceil((other + margin - start) / self.spacing_mm), first, self.size)))
            )
        return tuple(ends)

    def at(self, box: Box) -> Points:
        """Deformed coordinates in a box."""
        return tuple(axis[box] for axis in self.points)

    def uneven(self, region: Region, amplitude_mm: float) -> Region:
        """The form with a bumpy surface."""
        return Region(region.box, region.distance + np.float32(amplitude_mm) * self.bumps[region.box])

    def ellipsoid(self, centre, radii, turn: np.ndarray | None = None) -> Region:
        """An ellipsoid in its box; `radii` along the turned axes."""
        reach = np.asarray(radii) if turn is None else np.sqrt((turn**2) @ np.asarray(radii) ** 2)
        box = self.box(np.asarray(centre) - reach - 4, np.asarray(centre) + reach + 4)
        return Region(box, ellipsoid(self.at(box), centre, radii, turn))

    def tube(self, path: np.ndarray) -> Region:
        """A tube along (n, 4) points x, y, z, radius. Far from it the distance is only a lower bound of 20 mm."""
        path = np.asarray(path, float)
        box = self.box((path[:, :3] - path[:, 3:]).min(0) - 4, (path[:, :3] + path[:, 3:]).max(0) + 4)
        distance = np.full(self.hu[box].shape, 20.0, np.float32)
        for start, end in pairwise(path):
            radius = max(start[3], end[3]) + 4
            small = self.box(np.minimum(start, end)[:3] - radius, np.maximum(start, end)[:3] + radius)
            small = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(small, box))
            if any(one.start >= one.stop for one in small):
                continue
            inside = tuple(slice(one.start - whole.start, one.stop - whole.start) for one, whole in zip(small, box))
            here = distance[inside]
            np.minimum(here, segment(self.at(small), start, end), out=here)
        return Region(box, distance)

    def cover(self, distance: np.ndarray) -> np.ndarray:
        """Part of each voxel inside: a straight border through the voxel, 0.5 where it meets the centre."""
        return np.clip(np.float32(0.5) - distance * np.float32(1 / self.spacing_mm), 0, 1)

    def paint(self, region: Region, hu: float | np.ndarray, label: int | None = 0) -> None:
        """Lay a tissue over what is there. `label` None leaves the labels: a structure inside an organ."""
        if not region.distance.size:
            return
        cover = self.cover(region.distance)
        there = self.hu[region.box]
        there += cover * (hu - there)
        if label is not None:
            self.labels[region.box][cover > 0.5] = label
