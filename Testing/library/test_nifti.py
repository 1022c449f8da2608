"""NIfTI's traps: every header that would put an image elsewhere in silence is noticed."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.nifti import is_whole
from EfficientSegLib.volume import Volume, read, write

STRAIGHT = [-1.0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0]


def nifti(path, rows=STRAIGHT, qform=1, sform=1, pixdim=(1.0, 1.0, 1.0, 1.0), units=2):
    """A 6 x 5 x 4 file whose header is then changed; rows are the sform's, in RAS."""
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6)), str(path))
    content = bytearray(path.read_bytes())
    content[76:92] = struct.pack("<4f", *pixdim)
    content[123] = units
    content[252:256] = struct.pack("<2h", qform, sform)
    content[280:328] = struct.pack("<12f", *rows)
    path.write_bytes(content)
    return path


def test_a_straight_file_is_read_without_a_word(tmp_path):
    assert read(nifti(tmp_path / "x.nii")).warnings == ()


def test_a_sheared_sform_is_refused_even_if_the_qform_is_straight(tmp_path):
    sheared = [-1, -0.3, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0]
    with pytest.raises(VolumeError, match="two ways where it lies"):
        read(nifti(tmp_path / "x.nii", sheared))


def test_a_sheared_sform_alone_is_refused_in_words(tmp_path):
    sheared = [-1, -0.3, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0]
    with pytest.raises(VolumeError, match="not at right angles.*straight grid"):
        read(nifti(tmp_path / "x.nii", sheared, qform=0))


def test_an_sform_of_another_scale_than_the_voxel_size_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="two ways where it lies"):
        read(nifti(tmp_path / "x.nii", [2 * value for value in STRAIGHT]))


def test_where_sform_and_qform_differ_the_sform_is_used_and_said(tmp_path):
    rows = [0, -1, 0, 5, -1, 0, 0, 6, 0, 0, 1, 7]
    volume = read(nifti(tmp_path / "x.nii", rows))
    ras = np.diag([-1, -1, 1, 1]) @ volume.affine
    np.testing.assert_allclose(ras[:3].ravel(), rows, atol=1e-6)
    assert "the sform is used" in volume.warnings[0]


@pytest.mark.parametrize("qform, sform", [(1, 0), (0, 1), (1, 1)])
def test_one_form_is_enough(tmp_path, qform, sform):
    volume = read(nifti(tmp_path / "x.nii", qform=qform, sform=sform))
    np.testing.assert_allclose(volume.affine, np.eye(4), atol=1e-6)
    assert volume.warnings == ()


def test_without_any_form_the_sides_are_said_to_be_unsure(tmp_path):
    assert "how the patient lies" in read(nifti(tmp_path / "x.nii", qform=0, sform=0)).warnings[0]


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_voxel_size_is_refused(tmp_path, size):
    with pytest.raises(VolumeError, match="voxel"):
        read(nifti(tmp_path / "x.nii", pixdim=(1.0, size, 1.0, 1.0)))


@pytest.mark.parametrize("unit", [1, 3])
def test_other_units_than_millimetres_are_refused(tmp_path, unit):
    with pytest.raises(VolumeError, match="Scans use millimetres"):
        read(nifti(tmp_path / "x.nii", units=unit))


def test_a_scan_packed_in_several_gzip_members_is_whole(tmp_path):
    content = nifti(tmp_path / "x.nii").read_bytes()
    packed = tmp_path / "y.nii.gz"
    packed.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    assert is_whole(packed)
    packed.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:-2]))
    assert not is_whole(packed)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".hdr"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_that_are_no_numbers_are_refused_although_they_are_read_as_0(tmp_path, ending, kind):
    values = np.full((2, 3, 4), -1000, kind)
    values[1, 2, 3], values[0, 1, 1] = np.nan, -np.inf
    path = tmp_path / f"x{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    with pytest.raises(VolumeError, match="2 of 24 voxels are not numbers"):
        read(path)


def test_a_header_with_its_image_in_a_second_file_is_read_and_checked(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4)), str(tmp_path / "x.hdr"))
    assert read(tmp_path / "x.hdr").array[0, 3, 2, 1] == 23
    (tmp_path / "x.img").write_bytes((tmp_path / "x.img").read_bytes()[:-2])
    with pytest.raises(VolumeError, match="cut off"):
        read(tmp_path / "x.hdr")


@pytest.mark.parametrize("kept", [12, 40, 100, 150, 200, 260])
def test_a_packed_scan_that_is_cut_off_in_its_header_is_said_to_be(tmp_path, kept):
    path = tmp_path / "x.nii.gz"
    random = np.random.default_rng(0).integers(-1000, 1000, (8, 9, 10), dtype=np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(random), str(path))
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:kept])
    assert not is_whole(path)


def test_a_plain_scan_that_is_cut_off_in_its_header_is_said_to_be(tmp_path):
    path = nifti(tmp_path / "x.nii")
    path.write_bytes(path.read_bytes()[:200])
    assert not is_whole(path)


def test_a_rescaled_file_is_whole_and_its_values_are_rescaled(tmp_path):
    path = nifti(tmp_path / "x.nii")
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", 0.5, -10.0)
    path.write_bytes(content)
    np.testing.assert_allclose(read(path).array[0].ravel(order="F"), np.arange(120) * 0.5 - 10)


def test_left_handed_scans_keep_their_hand(tmp_path):
    volume = Volume(np.zeros((1, 3, 4, 5), np.int16), (1.0, 2.0, 3.0), direction=((1, 0, 0), (0, 1, 0), (0, 0, -1)))
    write(volume, tmp_path / "x.nii.gz")
    again = read(tmp_path / "x.nii.gz")
    assert np.linalg.det(again.affine) == pytest.approx(-6)
    assert again.warnings == ()
