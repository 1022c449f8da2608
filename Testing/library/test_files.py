"""A file appears whole or not at all."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.files import appearing, replacing, scratch_in


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


def test_a_scratch_folder_lies_in_its_parent_and_goes_whatever_happens(awkward_folder):
    with pytest.raises(RuntimeError), scratch_in(awkward_folder / "new") as scratch:
        (scratch / "half").write_text("x")
        assert scratch.parent == awkward_folder / "new"
        raise RuntimeError
    assert list(awkward_folder.iterdir()) == [awkward_folder / "new"] and not list((awkward_folder / "new").iterdir())


def test_what_killed_processes_of_this_machine_have_left_goes_and_nothing_else(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    owners = [f"{socket.gethostname()}-{gone.pid}", f"{socket.gethostname()}-{os.getpid()}", f"another-{gone.pid}"]
    left = [tmp_path / f".efficientseg-{owner}-a1" for owner in owners]
    for folder in left:
        folder.mkdir()
    with scratch_in(tmp_path):
        pass
    assert set(tmp_path.iterdir()) == set(left[1:])


def test_a_folder_appears_whole_also_where_an_empty_one_is(tmp_path):
    (tmp_path / "maps").mkdir()
    with appearing(tmp_path / "maps") as folder:
        (folder / "one").write_text("1")
        assert not list((tmp_path / "maps").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["maps"] and (tmp_path / "maps" / "one").read_text() == "1"
    (tmp_path / "as usual").mkdir()
    assert (tmp_path / "maps").stat().st_mode == (tmp_path / "as usual").stat().st_mode


def test_a_folder_that_fails_or_meets_another_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), appearing(tmp_path / "maps") as folder:
        (folder / "one").write_text("1")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with pytest.raises(VolumeError, match="maps could not be written"), appearing(tmp_path / "maps") as folder:
        (tmp_path / "maps").mkdir()
        (tmp_path / "maps" / "other").write_text("came meanwhile")
    assert [path.name for path in tmp_path.rglob("*")] == ["maps", "other"]


def test_a_parent_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="Nothing can be written to"), scratch_in(tmp_path / "file"):
        pass
