"""Files in, files out: the same values at the same place, and a refusal in words for what cannot be trusted."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from EfficientSegLib.bundle import Label
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.volume import Volume, read, write, write_segmentation

ROOT = str(Path(__file__).resolve().parents[2])
# NIfTI keeps its geometry in single precision, the others keep every digit that matters.
FORMATS = {".nii.gz": 1e-4, ".nii": 1e-4, ".nrrd": 1e-12, ".mha": 1e-9}


@pytest.mark.parametrize("ending", FORMATS)
def test_written_and_read_back_is_the_same_image_at_the_same_place(placed_volume, ending, awkward_folder):
    path = awkward_folder / f"scan of äöü{ending}"
    write(placed_volume, path)
    again = read(path)
    assert again.array.dtype == np.int16
    np.testing.assert_array_equal(again.array, placed_volume.array)
    np.testing.assert_allclose(again.affine, placed_volume.affine, rtol=0, atol=FORMATS[ending])
    assert again.warnings == ()


def test_an_index_of_the_array_is_the_index_of_the_image(placed_volume, tmp_path):
    write(placed_volume, tmp_path / "scan.nrrd")
    image, volume = sitk.ReadImage(str(tmp_path / "scan.nrrd")), read(tmp_path / "scan.nrrd")
    for index in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (0, 0, 4), (3, 2, 1)):
        assert volume.array[(0, *index)] == image.GetPixel(*index)
        position = volume.affine @ (*index, 1)
        np.testing.assert_allclose(position[:3], image.TransformIndexToPhysicalPoint(index), atol=1e-9)


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "int32", "int64", "uint64", "float32", "float64"])
def test_every_type_of_value_stays_as_it_is(kind, tmp_path):
    array = np.arange(60).reshape(1, 3, 4, 5).astype(kind)
    write(Volume(array, (1.0, 1.0, 1.0)), tmp_path / "x.nrrd")
    again = read(tmp_path / "x.nrrd").array
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize("kind, stored", [(bool, np.uint8), (np.float16, np.float32)])
def test_types_that_no_format_knows_are_widened(kind, stored, tmp_path):
    array = np.arange(8).reshape(1, 2, 2, 2).astype(kind)
    write(Volume(array, (1.0, 1.0, 1.0)), tmp_path / "x.nii.gz")
    again = read(tmp_path / "x.nii.gz").array
    assert again.dtype == stored
    np.testing.assert_array_equal(again, array)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(VolumeError, match=r"absent\.nii\.gz does not exist.*Check the path"):
        read(tmp_path / "absent.nii.gz")


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "scan.mha", "notes.txt", "scan"])
@pytest.mark.parametrize("content", [b"", b"these are no voxels" * 40])
def test_what_is_no_image_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=f"^{name} (cannot be read|is empty)"):
        read(tmp_path / name)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_file_cut_off_is_noticed(tmp_path, ending, kept):
    array = np.random.default_rng(0).integers(-1000, 1000, (1, 20, 20, 20)).astype(np.int16)
    path = tmp_path / f"scan{ending}"
    write(Volume(array, (1.0, 1.0, 1.0)), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(VolumeError, match="cut off"):
        read(path)


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd"])
def test_a_colour_image_or_vector_field_is_refused(tmp_path, ending):
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkVectorUInt8, 3), str(tmp_path / f"x{ending}"))
    with pytest.raises(VolumeError, match="3 values per voxel.*Take one time point or channel"):
        read(tmp_path / f"x{ending}")


def test_a_time_series_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 4, 4, 3], sitk.sitkInt16), str(tmp_path / "x.nii.gz"))
    with pytest.raises(VolumeError, match="4 dimensions .4 x 4 x 4 x 3.*one time point"):
        read(tmp_path / "x.nii.gz")


def test_a_flat_picture_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 4], sitk.sitkUInt8), str(tmp_path / "x.png"))
    with pytest.raises(VolumeError, match="2 dimensions"):
        read(tmp_path / "x.png")


def test_complex_values_are_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkComplexFloat32), str(tmp_path / "x.nii"))
    with pytest.raises(VolumeError, match="complex"):
        read(tmp_path / "x.nii")


def nrrd(path, directions="(1,0,0) (0,1,0) (0,0,1)", **changes):
    fields = {
        **{"type": "short", "dimension": "3", "space": "left-posterior-superior", "sizes": "4 4 4"},
        **{"space directions": directions, "kinds": "domain domain domain", "endian": "little", "encoding": "raw"},
        **{"space origin": "(0,0,0)"},
        **{name.replace("_", " "): value for name, value in changes.items()},
    }
    head = "".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None)
    path.write_bytes(b"NRRD0004\n" + head.encode() + b"\n" + np.arange(64, dtype="<i2").tobytes())
    return path


@pytest.mark.parametrize(
    "directions, said",
    [
        ("(1,0,0) (0.3,1,0) (0,0,1)", "not at right angles"),
        ("(1,0,0) (0.004,1,0) (0,0,1)", "not at right angles"),
        ("(0,0,0) (0,1,0) (0,0,1)", "voxel size is 0"),
        ("(1,0,0) (0,100,0) (0,0,1)", "voxel size is 1 x 100 x 1 mm"),
        ("(1,0,0) (0,0.001,0) (0,0,1)", "voxel size is 1 x 0.001 x 1 mm"),
        ("(nan,nan,nan) (0,1,0) (0,0,1)", "not a number"),
    ],
)
def test_an_impossible_geometry_is_refused(tmp_path, directions, said):
    with pytest.raises(VolumeError, match=said):
        read(nrrd(tmp_path / "x.nrrd", directions))


def test_no_voxels_are_refused(tmp_path):
    with pytest.raises(VolumeError, match="no voxels"):
        read(nrrd(tmp_path / "x.nrrd", sizes="0 4 4"))


@pytest.mark.parametrize(
    "size, said",
    [("0 4 4", "x.mha is empty. It has no voxels"), ("200000 200000 20", "does not fit into memory|cut off")],
)
def test_a_metaimage_without_voxels_or_with_absurdly_many_is_refused(tmp_path, size, said):
    head = "ObjectType = Image\nNDims = 3\nElementSpacing = 1 1 1\nBinaryData = True\n"
    head += f"DimSize = {size}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    (tmp_path / "x.mha").write_bytes(head.encode() + b"\0" * 16)
    with pytest.raises(VolumeError, match=said):
        read(tmp_path / "x.mha")


def test_axes_slightly_askew_are_straightened_with_a_warning(tmp_path):
    volume = read(nrrd(tmp_path / "x.nrrd", "(1,0,0) (0.0002,1,0) (0,0,1)"))
    direction = np.array(volume.direction)
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(direction, np.eye(3), atol=2e-4)
    assert "straightened" in volume.warnings[0]


def test_a_file_without_voxel_size_is_read_with_a_warning(tmp_path):
    volume = read(nrrd(tmp_path / "x.nrrd", None, space=None, space_origin=None))
    assert volume.spacing_mm == (1.0, 1.0, 1.0)
    assert "names no voxel size" in volume.warnings[0]
    volume = read(nrrd(tmp_path / "y.nrrd", "none none none"))
    assert volume.spacing_mm == (1.0, 1.0, 1.0) and "names no voxel size" in volume.warnings[0]


def test_a_path_that_the_system_refuses_is_told_in_words(tmp_path):
    with pytest.raises(VolumeError, match="cannot be opened|does not exist"):
        read(tmp_path / ("x" * 400 + ".nrrd"))


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = nrrd(tmp_path / "x.nrrd")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    # The administrator may read everything, so the refusal is made here.
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(VolumeError, match="Permission denied.*who may read it"):
        read(path)


def test_an_unknown_format_is_refused_before_writing(tmp_path):
    with pytest.raises(VolumeError, match=r"scan\.jpg cannot be written.*\.nii\.gz"):
        write(Volume(np.zeros((1, 2, 2, 2)), (1.0, 1.0, 1.0)), tmp_path / "scan.jpg")
    assert not list(tmp_path.iterdir())


def test_several_channels_are_not_written_as_one_image(tmp_path):
    with pytest.raises(VolumeError, match="One channel"):
        write(Volume(np.zeros((2, 2, 2, 2)), (1.0, 1.0, 1.0)), tmp_path / "scan.nrrd")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "taken").write_text("a file, where a folder is wanted")
    with pytest.raises(VolumeError, match="could not be written"):
        write(Volume(np.zeros((1, 2, 2, 2)), (1.0, 1.0, 1.0)), tmp_path / "taken" / "scan.nrrd")


FULL_DISK = """
    import resource, signal, sys
    import numpy as np
    from EfficientSegLib.bundle import Label
    from EfficientSegLib.errors import VolumeError
    from EfficientSegLib.volume import Volume, write, write_segmentation
    noise = np.random.default_rng(0).integers(0, 255, (1, 60, 60, 60)).astype(np.uint8)
    volume = Volume(noise, (1.0, 1.0, 1.0))
    names = [Label(value, f"part {value}", (1, 2, 3)) for value in range(1, 256)]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    for ending in (".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd"):
        try:
            if ending == ".seg.nrrd":
                write_segmentation(noise[0], volume, names, sys.argv[1] + "/earlier" + ending)
            else:
                write(volume, sys.argv[1] + "/earlier" + ending)
            print(ending, "was written")
        except VolumeError as error:
            print(error.what)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files stands in for a full disk")
def test_a_full_disk_is_told_and_the_earlier_file_stays(tmp_path):
    endings = (".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd")
    for ending in endings:
        (tmp_path / f"earlier{ending}").write_text("mine")
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ROOT})
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "could not be written" in line] == [
        "earlier.nii.gz could not be written.",
        "earlier.nii could not be written.",
        "earlier.nrrd could not be written.",
        "earlier.mha could not be written.",
        "earlier.seg.nrrd could not be written: the disk is full.",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"earlier{ending}" for ending in endings)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


def test_labels_of_another_grid_are_not_written(tmp_path):
    volume = Volume(np.zeros((1, 4, 4, 4)), (1.0, 1.0, 1.0))
    with pytest.raises(VolumeError, match="shape"):
        write_segmentation(np.zeros((4, 4, 5), np.uint8), volume, [Label(1, "a", (0, 0, 0))], tmp_path / "a.seg.nrrd")
    assert not list(tmp_path.iterdir())
