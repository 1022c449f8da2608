"""Live segmentation: voxel for voxel where the volume is, the user's own work untouched, and a way back."""

import unittest

import numpy as np
import slicer
import vtk
from bench import GEOMETRIES, SHAPE, labelsOf, makeBundle, makeVolume, rotation, segmentNames

from EfficientSegBridge import nodes
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, CLOSED_SURFACE, asArray
from EfficientSegBridge.segments import LiveSegmentation
from EfficientSegLib.geometry import PatchBox, whole


def drawn() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:5, 2:6, 1:4] = 1
    labels[6:9, 2:6, 3:7] = 2
    labels[10, 8, 7] = 3
    return labels


def linearTransform():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(40), (5, -3, 8)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def bendingTransform():
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    for index, corner in enumerate(np.ndindex(2, 2, 2)):
        point = np.array(corner) * 40.0 - 20
        before.InsertNextPoint(*point)
        after.InsertNextPoint(*(point + np.array((index % 3, 2 - index % 2, index / 3))))
    spline.SetSourceLandmarks(before)
    spline.SetTargetLandmarks(after)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    node.SetAndObserveTransformToParent(spline)
    return node


class TestGeometry(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def test_every_voxel_lies_where_it_was_segmented(self) -> None:
        for name, axes in GEOMETRIES.items():
            for parent in (None, linearTransform, bendingTransform):
                with self.subTest(name, parent=parent and parent.__name__):
                    slicer.mrmlScene.Clear(0)
                    volume, bundle, labels = makeVolume(axes), makeBundle(), drawn()
                    if parent:
                        volume.SetAndObserveTransformNodeID(parent().GetID())
                    live = LiveSegmentation(volume, bundle)
                    live.finish(labels)
                    self.assertEqual(live.node.GetTransformNodeID(), volume.GetTransformNodeID())
                    for label in bundle.labels:
                        found = labelsOf(live.node, live.segmentId(label), volume)
                        np.testing.assert_array_equal(found, labels == label.value)
                    self._centreIsThere(live, volume, labels, bundle.labels[2])

    def _centreIsThere(self, live, volume, labels, label) -> None:
        """The world place of the one voxel of this label, told by the segment and by the volume."""
        segment = live.node.GetSegmentation().GetSegment(live.segmentId(label))
        image = segment.GetRepresentation(BINARY_LABELMAP)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        index = np.argwhere(labels == label.value)[0]
        own = slicer.util.arrayFromVTKMatrix(matrix) @ [*index, 1]
        np.testing.assert_allclose(own, nodes.ijkToRas(volume) @ [*index, 1], atol=1e-6)

    def test_the_volume_is_its_reference_and_its_neighbour(self) -> None:
        volume = makeVolume(GEOMETRIES["oblique"])
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
        live = LiveSegmentation(volume, makeBundle())
        live.finish(drawn())
        role = live.node.GetReferenceImageGeometryReferenceRole()
        self.assertEqual(live.node.GetNodeReferenceID(role), volume.GetID())
        self.assertEqual(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(live.node)), study)


class TestContent(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.volume, self.bundle = makeVolume(GEOMETRIES["axial"]), makeBundle()

    def test_names_colours_and_terms_come_from_the_bundle(self) -> None:
        live = LiveSegmentation(self.volume, self.bundle)
        live.finish(drawn())
        self.assertEqual(segmentNames(live.node), ["Liver", "Left kidney", "Spleen"])
        kidney = live.node.GetSegmentation().GetSegment(live.segmentId(self.bundle.labels[1]))
        np.testing.assert_allclose(kidney.GetColor(), np.array([185, 102, 83]) / 255, atol=1e-6)
        entry = slicer.vtkSlicerTerminologyEntry()
        tag = vtk.reference("")
        self.assertTrue(kidney.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag))
        self.assertTrue(slicer.modules.terminologies.logic().DeserializeTerminologyEntry(str(tag), entry))
        self.assertEqual(entry.GetTypeObject().GetCodeValue(), "64033007")
        self.assertEqual(entry.GetTypeModifierObject().GetCodeMeaning(), "Left")

    def test_all_labels_share_one_image_no_larger_than_they_are(self) -> None:
        live = LiveSegmentation(self.volume, self.bundle)
        counts = live.finish(drawn())
        self.assertEqual(live.node.GetSegmentation().GetNumberOfLayers(), 1)
        image = live.node.GetSegmentation().GetNthSegment(0).GetRepresentation(BINARY_LABELMAP)
        self.assertEqual(image.GetExtent(), (1, 10, 2, 8, 1, 7))
        self.assertEqual(image.GetScalarSize(), 1)
        self.assertEqual(counts, {1: 48, 2: 48, 3: 1})

    def test_a_box_is_rewritten_in_place_and_only_the_box(self) -> None:
        live, labels = LiveSegmentation(self.volume, self.bundle), drawn()
        live.write(labels, whole(SHAPE))
        live.show()
        seen = []
        live.node.GetSegmentation().AddObserver(
            slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: seen.append(1)
        )
        box = PatchBox((4, 0, 2), (8, 5, 6))
        live.write(np.full(box.shape, 2, np.uint8), box)
        self.assertEqual(seen, [])
        live.show()
        self.assertTrue(seen)
        labels[box.slices()] = 2
        for label in self.bundle.labels:
            found = labelsOf(live.node, live.segmentId(label), self.volume)
            np.testing.assert_array_equal(found, labels == label.value)

    def test_what_was_not_found_is_no_segment(self) -> None:
        live = LiveSegmentation(self.volume, self.bundle)
        counts = live.finish(np.where(drawn() == 2, 0, drawn()))
        self.assertEqual(segmentNames(live.node), ["Liver", "Spleen"])
        self.assertEqual(counts[2], 0)


