"""Volume node to file, labels to segments: geometry, names and values stay, however the scan lies."""

import unittest

import numpy as np
import slicer
import vtk
from bench import GEOMETRIES, SHAPE, makeFolder, makeVolume, rotation

from EfficientSegBridge import nodes
from EfficientSegLib import volume as volume_file
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import PatchBox


class TestWriteVolume(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.folder = makeFolder() / "Dr. Jöhn Ωé"
        self.folder.mkdir()

    def test_the_worker_reads_the_same_voxels_at_the_same_place(self) -> None:
        for name, axes in GEOMETRIES.items():
            with self.subTest(name):
                volume = makeVolume(axes)
                again = volume_file.read(nodes.writeVolume(volume, self.folder / f"{name}.nrrd"))
                np.testing.assert_array_equal(again.array[0], slicer.util.arrayFromVolume(volume).T)
                toLps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ nodes.ijkToRas(volume)
                np.testing.assert_allclose(np.array(again.direction) * again.spacing_mm, toLps[:3, :3], atol=1e-9)
                np.testing.assert_allclose(again.origin_mm, toLps[:3, 3], atol=1e-9)

    def test_slicer_reads_the_same_voxels_at_the_same_place(self) -> None:
        for name in ("axial", "oblique", "flipped"):  # Slicer turns a left-handed file round when it reads one
            with self.subTest(name):
                volume = makeVolume(GEOMETRIES[name])
                again = slicer.util.loadVolume(str(nodes.writeVolume(volume, self.folder / f"{name}.nrrd")))
                np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(volume))
                np.testing.assert_allclose(nodes.ijkToRas(again), nodes.ijkToRas(volume), atol=1e-9)

    def test_every_scalar_type_keeps_its_values(self) -> None:
        for kind in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"):
            with self.subTest(kind):
                array = (np.arange(np.prod(SHAPE)) % 100).reshape(SHAPE).astype(kind)
                volume = makeVolume(array=array)
                again = slicer.util.loadVolume(str(nodes.writeVolume(volume, self.folder / f"{kind}.nrrd")))
                np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(volume))

    def test_a_parent_transform_is_not_baked_in(self) -> None:
        volume = makeVolume(GEOMETRIES["oblique"])
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[:3, :3] = rotation(40)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        before = nodes.ijkToRas(volume)
        volume.SetAndObserveTransformNodeID(transform.GetID())
        again = slicer.util.loadVolume(str(nodes.writeVolume(volume, self.folder / "moved.nrrd")))
        np.testing.assert_allclose(nodes.ijkToRas(again), before, atol=1e-9)

    def test_the_volume_keeps_its_own_file(self) -> None:
        volume = makeVolume()
        nodes.writeVolume(volume, self.folder / "x.nrrd")
        self.assertIsNone(volume.GetStorageNode())

    def test_sheared_axes_are_refused_and_nothing_is_written(self) -> None:
        axes = np.diag([1.0, 1.0, 2.0])
        axes[1, 2] = 0.4  # a tilted gantry
        with self.assertRaisesRegex(VolumeError, "sheared by 11.3°.*Regularization"):
            nodes.writeVolume(makeVolume(axes), self.folder / "sheared.nrrd")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_what_is_no_grey_volume_is_refused_in_words(self) -> None:
        colour = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
        image = vtk.vtkImageData()
        image.SetDimensions(4, 4, 4)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
        colour.SetAndObserveImageData(image)
        labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
        slicer.util.updateVolumeFromArray(labels, np.ones((4, 4, 4), np.uint8))
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        for node, said in (
            (colour, "3 values in each voxel"),
            (labels, "label map"),
            (empty, "no voxels"),
            (None, "No volume"),
        ):
            with self.subTest(said), self.assertRaisesRegex(VolumeError, said):
                nodes.checkVolume(node)

    def test_a_folder_that_is_gone_is_said(self) -> None:
        with self.assertRaisesRegex(VolumeError, "could not be written"):
            nodes.writeVolume(makeVolume(), self.folder / "nowhere" / "x.nrrd")


class TestCorners(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def test_the_box_of_the_whole_volume_has_the_bounds_of_the_volume(self) -> None:
        for name, axes in GEOMETRIES.items():
            with self.subTest(name):
                volume = makeVolume(axes)
                corners = nodes.boxCorners(PatchBox((0, 0, 0), SHAPE), volume)
                bounds = [0.0] * 6
                volume.GetRASBounds(bounds)
                np.testing.assert_allclose(corners.min(axis=0), bounds[0::2], atol=1e-6)
                np.testing.assert_allclose(corners.max(axis=0), bounds[1::2], atol=1e-6)

    def test_a_box_of_one_voxel_is_centred_on_it(self) -> None:
        volume = makeVolume(GEOMETRIES["oblique"])
        corners = nodes.boxCorners(PatchBox((3, 4, 5), (4, 5, 6)), volume)
        np.testing.assert_allclose(corners.mean(axis=0), (nodes.ijkToRas(volume) @ [3, 4, 5, 1])[:3], atol=1e-9)


if __name__ == "__main__":
    unittest.main()
