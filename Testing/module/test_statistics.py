"""Statistics: numbers that are known, equal to VTK's own, the user's segments too; as table node and as CSV."""

import csv
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk
from bench import GEOMETRIES, SHAPE, makeBundle, makeFolder, makeVolume

from EfficientSegBridge import statistics_rows, statistics_table
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.segment_layers import labelPart, layers, segmentIds
from EfficientSegBridge.segment_parts import BINARY_LABELMAP, labelTag, makeNode, makeSegment
from EfficientSegBridge.segment_statistics import LabelImage, Measure, measured
from EfficientSegBridge.volume_image import VolumeImage
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.protocol import Reviewed, SegmentRefinement


def through(steps):
    """The value that a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def makeSegmentation(volume, bundle, labels: np.ndarray):
    """A segmentation as a run leaves it: one image, one segment per label found; `labels` (I, J, K)."""
    node = makeNode(volume)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    image = VolumeImage(volume, 255)
    image.voxels[:] = labels.T
    for label in bundle.shown_labels:
        if (labels == label.value).any():
            segment = makeSegment(label, labelTag(bundle.name, label), image.image)
            node.GetSegmentation().AddSegment(segment, f"{bundle.name}_{label.value}")
    return node


def drawn() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 2:6, 2:6] = 1
    labels[7:9, 3:5, 1:7] = 2
    return labels


class TestMeasure(unittest.TestCase):
    def test_known_numbers(self) -> None:
        labels = np.array([[[0, 1, 1], [2, 2, 1]]], np.uint8)
        values = np.array([[[9, 10, 20], [5, 7, 30]]], np.int16)
        found = through(measured([LabelImage(labels, whole((3, 2, 1)), {1: "a", 2: "b", 3: "c"})], values))
        self.assertEqual(found["a"], Measure(3, 20.0, 10.0))
        self.assertEqual((found["b"].voxels, found["b"].mean), (2, 6.0))
        self.assertAlmostEqual(found["b"].deviation, np.sqrt(2))
        self.assertEqual(found["c"].voxels, 0)

    def test_it_agrees_with_vtk_where_values_are_large_and_close_together(self) -> None:
        random = np.random.default_rng(1)
        values = (1e6 + random.normal(0, 0.5, (8, 9, 10))).astype(np.float64)
        labels = (random.random((8, 9, 10)) < 0.4).astype(np.uint8)
        found = through(measured([LabelImage(labels, whole((10, 9, 8)), {1: "a"})], values))["a"]
        inside = values[labels == 1]
        array = vtk.vtkDoubleArray()
        for value in inside:
            array.InsertNextValue(value)
        image = vtk.vtkImageData()
        image.SetDimensions(inside.size, 1, 1)
        image.GetPointData().SetScalars(array)
        accumulate = vtk.vtkImageAccumulate()
        accumulate.SetInputData(image)
        accumulate.Update()
        self.assertAlmostEqual(found.mean, accumulate.GetMean()[0], 6)
        self.assertAlmostEqual(found.deviation, inside.std(ddof=1), 9)

    def test_an_image_that_reaches_beyond_the_volume_counts_only_what_lies_in_it(self) -> None:
        labels = np.ones((4, 4, 4), np.uint8)
        values = np.full((3, 3, 3), 7.0)
        found = through(measured([LabelImage(labels, PatchBox((-1, -1, -1), (3, 3, 3)), {1: "a"})], values))["a"]
        self.assertEqual(found, Measure(27, 7.0, 0.0))


class TestSegments(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.bundle = makeBundle()
        self.findings = Findings(
            bundle="played",
            modality="CT",
            volume="CT",
            read=2,
            candidates=7,
            reviewed=Reviewed((), (SegmentRefinement(1, 1.0, 0.996, 0.1), SegmentRefinement(2, 1.0, 0.0, 0.0)), ()),
        )

    def make(self, axes=None):
        self.volume = makeVolume(axes)
        self.node = makeSegmentation(self.volume, self.bundle, drawn())
        return self.node

    def rows(self):
        return through(statistics_table.measured(self.node, self.volume, self.findings))

    def test_each_segment_in_every_geometry(self) -> None:
        values = slicer.util.arrayFromVolume
        for name, axes in GEOMETRIES.items():
            with self.subTest(name):
                self.make(axes)
                liver, kidney = self.rows()
                inside = values(self.volume).T[drawn() == 1]
                self.assertEqual((liver.name, kidney.name), ("Liver", "Left kidney"))
                self.assertAlmostEqual(liver.ml, 64 * abs(np.linalg.det(axes)) / 1000, 9)
                self.assertAlmostEqual(liver.mean, inside.mean(), 9)
                self.assertAlmostEqual(liver.deviation, inside.std(ddof=1), 9)

    def test_a_saved_and_loaded_segmentation_measures_the_same(self) -> None:
        self.make(GEOMETRIES["oblique"])
        before = self.rows()
        path = str(makeFolder() / "saved.seg.nrrd")
        self.assertTrue(slicer.util.saveNode(self.node, path))
        self.node = slicer.util.loadSegmentation(path)
        self.assertEqual([round(row.mean, 9) for row in self.rows()], [round(row.mean, 9) for row in before])

    def test_the_users_own_segment_is_measured_and_not_called_refined(self) -> None:
        self.make()
        own = VolumeImage(self.volume, 255)
        own.voxels[:] = 0
        own.voxels[0, 0, 0:2] = 4
        segment = slicer.vtkSegment()
        segment.SetName("Lesion")
        segment.SetLabelValue(4)
        segment.AddRepresentation(BINARY_LABELMAP, own.image)
        self.node.GetSegmentation().AddSegment(segment, "mine")
        lesion = self.rows()[-1]
        self.assertEqual((lesion.name, round(lesion.ml * 1000)), ("Lesion", 2))
        self.assertIsNone(lesion.refined)
        self.assertEqual(lesion.detail, "")

    def test_words_of_refinement_never_round_up_to_all(self) -> None:
        self.make()
        self.assertEqual([row.detail for row in self.rows()], ["99 % refined", "coarse only"])
        self.findings = Findings(bundle="played", read=0, candidates=7)
        self.assertEqual([row.detail for row in self.rows()], ["coarse only", "coarse only"])

    def test_another_grid_or_transform_is_refused_in_words(self) -> None:
        self.make()
        self.volume = makeVolume(np.diag([2.0, 2.0, 2.0]), name="other")
        with self.assertRaisesRegex(VolumeError, "different grids.*Segment Statistics"):
            self.rows()
        self.volume.SetAndObserveTransformNodeID(
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID()
        )
        with self.assertRaisesRegex(VolumeError, "different transforms"):
            self.rows()

    def test_labels_of_a_box_with_and_without_steps(self) -> None:
        self.make(GEOMETRIES["flipped"])
        self.assertEqual(segmentIds(self.node, "played"), {1: "played_1", 2: "played_2"})
        box = PatchBox((1, 2, 0), (9, 10, 8))
        for step in (1, 2, 3):
            expected = drawn()[box.slices()][::step, ::step, ::step]
            np.testing.assert_array_equal(labelPart(self.node, self.volume, "played", box, step), expected)
        self.assertEqual(len(layers(self.node, self.volume)), 1)

    def test_labels_of_a_cropped_image(self) -> None:
        self.make(GEOMETRIES["oblique"])
        layers(self.node, self.volume)[0].image.Crop((2, 8, 2, 5, 1, 6))
        for step in (1, 2, 3):
            expected = drawn()[::step, ::step, ::step]
            np.testing.assert_array_equal(labelPart(self.node, self.volume, "played", whole(SHAPE), step), expected)

    def test_table_node_and_csv_say_units(self) -> None:
        self.make()
        rows = self.rows()
        node = statistics_table.writeTable(rows, "CT", self.node, self.volume)
        self.assertIs(statistics_table.tableNode(self.node), node)
        self.assertIs(statistics_table.writeTable(rows, "CT", self.node, self.volume), node)
        table = node.GetTable()
        titles = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
        self.assertEqual(titles[:4], ["Structure", "Volume (ml)", "Mean intensity (HU)", "Standard deviation (HU)"])
        self.assertAlmostEqual(table.GetValue(0, 1).ToDouble(), 0.064)
        path = Path(makeFolder()) / "Dr. Jöhn Ωé.csv"
        statistics_rows.writeCsv(statistics_rows.csvText(rows, "MR", {"Volume": "Ösophagus"}), str(path))
        with open(path, encoding="utf-8-sig", newline="") as file:
            read = list(csv.reader(file))
        self.assertEqual(read[0][2], "Mean intensity")
        self.assertEqual(read[1][:2], ["Liver", "0.064"])
        self.assertEqual(read[1][-1], "Ösophagus")


if __name__ == "__main__":
    unittest.main()
