"""A file appears whole or not at all."""

import errno

import pytest

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.files import replacing


def test_the_new_file_replaces_the_earlier_one_and_nothing_else_stays(awkward_folder):
    path = awkward_folder / "result.json"
    path.write_text("earlier")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "earlier"
    assert [file.read_text() for file in awkward_folder.iterdir()] == ["new"]


def test_missing_folders_are_made(tmp_path):
    with replacing(tmp_path / "a" / "b" / "c.txt") as part:
        part.write_text("x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


def test_the_part_keeps_the_ending_that_names_the_format(tmp_path):
    with replacing(tmp_path / "x.nii.gz", ".nii.gz") as part:
        assert part.name.endswith(".nii.gz")
        assert part.name.startswith(".")
        part.write_text("x")


@pytest.mark.parametrize(
    "number, said",
    [
        (errno.ENOSPC, "the disk is full.*Free some space"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "may not be written to.*Choose another folder"),
        (errno.EACCES, "may not be written to"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_went_wrong_is_told_and_the_earlier_file_stays(tmp_path, number, said):
    path = tmp_path / "result.json"
    path.write_text("earlier")
    with pytest.raises(VolumeError, match=said), replacing(path) as part:
        part.write_text("half")
        raise OSError(number, "Input/output error")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["earlier"]


def test_a_full_disk_is_recognised_where_the_library_hides_the_reason(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(VolumeError, match="the disk is full"), replacing(tmp_path / "x") as part:
        part.write_text("half")
        raise OSError(None, "The image library could not write it")


def test_an_error_of_another_kind_leaves_no_half_file_and_goes_on_unchanged(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "x") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
