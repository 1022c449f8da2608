"""Results in their place: what was made before is known again, and what others made is never replaced."""

import json
from dataclasses import replace

import pytest

from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.protocol import Request
from EfficientSegLib.studies.case import Case
from EfficientSegLib.studies.place import Place, asked, fingerprint

BUNDLE = Bundle(
    1,
    "a",
    "1.0",
    "Title",
    "CT",
    ("CT",),
    (Label(1, "Liver", (1, 2, 3)),),
    Preprocess("RAS", (1.0, 1.0, 1.0), Intensity("window", -100, 100)),
    Component("nmsw"),
    Component("nmsw", {"top_k": 5}),
    Weights("weights.pt", "0" * 64),
    Licence("CC0-1.0", "none", "tests"),
)
REQUEST = Request("", "", "bundle")
WISHED = asked(BUNDLE, REQUEST, ".seg.nrrd")
RECORD = {"complete": True, "input": {}, "seconds": {"total": 3.0}, "volumes_ml": {"Liver": 2.0}, "warnings": []}


@pytest.fixture
def place(awkward_folder):
    (awkward_folder / "ct.nii").write_bytes(b"scan")
    return Place(awkward_folder / "out", Case("p/ct", str(awkward_folder / "ct.nii")))


def make(place, content=b"segmentation", wished=WISHED, complete=True):
    folder = place.folder.parent
    (folder / "made").write_bytes(content)
    (folder / "run.json").write_text(json.dumps({**RECORD, "complete": complete}))
    return place.hand_over(folder / "made", folder / "run.json", wished)


def test_a_result_is_known_again_with_its_volumes(place):
    entry = make(place)
    assert (entry.state, entry.seconds, entry.volumes_ml) == ("done", 3.0, {"Liver": 2.0})
    assert place.result.read_bytes() == b"segmentation" and place.done_before(WISHED) == entry


@pytest.mark.parametrize(
    "other",
    [
        asked(BUNDLE, replace(REQUEST, options={"top_k": 6}), ".seg.nrrd"),
        asked(BUNDLE, replace(REQUEST, strategy="sliding_window"), ".seg.nrrd"),
        asked(replace(BUNDLE, weights=Weights("weights.pt", "1" * 64)), REQUEST, ".seg.nrrd"),
        asked(replace(BUNDLE, preprocess=replace(BUNDLE.preprocess, spacing_mm=(2, 2, 2))), REQUEST, ".seg.nrrd"),
        asked(BUNDLE, REQUEST, ".seg.nii.gz"),
    ],
)
def test_other_wishes_want_another_result(place, other):
    make(place)
    assert place.done_before(other) is None
    place.check_free()  # and may have the place of ours


def test_what_changes_no_voxel_changes_no_wish():
    assert asked(replace(BUNDLE, title="New", description="Text", folder="/x"), REQUEST, ".seg.nrrd") == WISHED
    assert (
        asked(BUNDLE, replace(REQUEST, options={"top_k": 5, "clip_top_k": True}, device="cuda"), ".seg.nrrd") == WISHED
    )


def test_another_scan_in_the_same_file_is_run(place):
    make(place)
    with open(place.case.input, "ab") as file:
        file.write(b" repeated")
    assert place.done_before(WISHED) is None


def test_what_was_stopped_early_is_run_again(place):
    assert make(place, complete=False).state == "stopped"
    assert place.done_before(WISHED) is None
    place.check_free()


def test_other_peoples_files_are_never_replaced(place):
    place.result.parent.mkdir(parents=True)
    place.result.write_bytes(b"drawn by hand")
    with pytest.raises(VolumeError, match="was not made by this queue"):
        place.check_free()


def test_corrections_by_hand_count_as_done_and_are_never_replaced(place):
    make(place)
    place.result.write_bytes(b"corrected")
    assert place.done_before(WISHED).state == "done"
    with pytest.raises(VolumeError, match="changed after it was made"):
        place.check_free()


def test_made_again_to_the_very_same_bytes_it_is_done(place):
    make(place)
    make(place)
    assert place.done_before(WISHED).state == "done"


def test_two_scans_of_one_name_do_not_share_a_result(place, tmp_path):
    make(place)
    (tmp_path / "other.nii").write_bytes(b"another scan")
    with pytest.raises(VolumeError, match="belongs to another scan"):
        replace(place, case=Case("p/ct", str(tmp_path / "other.nii"))).check_free()


def test_the_same_scan_under_another_path_is_known_again(place, tmp_path):
    make(place)
    moved = tmp_path / "moved.nii"
    moved.hardlink_to(place.case.input)
    assert replace(place, case=Case("p/ct", str(moved))).done_before(WISHED).state == "done"


def test_a_process_that_dies_between_record_and_result_leaves_a_case_to_do(place, monkeypatch):
    make(place, b"first")
    other = asked(BUNDLE, replace(REQUEST, options={"top_k": 6}), ".seg.nrrd")

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("EfficientSegLib.studies.place._move", die)
    with pytest.raises(KeyboardInterrupt):
        make(place, b"second", other)
    assert place.result.read_bytes() == b"first" and place.read_record()["queue"]["asked"] == other
    assert place.done_before(other) is None
    place.check_free()


def test_a_series_is_told_by_all_its_files(tmp_path):
    for name in ("1", "2"):
        (tmp_path / name).write_bytes(b"12345")
    case = Case("s", str(tmp_path), ("1", "2"))
    assert fingerprint(case)["files"] == 2 and fingerprint(case)["bytes"] == 10
    with pytest.raises(VolumeError, match="cannot be opened"):
        fingerprint(replace(case, files=("1", "3")))