class TestRespect(unittest.TestCase):
    """What the user made or changed stays as it is."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.volume, self.bundle = makeVolume(GEOMETRIES["oblique"]), makeBundle()
        self.first = LiveSegmentation(self.volume, self.bundle)
        self.first.finish(drawn())
        self.node = self.first.node
        self.segmentation = self.node.GetSegmentation()

    def _own(self, mask: np.ndarray) -> str:
        """A segment of the user's, in the image that it shares with ours as Slicer's editor would have it."""
        image = self.segmentation.GetNthSegment(0).GetRepresentation(BINARY_LABELMAP)
        own = slicer.vtkSegment()
        own.SetName("tumour")
        own.SetLabelValue(9)
        own.AddRepresentation(BINARY_LABELMAP, image)
        extent = image.GetExtent()
        inside = tuple(slice(extent[2 * axis], extent[2 * axis + 1] + 1) for axis in range(3))
        asArray(image).T[mask[inside]] = 9
        self.segmentation.AddSegment(own, "tumour")
        return "tumour"

    def test_another_run_keeps_names_colours_and_own_segments(self) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[2:4, 3:5, 2:3] = True  # inside the liver
        tumour = self._own(mask)
        liver = self.segmentation.GetSegment(self.first.segmentId(self.bundle.labels[0]))
        liver.SetName("Leber")
        liver.SetColor(0, 0, 1)
        fresh = np.roll(drawn(), 1, axis=0)
        second = LiveSegmentation(self.volume, self.bundle, self.node)
        second.finish(fresh)
        self.assertIs(second.node, self.node)
        self.assertEqual(segmentNames(self.node), ["Leber", "Left kidney", "Spleen", "tumour"])
        self.assertEqual(liver.GetColor(), (0, 0, 1))
        np.testing.assert_array_equal(labelsOf(self.node, tumour, self.volume), mask)
        np.testing.assert_array_equal(
            labelsOf(self.node, second.segmentId(self.bundle.labels[0]), self.volume), fresh == 1
        )

    def test_a_completed_segment_is_left_alone(self) -> None:
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        liver = self.first.segmentId(self.bundle.labels[0])
        logic.SetSegmentStatus(self.segmentation.GetSegment(liver), logic.Completed)
        LiveSegmentation(self.volume, self.bundle, self.node).finish(np.full(SHAPE, 1, np.uint8))
        self.assertEqual(segmentNames(self.node).count("Liver"), 1)
        np.testing.assert_array_equal(labelsOf(self.node, liver, self.volume), drawn() == 1)

    def test_restore_brings_back_every_voxel_and_segment(self) -> None:
        kidney = self.first.segmentId(self.bundle.labels[1])
        self.segmentation.RemoveSegment(kidney)
        second = LiveSegmentation(self.volume, self.bundle, self.node)
        second.write(np.full(SHAPE, 2, np.uint8), whole(SHAPE))
        second.show()
        self.assertEqual(len(segmentNames(self.node)), 3)
        second.restore()
        self.assertEqual(segmentNames(self.node), ["Liver", "Spleen"])
        for label in (self.bundle.labels[0], self.bundle.labels[2]):
            found = labelsOf(self.node, self.first.segmentId(label), self.volume)
            np.testing.assert_array_equal(found, drawn() == label.value)
        self.assertEqual(self.node.GetDisplayNode().GetOpacity2DOutline(), 1.0)

    def test_restore_after_finish_is_undo(self) -> None:
        second = LiveSegmentation(self.volume, self.bundle, self.node)
        second.finish(np.zeros(SHAPE, np.uint8))
        second.restore()
        found = labelsOf(self.node, self.first.segmentId(self.bundle.labels[0]), self.volume)
        np.testing.assert_array_equal(found, drawn() == 1)

    def test_a_new_node_goes_away_again(self) -> None:
        before = slicer.mrmlScene.GetNumberOfNodes()
        live = LiveSegmentation(self.volume, self.bundle)
        live.write(drawn(), whole(SHAPE))
        live.restore()
        self.assertIsNone(live.node)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def test_another_volumes_segmentation_is_not_written_into(self) -> None:
        other = makeVolume(GEOMETRIES["axial"], name="other")
        live = LiveSegmentation(other, self.bundle, self.node)
        live.finish(drawn())
        self.assertIsNot(live.node, self.node)

    def test_surfaces_come_back_at_the_end(self) -> None:
        self.node.CreateClosedSurfaceRepresentation()
        second = LiveSegmentation(self.volume, self.bundle, self.node)
        second.write(drawn(), whole(SHAPE))
        self.assertFalse(self.segmentation.ContainsRepresentation(CLOSED_SURFACE))
        second.finish(drawn())
        self.assertTrue(self.segmentation.ContainsRepresentation(CLOSED_SURFACE))

    def surfaces(self) -> list:
        return [self.segmentation.GetNthSegment(n).GetRepresentation(CLOSED_SURFACE) for n in range(3)]

    def test_undo_brings_the_surfaces_of_before_back_without_making_them_again(self) -> None:
        self.node.CreateClosedSurfaceRepresentation()
        before = self.surfaces()
        second = LiveSegmentation(self.volume, self.bundle, self.node)
        second.finish(np.roll(drawn(), 1, axis=0))
        self.assertIsNot(self.surfaces()[0], before[0])
        second.restore()
        for surface, expected in zip(self.surfaces(), before):
            self.assertIs(surface, expected)

    def test_undo_leaves_no_surface_of_what_is_not_there_any_more(self) -> None:
        second = LiveSegmentation(self.volume, self.bundle, self.node)
        second.finish(np.roll(drawn(), 1, axis=0))
        self.node.CreateClosedSurfaceRepresentation()
        second.restore()
        self.assertFalse(self.segmentation.ContainsRepresentation(CLOSED_SURFACE))

    def test_undo_brings_no_surfaces_back_that_the_user_has_taken_away(self) -> None:
        self.node.CreateClosedSurfaceRepresentation()
        second = LiveSegmentation(self.volume, self.bundle, self.node)
        second.finish(np.roll(drawn(), 1, axis=0))
        self.node.RemoveClosedSurfaceRepresentation()
        second.restore()
        self.assertFalse(self.segmentation.ContainsRepresentation(CLOSED_SURFACE))

    def test_a_segment_drawn_during_the_run_is_not_overwritten(self) -> None:
        second = LiveSegmentation(self.volume, self.bundle, self.node)
        second.write(drawn(), whole(SHAPE))
        image = self.segmentation.GetSegment(second.segmentId(self.bundle.labels[0])).GetRepresentation(BINARY_LABELMAP)
        own = slicer.vtkSegment()
        own.SetName("mine")
        own.SetLabelValue(9)
        own.AddRepresentation(BINARY_LABELMAP, image)
        self.segmentation.AddSegment(own, "mine")
        mine = PatchBox((0, 0, 0), (2, 2, 2))
        second._image.voxels[0:2, 0:2, 0:2] = 9
        second.write(np.full(SHAPE, 1, np.uint8), whole(SHAPE))
        second.show()
        expected = np.zeros(SHAPE, bool)
        expected[mine.slices()] = True
        np.testing.assert_array_equal(labelsOf(self.node, "mine", self.volume), expected)


class TestGoingOn(unittest.TestCase):
    """A run that goes on from another one, while the user has been at work."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.volume, self.bundle = makeVolume(GEOMETRIES["oblique"]), makeBundle()
        self.first = LiveSegmentation(self.volume, self.bundle)
        self.first.finish(drawn())
        self.node = self.first.node
        self.segmentation = self.node.GetSegmentation()
        self.better = drawn()
        self.better[1:5, 2:8, 1:4] = 1

    def goOn(self, **how) -> LiveSegmentation:
        return LiveSegmentation(self.volume, self.bundle, self.node, earlier=self.first, **how)

    def voxelsOf(self, live, value: int) -> np.ndarray:
        return labelsOf(self.node, live.segmentId(self.bundle.labels[value - 1]), self.volume)

    def test_what_the_user_erased_and_drew_stays(self) -> None:
        image = self.first._image
        image.voxels.T[1, 2, 1] = 0  # erased from the liver
        image.voxels.T[0, 0, 0] = 2  # added to the kidney
        second = self.goOn()
        second.write(drawn(), whole(SHAPE))
        second.finish(self.better)
        liver, kidney = self.better == 1, self.better == 2
        liver[1, 2, 1], kidney[0, 0, 0] = False, True
        np.testing.assert_array_equal(self.voxelsOf(second, 1), liver)
        np.testing.assert_array_equal(self.voxelsOf(second, 2), kidney)

    def test_undo_goes_back_to_the_edited_result(self) -> None:
        self.first._image.voxels.T[0, 0, 0] = 2
        second = self.goOn()
        second.finish(self.better)
        second.restore()
        kidney = drawn() == 2
        kidney[0, 0, 0] = True
        np.testing.assert_array_equal(self.voxelsOf(self.first, 2), kidney)
        np.testing.assert_array_equal(self.voxelsOf(self.first, 1), drawn() == 1)

    def test_a_deleted_segment_does_not_come_back(self) -> None:
        self.segmentation.RemoveSegment(self.first.segmentId(self.bundle.labels[0]))
        self.goOn().finish(self.better)
        self.assertEqual(segmentNames(self.node), ["Left kidney", "Spleen"])

    def test_what_was_not_found_before_may_be_found_now(self) -> None:
        slicer.mrmlScene.RemoveNode(self.node)
        self.first = LiveSegmentation(self.volume, self.bundle)
        self.first.finish(np.where(drawn() == 3, 0, drawn()))
        self.node = self.first.node
        self.goOn().finish(drawn())
        self.assertEqual(segmentNames(self.node), ["Liver", "Left kidney", "Spleen"])

    def test_a_segment_that_an_editor_moved_into_an_image_of_its_own_is_left_alone(self) -> None:
        second = self.goOn()
        second.write(drawn(), whole(SHAPE))
        liver = second.segmentId(self.bundle.labels[0])
        self.segmentation.SeparateSegmentLabelmap(liver)
        second.finish(self.better)
        np.testing.assert_array_equal(labelsOf(self.node, liver, self.volume), drawn() == 1)

    def test_a_segment_completed_during_the_run_is_left_alone(self) -> None:
        second = self.goOn()
        second.write(drawn(), whole(SHAPE))
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        liver = second.segmentId(self.bundle.labels[0])
        logic.SetSegmentStatus(self.segmentation.GetSegment(liver), logic.Completed)
        second.finish(np.where(self.better == 1, 2, self.better))
        np.testing.assert_array_equal(labelsOf(self.node, liver, self.volume), drawn() == 1)

    def test_a_hidden_segment_stays_hidden(self) -> None:
        liver = self.first.segmentId(self.bundle.labels[0])
        self.node.GetDisplayNode().SetSegmentVisibility(liver, False)
        second = self.goOn()
        second.finish(self.better)
        self.assertFalse(self.node.GetDisplayNode().GetSegmentVisibility(liver))
        np.testing.assert_array_equal(self.voxelsOf(second, 1), self.better == 1)

    def test_an_image_resized_by_an_editor_is_written_where_it_belongs(self) -> None:
        second = self.goOn()
        second.write(drawn(), whole(SHAPE))
        second._image.image.Crop([1, 8, 2, 6, 1, 6])
        second.finish(self.better)
        np.testing.assert_array_equal(self.voxelsOf(second, 1), self.better == 1)

    def test_only_inside_the_region_is_written(self) -> None:
        region = PatchBox((0, 0, 0), (3, 10, 8))
        second = self.goOn(region=region)
        empty = np.zeros(SHAPE, np.uint8)
        second.finish(empty)  # as the worker says it: nothing outside the region
        liver = drawn() == 1
        liver[:3] = False
        np.testing.assert_array_equal(self.voxelsOf(second, 1), liver)
        np.testing.assert_array_equal(self.voxelsOf(second, 2), drawn() == 2)

    def test_a_new_run_in_a_region_keeps_what_lies_outside(self) -> None:
        region = PatchBox((0, 0, 0), (3, 10, 8))
        second = LiveSegmentation(self.volume, self.bundle, self.node, region=region)
        second.finish(np.where(np.arange(12)[:, None, None] == 0, 2, np.zeros(SHAPE, np.uint8)).astype(np.uint8))
        liver, kidney = drawn() == 1, drawn() == 2
        liver[:3], kidney[0] = False, True
        np.testing.assert_array_equal(self.voxelsOf(second, 1), liver)
        np.testing.assert_array_equal(self.voxelsOf(second, 2), kidney)

    def test_structures_that_are_left_out_stay_as_they_were(self) -> None:
        second = self.goOn(shown=(2,))
        moved = np.roll(drawn(), 1, axis=1)
        second.finish(moved)
        np.testing.assert_array_equal(self.voxelsOf(self.first, 1), drawn() == 1)
        np.testing.assert_array_equal(self.voxelsOf(second, 2), moved == 2)
        self.assertEqual(set(second.voxels), {2})
        self.assertEqual(segmentNames(self.node), ["Liver", "Left kidney", "Spleen"])


if __name__ == "__main__":
    unittest.main()
