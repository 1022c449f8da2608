"""A folder of DICOM files: one straight stack is read exactly, anything else is refused and named."""

import numpy as np
import pytest
import SimpleITK as sitk

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.volume import read

UID = "1.2.826.0.1.3680043.2.1125.7"
# Row and column direction of an oblique stack, and its normal.
OBLIQUE = np.array([[0.8, 0.6, 0], [-0.36, 0.48, 0.8], [0.48, -0.64, 0.6]]).T
SPACING = (0.75, 0.5, 2.5)


def write_series(folder, *, count=6, series=1, description="Abdomen portal", leave_out=(), step=None, **tags):
    """Slices with values of their own, files named in another order than the slices lie.

    Args:
        step: from slice to slice in mm, (3,); along the normal where None.

    Returns:
        Values after the rescale, (I, J, K), of all slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(series).integers(0, 2000, (5, 4, count)).astype(np.int16)
    step = OBLIQUE[:, 2] * SPACING[2] if step is None else step
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(count):
        if index in leave_out:
            continue
        position = np.array([-100.0, 50.0, 900.0]) + index * np.asarray(step)
        image = sitk.GetImageFromArray(values[:, :, index].T.copy())
        image.SetSpacing(SPACING[:2])
        for tag, value in {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{UID}.{series}.{index + 1}",
            "0008|0060": "CT",
            "0008|103e": description,
            "0020|000d": UID,
            "0020|000e": f"{UID}.{series}",
            "0020|0013": str(index + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(f"{value:.6f}" for value in OBLIQUE[:, :2].T.ravel()),
            "0028|1052": "-1024",
            "0028|1053": "1",
            **{name.replace("_", "|").lstrip("x"): value for name, value in tags.items()},
        }.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{(index * 5) % 7}-{series}.dcm"))
        writer.Execute(image)
    return values


def test_one_oblique_series_is_read_in_order_and_in_place(awkward_folder):
    values = write_series(awkward_folder / "CT 1")
    volume = read(awkward_folder / "CT 1")
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array[0], values)
    np.testing.assert_allclose(volume.spacing_mm, SPACING, atol=1e-5)
    np.testing.assert_allclose(volume.origin_mm, (-100, 50, 900), atol=1e-5)
    np.testing.assert_allclose(np.array(volume.direction), OBLIQUE, atol=1e-5)
    assert volume.warnings == ()
    assert volume.modality == "CT"


def test_sub_folders_and_other_files_do_no_harm(tmp_path):
    values = write_series(tmp_path / "DICOM" / "S0001")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "read me.txt").write_text("A report.")
    volume = read(tmp_path)
    np.testing.assert_array_equal(volume.array[0], values)
    assert volume.warnings == ()


def test_one_series_of_several_in_a_folder_is_read_by_its_files(tmp_path):
    write_series(tmp_path / "all", series=1)
    values = write_series(tmp_path / "all", series=2, description="Lung")
    volume = read(tmp_path, [f"all/{path.name}" for path in (tmp_path / "all").glob("*-2.dcm")])
    np.testing.assert_array_equal(volume.array[0], values)
    with pytest.raises(VolumeError, match="gone.dcm cannot be opened"):
        read(tmp_path, ["all/gone.dcm"])


def test_a_broken_dicom_file_is_counted(tmp_path):
    write_series(tmp_path)
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 60)
    assert read(tmp_path).warnings == ("1 DICOM files hold no readable image and were left out.",)


def test_two_series_are_named_with_their_counts(tmp_path):
    write_series(tmp_path, series=1, count=6, description="Abdomen portal")
    write_series(tmp_path, series=2, count=4, description="Lung 1.0")
    with pytest.raises(
        VolumeError, match=r"2 DICOM series: 'Abdomen portal' \(6 images\), 'Lung 1.0' \(4 images\)"
    ) as e:
        read(tmp_path)
    assert "folder of its own" in e.value.mend


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(VolumeError, match="no DICOM image"):
        read(tmp_path)


def test_missing_slices_are_counted(tmp_path):
    write_series(tmp_path, count=7, leave_out=(2, 3))
    with pytest.raises(VolumeError, match="lacks about 2 of 7 slices.*after slice 2"):
        read(tmp_path)


@pytest.mark.parametrize("step_mm, refused", [(2.7, True), (2.53, False)])
def test_uneven_slices_are_refused_and_rounded_positions_only_mentioned(tmp_path, step_mm, refused):
    write_series(tmp_path, count=3)
    # A fourth slice, 3.1 or 2.59 mm behind the third instead of 2.5.
    write_series(tmp_path / "more", count=4, leave_out=(0, 1, 2), step=OBLIQUE[:, 2] * step_mm)
    if refused:
        with pytest.raises(VolumeError, match="unevenly spaced.*2.5 to 3.1 mm"):
            read(tmp_path)
    else:
        volume = read(tmp_path)
        assert volume.spacing_mm[2] == pytest.approx(7.59 / 3)
        assert volume.warnings == ("Slice positions vary by 4 % of their spacing.",)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path):
    tilted = OBLIQUE[:, 2] * SPACING[2] + OBLIQUE[:, 1] * SPACING[2] * np.tan(np.radians(15))
    write_series(tmp_path, step=tilted)
    with pytest.raises(VolumeError, match=r"tilted gantry \(15.0 degrees\)"):
        read(tmp_path)


def test_several_images_at_one_position_are_refused(tmp_path):
    write_series(tmp_path, count=4)
    write_series(tmp_path / "again", count=4)
    with pytest.raises(VolumeError, match="2 images at one position.*time points"):
        read(tmp_path)


def test_a_scout_in_the_series_is_refused(tmp_path):
    write_series(tmp_path, count=4)
    write_series(tmp_path / "scout", count=1, x0020_0037="1\\0\\0\\0\\0\\-1")
    with pytest.raises(VolumeError, match="differ in size, pixel spacing or direction.*scouts"):
        read(tmp_path)


def test_the_modality_is_kept(tmp_path):
    write_series(tmp_path, x0008_0060="MR")
    assert read(tmp_path).modality == "MR"


def test_one_file_is_one_slice(tmp_path):
    write_series(tmp_path, count=1)
    assert read(tmp_path).shape == (5, 4, 1)
    assert read(next(tmp_path.iterdir())).modality == "CT"


def test_a_fractional_rescale_gives_fractions_in_every_slice(tmp_path):
    write_series(tmp_path, count=3, x0028_1053="1", x0028_1052="-1024")
    plain = read(tmp_path).array
    for name in tmp_path.iterdir():
        name.write_bytes(name.read_bytes().replace(b"-1024 ", b"-23.5 "))
    shifted = read(tmp_path).array
    assert shifted.dtype == np.float32
    np.testing.assert_allclose(shifted, plain + 1024 - 23.5)
