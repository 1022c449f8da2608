"""The segmentation file as a plain NRRD reader sees it; what Slicer makes of it is tested beside the stand-in."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from EfficientSegLib.bundle import Label
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.volume import Volume, write_segmentation

LABELS = [
    Label(3, "liver", (221, 130, 101), "SCT:10200004"),
    Label(1, "left kidney", (185, 102, 83), "SCT:64033007", "SCT:7771000"),
    Label(7, "Läsion Ω", (0, 255, 51)),
]


def some_labels(shape):
    return np.random.default_rng(5).choice(np.array([0, 0, 1, 3, 7], np.uint8), shape)


def header(path):
    """Fields and keys of the text before the blank line."""
    head, _, data = path.read_bytes().partition(b"\n\n")
    lines = head.decode("utf-8").splitlines()[1:]
    fields = dict(line.split(":=" if ":=" in line else ": ", 1) for line in lines)
    return fields, data


def test_a_plain_reader_finds_the_label_map_where_the_image_lies(placed_volume, awkward_folder):
    labels = some_labels(placed_volume.shape)
    path = awkward_folder / "result of CT.seg.nrrd"
    write_segmentation(labels, placed_volume, LABELS, path)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), labels)
    for index in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (0, 0, 4)):
        expected = placed_volume.affine @ (*index, 1)
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), expected[:3], atol=1e-9)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_in_memory_makes_no_difference(tmp_path, order):
    labels = np.asarray(some_labels((7, 6, 5)), order=order)
    write_segmentation(labels, Volume(labels[None], (1.0, 1.0, 1.0)), LABELS, tmp_path / "a.seg.nrrd")
    _, data = header(tmp_path / "a.seg.nrrd")
    assert gzip.decompress(data) == labels.tobytes(order="F")


def test_names_colours_values_and_terminology_are_in_the_header(tmp_path):
    labels = np.zeros((7, 6, 5), np.uint8)
    labels[2:4, 1:6, 3:5] = 3
    labels[1, 2, 0] = 1
    write_segmentation(labels, Volume(labels[None], (1.0, 1.0, 1.0)), LABELS, tmp_path / "a.seg.nrrd")
    fields, _ = header(tmp_path / "a.seg.nrrd")
    assert [fields[f"Segment{index}_Name"] for index in range(3)] == ["liver", "left kidney", "Läsion Ω"]
    assert [fields[f"Segment{index}_LabelValue"] for index in range(3)] == ["3", "1", "7"]
    assert [fields[f"Segment{index}_ID"] for index in range(3)] == ["Segment_3", "Segment_1", "Segment_7"]
    assert [round(255 * float(part)) for part in fields["Segment0_Color"].split()] == [221, 130, 101]
    assert {fields[f"Segment{index}_Extent"] for index in range(3)} == {"1 3 1 5 0 4"}
    assert fields["Segment1_Tags"] == (
        "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
        "~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney~SCT^7771000^Left"
        "~Anatomic codes - DICOM master list~^^~^^|"
    )
    assert fields["Segment2_Tags"] == ""
    assert fields["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    assert fields["Segmentation_MasterRepresentation"] == "Binary labelmap"


def test_more_than_255_labels_take_two_bytes(tmp_path):
    labels = np.full((2, 2, 2), 300, np.int64)
    names = [Label(300, "last", (0, 0, 0))]
    write_segmentation(labels, Volume(labels[None], (1.0, 1.0, 1.0)), names, tmp_path / "a.seg.nrrd")
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    assert image.GetPixelID() == sitk.sitkUInt16
    assert image.GetPixel(1, 1, 1) == 300


def test_nothing_found_is_written_as_empty_segments(tmp_path):
    labels = np.zeros((3, 4, 5), np.uint8)
    write_segmentation(labels, Volume(labels[None], (1.0, 1.0, 1.0)), LABELS, tmp_path / "a.seg.nrrd")
    fields, data = header(tmp_path / "a.seg.nrrd")
    assert fields["Segment0_Extent"] == "0 -1 0 -1 0 -1"
    assert not any(gzip.decompress(data))


@pytest.mark.parametrize(
    "labels, said",
    [
        (np.full((2, 2, 2), 4, np.uint8), "holds value 4.*No label"),
        (np.full((2, 2, 2), 9, np.uint16), "holds value 9"),
        (np.full((2, 2, 2), -1, np.int16), "holds value -1"),
        (np.ones((2, 2, 2), np.float32), "type float32"),
    ],
)
def test_values_without_a_name_are_refused_and_the_earlier_file_stays(tmp_path, labels, said):
    path = tmp_path / "a.seg.nrrd"
    path.write_text("mine")
    with pytest.raises(VolumeError, match=said):
        write_segmentation(labels, Volume(labels[None], (1.0, 1.0, 1.0)), LABELS, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]


def test_another_ending_is_refused(tmp_path):
    labels = np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(VolumeError, match=r"\.seg\.nrrd"):
        write_segmentation(labels, Volume(labels[None], (1.0, 1.0, 1.0)), LABELS, tmp_path / "a.nrrd")


def test_a_name_cannot_break_the_header(tmp_path):
    labels = np.zeros((2, 2, 2), np.uint8)
    names = [Label(1, "two\nlines", (0, 0, 0), "SCT:1", "")]
    write_segmentation(labels, Volume(labels[None], (1.0, 1.0, 1.0)), names, tmp_path / "a.seg.nrrd")
    assert header(tmp_path / "a.seg.nrrd")[0]["Segment0_Name"] == "two lines"
