"""3D surfaces made step by step are Slicer's own, to the last point; whatever the user does meanwhile."""

import unittest

import numpy as np
import slicer
from bench import GEOMETRIES, makeBundle, makeVolume
from vtk.util.numpy_support import vtk_to_numpy

from EfficientSegBridge import surfaces
from EfficientSegBridge.segment_parts import CLOSED_SURFACE
from EfficientSegBridge.segments import LiveSegmentation
from EfficientSegBridge.steps import atOnce

SHAPE = (24, 20, 40)


def balls() -> np.ndarray:
    """Two balls, one of them cut off by the border, and no third; (I, J, K)."""
    labels = np.zeros(SHAPE, np.uint8)
    grid = np.ogrid[tuple(slice(length) for length in SHAPE)]
    for value, centre in ((1, (8, 9, 10)), (2, (18, 10, 38))):
        labels[sum((axis - c) ** 2 for axis, c in zip(grid, centre)) < 36] = value
    return labels


def points(node) -> dict[str, np.ndarray]:
    segmentation = node.GetSegmentation()
    found = {}
    for name in (segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())):
        surface = segmentation.GetSegment(name).GetRepresentation(CLOSED_SURFACE)
        empty = surface is None or surface.GetNumberOfPoints() == 0
        found[name] = np.zeros((0, 3)) if empty else vtk_to_numpy(surface.GetPoints().GetData()).copy()
    return found


class TestSurfaces(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.volume = makeVolume(GEOMETRIES["oblique"], shape=SHAPE, array=np.zeros(SHAPE, np.int16))
        self.live = LiveSegmentation(self.volume, makeBundle())
        self.live.finish(balls())
        self.node = self.live.node
        self.segmentation = self.node.GetSegmentation()

    def slicers(self) -> dict[str, np.ndarray]:
        """What Slicer makes of it in one piece."""
        self.node.RemoveClosedSurfaceRepresentation()
        self.node.CreateClosedSurfaceRepresentation()
        return points(self.node)

    def assertSlicers(self) -> None:
        found = points(self.node)
        for name, expected in self.slicers().items():
            np.testing.assert_allclose(found[name], expected, atol=1e-4, err_msg=name)

    def test_they_are_slicers_own_and_appear_together(self) -> None:
        steps = 0
        for _step in surfaces.making(self.node):
            steps += 1
            self.assertFalse(self.segmentation.ContainsRepresentation(CLOSED_SURFACE))
        self.assertGreater(steps, 2 * SHAPE[2] // surfaces.PLANES)
        self.assertTrue(self.segmentation.ContainsRepresentation(CLOSED_SURFACE))
        self.assertTrue(all(len(found) > 50 for found in points(self.node).values()))
        self.assertSlicers()

    def test_the_settings_of_the_segmentation_are_followed(self) -> None:
        rough = len(points(self.node)["played_1"])
        for name, value in (("Smoothing factor", "0.0"), ("Decimation factor", "0.5"), ("Joint smoothing", "1")):
            with self.subTest(name):
                self.segmentation.SetConversionParameter(name, value)
                self.node.RemoveClosedSurfaceRepresentation()
                atOnce(surfaces.making(self.node))
                self.assertGreater(len(points(self.node)["played_1"]), rough)
                self.assertSlicers()

    def test_what_is_drawn_meanwhile_is_in_them(self) -> None:
        work = surfaces.making(self.node)
        for _step in range(6):
            next(work)
        image = self.segmentation.GetSegment("played_1").GetRepresentation("Binary labelmap")
        self.live._image.voxels[5:9, 2:8, 2:8] = 1
        image.GetPointData().GetScalars().Modified()
        image.Modified()
        atOnce(work)
        self.assertSlicers()

    def test_a_segment_deleted_meanwhile_stays_deleted(self) -> None:
        work = surfaces.making(self.node)
        next(work)
        self.segmentation.RemoveSegment("played_1")
        atOnce(work)
        self.assertEqual(list(points(self.node)), ["played_2"])
        self.assertGreater(len(points(self.node)["played_2"]), 50)

    def test_an_empty_segment_has_an_empty_one(self) -> None:
        self.segmentation.AddEmptySegment("empty")
        atOnce(surfaces.making(self.node))
        self.assertEqual(len(points(self.node)["empty"]), 0)
        self.assertGreater(len(points(self.node)["played_1"]), 50)


if __name__ == "__main__":
    unittest.main()
