"""The image that all segments of a run share: cropped in steps, grown again, and values put in others' place."""

import unittest

import numpy as np
import slicer
from bench import GEOMETRIES, SHAPE, makeVolume

from EfficientSegBridge.segment_parts import asArray
from EfficientSegBridge.steps import atOnce
from EfficientSegBridge.volume_image import LabelTable, VolumeImage, copied, copyShared


class TestVolumeImage(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.volume = makeVolume(GEOMETRIES["oblique"])
        self.image = VolumeImage(self.volume, 9)
        self.values = np.random.default_rng(1).integers(0, 9, SHAPE[::-1]).astype(np.uint8)
        self.image.voxels[:] = self.values

    def test_two_bytes_only_where_the_values_need_them(self) -> None:
        self.assertEqual(self.image.image.GetScalarSize(), 1)
        self.assertEqual(VolumeImage(self.volume, 300).image.GetScalarSize(), 2)

    def test_cropping_keeps_every_voxel_where_it_was(self) -> None:
        reference = slicer.vtkOrientedImageData()
        reference.DeepCopy(self.image.image)
        reference.Crop([2, 9, 1, 8, 3, 6])  # VTK's own, as the known answer
        atOnce(self.image.cropping((2, 1, 3), (9, 8, 6)))
        self.assertEqual(self.image.image.GetExtent(), (2, 9, 1, 8, 3, 6))
        np.testing.assert_array_equal(asArray(self.image.image), asArray(reference))
        self.assertEqual(self.image.image.GetScalarType(), reference.GetScalarType())

    def test_it_grows_again_with_zeros_outside(self) -> None:
        atOnce(self.image.cropping((2, 1, 3), (9, 8, 6)))
        grown = np.zeros_like(self.values)
        grown[3:7, 1:9, 2:10] = self.values[3:7, 1:9, 2:10]
        np.testing.assert_array_equal(self.image.voxels, grown)
        self.assertEqual(self.image.image.GetDimensions(), SHAPE)

    def test_an_edit_on_the_way_is_not_cropped_away(self) -> None:
        work = self.image.cropping((2, 1, 3), (9, 8, 6))
        next(work)
        self.image.voxels[0, 0, 0] = 7
        self.image.modified()
        atOnce(work)
        self.assertEqual(self.image.image.GetDimensions(), SHAPE)
        self.assertEqual(self.image.voxels[0, 0, 0], 7)

    def test_extents_that_do_not_meet_share_nothing(self) -> None:
        target = np.zeros((2, 2, 2), np.uint8)
        copyShared(np.ones((2, 2, 2), np.uint8), (5, 6, 5, 6, 5, 6), target, (0, 1, 0, 1, 0, 1))
        self.assertFalse(target.any())


class TestTable(unittest.TestCase):
    def test_values_take_others_place_and_the_rest_is_left_out(self) -> None:
        labels = np.array([[0, 1], [2, 3]], np.uint8)
        for dtype in (np.uint8, np.uint16):
            with self.subTest(dtype):
                table = LabelTable({1: 1, 3: 9}, np.dtype(dtype))
                np.testing.assert_array_equal(table(labels), [[0, 1], [0, 9]])
                self.assertEqual(table(labels).dtype, dtype)

    def test_a_copy_is_one(self) -> None:
        labels = np.asfortranarray(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
        work, copy = copied(labels), None
        while copy is None:
            try:
                next(work)
            except StopIteration as end:
                copy = end.value
        np.testing.assert_array_equal(copy, labels)
        self.assertTrue(copy.flags.f_contiguous)
        self.assertIsNot(copy, labels)


if __name__ == "__main__":
    unittest.main()
