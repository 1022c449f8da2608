"""What a folder tree holds: files and DICOM series, named after where they lie; never its own results."""

import importlib.util
from pathlib import Path

import pytest
import SimpleITK as sitk

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.study_tree import find
from EfficientSegLib.volume import read

_SPEC = importlib.util.spec_from_file_location("dicom_files", Path(__file__).with_name("test_dicom.py"))
dicom_files = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(dicom_files)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not looked into")


def names(found):
    return [case.name for case in found.cases]


def reasons(found):
    return {Path(item.path).name: item.why for item in found.left_out}


def test_files_are_named_after_their_place_in_the_tree(awkward_folder):
    for name in ("a b/scan.nii.gz", "ä/scan.NII", "ä/deeper/scan.nrrd", "scan.mha", "notes.txt", "ä/.hidden.nii"):
        touch(awkward_folder / name)
    found = find(awkward_folder, "CT")
    assert names(found) == ["a b/scan", "scan", "ä/deeper/scan", "ä/scan"]
    assert found.cases[0].input == str(awkward_folder / "a b" / "scan.nii.gz") and found.cases[0].files == ()


def test_names_that_differ_in_the_ending_only_keep_it(tmp_path):
    for name in ("scan.nii.gz", "scan.nrrd", "other.nii"):
        touch(tmp_path / name)
    assert names(find(tmp_path, "CT")) == ["other", "scan.nii.gz", "scan.nrrd"]


def test_own_results_are_not_eaten(tmp_path):
    touch(tmp_path / "scan.nii.gz")
    touch(tmp_path / "scan.seg.nrrd")  # results beside the scans
    touch(tmp_path / "scan.tokens.nii.gz")
    touch(tmp_path / "results" / "scan.seg.nii.gz")
    touch(tmp_path / "earlier" / "image.nii.gz")
    (tmp_path / "earlier" / "queue.jsonl").write_text("")
    touch(tmp_path / "out" / "picture.nii.gz")
    found = find(tmp_path, "CT", output=tmp_path / "out")
    assert names(found) == ["scan"]
    assert reasons(found) == {
        "scan.seg.nrrd": "a segmentation",
        "scan.tokens.nii.gz": "a map of dropped tokens",
        "scan.seg.nii.gz": "a segmentation",
        "earlier": "results",
        "out": "results",
    }
    (tmp_path / "queue.jsonl").write_text("")
    assert names(find(tmp_path, "CT", output=tmp_path)) == ["out/picture", "scan"]  # the root is always searched


def test_loops_of_links_end(tmp_path):
    touch(tmp_path / "in" / "a" / "scan.nii")
    touch(tmp_path / "elsewhere" / "far.nii")
    (tmp_path / "in" / "a" / "up").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "in" / "itself").symlink_to(tmp_path / "in" / "itself")
    found = find(tmp_path / "in", "CT")
    assert names(found) == ["a/scan", "linked/far"]
    assert reasons(found)["up"] == "a link to a folder that is here already"
    assert "cannot be opened" in reasons(found)["itself"]


def test_a_link_to_nothing_is_a_case_that_will_say_so(tmp_path):
    (tmp_path / "gone.nii").symlink_to(tmp_path / "nowhere.nii")
    assert names(find(tmp_path, "CT")) == ["gone"]


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    from EfficientSegLib import study_tree

    touch(tmp_path / "open" / "scan.nii")
    touch(tmp_path / "closed" / "scan.nii")
    scan = study_tree.os.scandir

    def guarded(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(study_tree.os, "scandir", guarded)  # a mode would not keep root out
    found = find(tmp_path, "CT")
    assert names(found) == ["open/scan"] and reasons(found)["closed"] == "cannot be opened: Permission denied"


@pytest.mark.parametrize(
    "include, exclude, expected",
    [
        (["*thorax*"], [], ["b/Thorax 2"]),
        ([], ["b/*"], ["a/abdomen"]),
        (["*.nrrd"], [], ["a/abdomen"]),
        (["*"], ["*abdomen*", "*THORAX*"], []),
    ],
)
def test_patterns_choose(tmp_path, include, exclude, expected):
    touch(tmp_path / "a" / "abdomen.nrrd")
    touch(tmp_path / "b" / "Thorax 2.nii")
    found = find(tmp_path, "CT", include=include, exclude=exclude)
    assert names(found) == expected
    assert len(found.left_out) == 2 - len(expected)


def test_each_series_of_a_folder_is_a_case_and_can_be_read(awkward_folder):
    first = dicom_files.write_series(
        awkward_folder / "p 1" / "all", series=1, description="Abdomen/portal", x0020_0011="3"
    )
    dicom_files.write_series(awkward_folder / "p 1" / "all", series=2, description="", x0020_0011="4")
    found = find(awkward_folder, "CT")
    assert names(found) == ["p 1/all/3-Abdomen_portal", "p 1/all/4"]
    case = found.cases[0]
    assert (case.title, len(case.files)) == ("Abdomen/portal", 6)
    assert (read(case.input, case.files).array[0] == first).all()


def test_a_series_spread_over_folders_is_one_case(tmp_path):
    dicom_files.write_series(tmp_path / "disc" / "0")
    (tmp_path / "disc" / "1").mkdir()
    for path in sorted((tmp_path / "disc" / "0").iterdir())[:3]:
        path.rename(tmp_path / "disc" / "1" / path.name)
    (tmp_path / "disc" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    found = find(tmp_path, "CT")
    assert names(found) == ["disc/Abdomen portal"] and found.left_out == ()
    assert read(found.cases[0].input, found.cases[0].files).shape == (5, 4, 6)


def test_series_of_one_name_get_a_mark_that_stays(tmp_path):
    dicom_files.write_series(tmp_path / "a", series=1)
    dicom_files.write_series(tmp_path / "a", series=2)
    first = names(find(tmp_path, "CT"))
    assert len(set(first)) == 2 and all(name.startswith("a/Abdomen portal-") for name in first)
    dicom_files.write_series(tmp_path / "a", series=3)
    assert set(first) < set(names(find(tmp_path, "CT")))


def test_what_is_no_scan_for_this_bundle_is_left_out_with_the_reason(tmp_path):
    dicom_files.write_series(tmp_path, series=1, description="scout", count=2)
    dicom_files.write_series(tmp_path, series=2, description="brain", x0008_0060="MR")
    dicom_files.write_series(tmp_path, series=3, description="old result", x0008_0060="SEG")
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 60)
    found = find(tmp_path, "CT")
    assert found.cases == ()
    whys = sorted(item.why for item in found.left_out)
    assert whys == [
        "DICOM without a readable image",
        "MR, and the bundle reads CT",
        "SEG, no scan",
        "only 2 slices",
    ]
    assert [case.title for case in find(tmp_path, "MR").cases] == ["brain"]


def test_a_file_is_no_tree(tmp_path):
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkInt16), str(tmp_path / "a.nii"))
    with pytest.raises(VolumeError, match="is no folder"):
        find(tmp_path / "a.nii", "CT")
