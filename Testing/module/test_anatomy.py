"""Places in words: the patient's left is left, however the scan lies and whatever transform it is under."""

import unittest

import numpy as np
import slicer
from bench import GEOMETRIES, makeBundle, makeVolume
from test_statistics import makeSegmentation, through

from EfficientSegBridge import anatomy, nodes, world
from EfficientSegBridge.anatomy import Extent
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.place_words import PlaceWords
from EfficientSegLib.bundle import Label
from EfficientSegLib.geometry import PatchBox

CUBE = Extent(np.array([0.0, 0.0, 0.0]), np.array([90.0, 90.0, 90.0]))
LONG = Extent(np.array([0.0, 0.0, 0.0]), np.array([50.0, 50.0, 110.0]))
SHAPE = (40, 36, 30)


class TestWords(unittest.TestCase):
    def test_parts_are_named_by_the_patients_sides(self) -> None:
        for point, words in (
            ((45, 45, 45), "middle"),
            ((80, 45, 45), "right part"),
            ((10, 45, 45), "left part"),
            ((45, 80, 45), "front part"),
            ((45, 10, 10), "lower back part"),
            ((88, 45, 88), "upper right part"),
            ((88, 65, 88), "upper right part"),
        ):
            self.assertEqual(anatomy.part(np.array(point, float), CUBE), words)

    def test_poles_only_where_a_structure_stands_upright(self) -> None:
        top = np.array([45.0, 25.0, 100.0])
        self.assertEqual(anatomy.part(top, LONG, poles=True), "upper pole")
        self.assertEqual(anatomy.part(top, LONG), "upper right part")
        self.assertEqual(anatomy.part(np.array([10.0, 25.0, 55.0]), LONG, poles=True), "left part")

    def test_the_structure_around_the_centre_wins_over_a_larger_one_at_the_rim(self) -> None:
        labels = np.zeros((20, 20, 20), np.uint16)
        labels[:6] = 5
        labels[8:13, 6:15, 6:15] = 2
        self.assertGreater((labels == 5).sum(), (labels == 2).sum())
        self.assertEqual(anatomy.structure(labels), 2)
        self.assertEqual(anatomy.structure(np.zeros((4, 4, 4), np.uint16)), 0)

    def test_nothing_there_is_said(self) -> None:
        self.assertEqual(anatomy.say(0, np.zeros(3), {}, None), "outside all structures")


class TestEveryGeometry(unittest.TestCase):
    """A kidney drawn in the patient, seen through scans that lie in every way."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.bundle = makeBundle(labels=(Label(2, "Left kidney", (185, 102, 83), "SCT:64033007", "SCT:7771000"),))
        self.findings = Findings(bundle="played", labels=self.bundle.labels)

    def check(self, volume) -> None:
        voxels = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1).reshape(-1, 3)
        points = world.toWorld(volume, voxels)
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        away = (points - middle) / (5.0, 5.0, 9.0)
        labels = (2 * ((away**2).sum(axis=1) < 1)).reshape(SHAPE).astype(np.uint8)
        self.assertGreater((labels > 0).sum(), 100)
        node = makeSegmentation(volume, self.bundle, labels)
        say = PlaceWords(node, volume, self.findings)
        through(say.preparing())
        for offset, words in (((0, 0, 7), "upper pole"), ((0, 0, -7), "lower pole"), ((4, 0, 0), "right part")):
            voxel = np.round(world.toVoxels(volume, (middle + offset)[None])[0]).astype(int)
            self.assertLess(np.abs(world.toWorld(volume, voxel[None])[0] - middle - offset).max(), 2)
            box = PatchBox(tuple(voxel - 1), tuple(voxel + 2))
            self.assertEqual(say.say(box), f"Left kidney, {words}")
            self.assertEqual(say.say(box, 2), f"Left kidney, {words}")

    def test_every_orientation(self) -> None:
        for name, axes in GEOMETRIES.items():
            with self.subTest(name):
                self.check(makeVolume(axes, SHAPE))

    def test_under_a_transform_that_turns_the_scan_over(self) -> None:
        volume = makeVolume(GEOMETRIES["axial"], SHAPE)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([-1.0, 1.0, -1.0, 1.0])))
        volume.SetAndObserveTransformNodeID(transform.GetID())
        self.check(volume)

    def test_voxels_go_to_the_world_and_back(self) -> None:
        volume = makeVolume(GEOMETRIES["oblique"], SHAPE)
        voxels = np.array([[0.0, 0.0, 0.0], [3.0, 8.5, 2.0]])
        np.testing.assert_allclose(world.toVoxels(volume, world.toWorld(volume, voxels)), voxels, atol=1e-9)
        np.testing.assert_allclose(world.toWorld(volume, voxels)[0], nodes.ijkToRas(volume)[:3, 3])


class TestJump(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.volume = makeVolume(GEOMETRIES["axial"], (100, 100, 60))
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)
        self.red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()

    def test_the_slice_moves_and_the_view_stays_where_the_place_is_in_sight(self) -> None:
        before = self.red.GetXYToRAS().GetElement(0, 3)
        box = PatchBox((40, 40, 10), (60, 60, 13))
        world.jumpTo(self.volume, box)
        (point,) = world.toWorld(self.volume, world.centre(box)[None])
        self.assertAlmostEqual(self.red.GetSliceToRAS().GetElement(2, 3), point[2], 6)
        self.assertAlmostEqual(self.red.GetXYToRAS().GetElement(0, 3), before, 6)

    def test_a_place_out_of_sight_is_brought_to_the_middle(self) -> None:
        self.red.SetFieldOfView(10, 10, 1)
        box = PatchBox((0, 0, 10), (3, 3, 13))
        world.jumpTo(self.volume, box)
        (point,) = world.toWorld(self.volume, world.centre(box)[None])
        origin = [self.red.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]
        np.testing.assert_allclose(origin, point, atol=1e-6)


if __name__ == "__main__":
    unittest.main()
