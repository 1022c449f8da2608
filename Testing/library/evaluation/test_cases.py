"""Which images meet which labels."""

import json

import numpy as np
import pytest

from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.evaluation.cases import (
    files_by_name,
    of_fold,
    of_split,
    read_dataset,
    read_folders,
    read_list,
)
from EfficientSegLib.evaluation.references import check_same_grid, read_label_names
from EfficientSegLib.volume import Volume


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


def write_json(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_files_are_matched_by_name_whatever_their_format_and_channel(awkward_folder):
    touch(awkward_folder / "i", "b_0000.nii.gz", "b_0001.nii.gz", "a 1_0000.nrrd", "c.mha", "._a 1.nrrd", "notes.txt")
    touch(awkward_folder / "l", "a 1.nii.gz", "b.nii.gz")
    cases = read_folders(awkward_folder / "i", awkward_folder / "l")
    assert [(case.name, case.image.name, case.label.name) for case in cases] == [
        ("a 1", "a 1_0000.nrrd", "a 1.nii.gz"),
        ("b", "b_0000.nii.gz", "b.nii.gz"),
    ]


def test_a_label_without_an_image_is_mentioned(tmp_path, caplog):
    touch(tmp_path / "i", "a.nii.gz")
    touch(tmp_path / "l", "a.nii.gz", "b.nii.gz")
    assert [case.name for case in read_folders(tmp_path / "i", tmp_path / "l")] == ["a"]
    assert "1 label files" in caplog.text


def test_a_data_set_gives_its_annotated_cases_with_their_split(tmp_path):
    touch(tmp_path / "imagesTr", "p_1_0000.nii.gz", "p_2_0000.nii.gz")
    touch(tmp_path / "labelsTr", "p_1.nii.gz", "p_2.nii.gz")
    touch(tmp_path / "imagesTs", "p_3_0000.nii.gz")
    assert [(case.name, case.split) for case in read_dataset(tmp_path)] == [("p_1", "training"), ("p_2", "training")]
    touch(tmp_path / "labelsTs", "p_3.nii.gz")
    assert [case.name for case in of_split(read_dataset(tmp_path), "test")] == ["p_3"]


def test_the_cases_of_a_fold_are_its_validation_cases_in_its_order(tmp_path):
    touch(tmp_path / "imagesTr", "a.nii.gz", "b.nii.gz", "c.nii.gz")
    touch(tmp_path / "labelsTr", "a.nii.gz", "b.nii.gz", "c.nii.gz")
    splits = write_json(tmp_path / "s.json", [{"train": ["a"], "val": ["c", "b"]}, {"train": [], "val": ["z"]}])
    cases = read_dataset(tmp_path)
    assert [(case.name, case.split) for case in of_fold(cases, splits, 0)] == [("c", "fold 0"), ("b", "fold 0")]
    for fold, words in ((1, "'z'"), (2, "Fold 2 cannot be read")):
        with pytest.raises(OptionError, match=words):
            of_fold(cases, splits, fold)


def test_a_list_may_be_a_training_configuration(tmp_path):
    content = {
        "recipe": {"name": "nmsw"},
        "cases": [
            {"image": "x/a.nii.gz", "label": "x/al.nii.gz", "map": {"5": 1}, "weight": 2, "lungs": [7, 8]},
            {"image": "x/empty.nii.gz"},
            {"image": "x/limb.nii.gz", "label": "x/l.nii.gz", "hollow": [1]},
        ],
        "validation": [{"image": "x/b.nii.gz", "label": "x/bl.nii.gz", "annotated": [1]}],
    }
    cases = read_list(write_json(tmp_path / "training.json", content), tmp_path / "data")
    assert [(case.name, case.split) for case in cases] == [("x/a", "training"), ("x/b", "validation")]
    assert cases[0].map == {5: 1} and cases[0].image == tmp_path / "data" / "x" / "a.nii.gz"
    assert [case.scores(value) for case in cases for value in (1, 2, 7)] == [True, True, False, True, False, False]


def test_a_plain_list_lies_beside_its_files(tmp_path):
    given = [{"name": "one", "image": "a.nrrd", "label": "b.nrrd", "split": "fold 3"}]
    (case,) = read_list(write_json(tmp_path / "cases.json", given))
    assert (case.name, case.image, case.split) == ("one", tmp_path / "a.nrrd", "fold 3")


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", "is not JSON"),
        ("[]", "holds no case"),
        ("[3]", "holds no list of cases"),
        ('[{"label": "a"}]', "'image' is missing"),
        ('[{"image": "a", "label": "b"}, {"image": "a", "label": "c"}]', "called 'a'"),
        ('[{"image": "a", "label": "b", "map": {"liver": 1}}]', "'liver'"),
    ],
)
def test_a_list_that_is_none_is_refused_in_words(tmp_path, content, words):
    (tmp_path / "cases.json").write_text(content)
    with pytest.raises(OptionError, match=words):
        read_list(tmp_path / "cases.json")


def test_folders_without_pairs_are_refused_in_words(tmp_path):
    touch(tmp_path / "i", "a.nii.gz")
    touch(tmp_path / "l", "b.nii.gz")
    with pytest.raises(OptionError, match=r"No image.*no two names are equal"):
        read_folders(tmp_path / "i", tmp_path / "l")
    for wrong in (lambda: files_by_name(tmp_path / "no"), lambda: read_dataset(tmp_path)):
        with pytest.raises(OptionError, match=r"is no folder|is no data set"):
            wrong()


@pytest.mark.parametrize("labels", [{"0": "background", "2": "Liver"}, {"background": 0, "Liver": 2}])
def test_label_names_come_from_either_form_of_data_set(tmp_path, labels):
    write_json(tmp_path / "dataset.json", {"labels": labels})
    assert read_label_names(tmp_path) == {2: "Liver"} == read_label_names(tmp_path / "dataset.json")


def test_a_file_without_labels_is_refused(tmp_path):
    with pytest.raises(OptionError, match="names no labels"):
        read_label_names(write_json(tmp_path / "x.json", {"labels": {"a": [1, 2]}}))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"origin_mm": (0.0, 0.5, 0.0)}, "lie up to 0.5 voxels apart"),
        ({"spacing_mm": (1.0, 1.0, 1.1)}, "lie up to 0.5 voxels apart"),
        ({"direction": ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))}, "apart"),
        ({"array": np.zeros((1, 3, 4, 6))}, "3 × 4 × 5 and 3 × 4 × 6"),
    ],
)
def test_two_grids_are_told_from_one(change, words):
    given = {"array": np.zeros((1, 3, 4, 5)), "spacing_mm": (1.0, 1.0, 1.0)}
    with pytest.raises(VolumeError, match=words):
        check_same_grid(Volume(**given), Volume(**{**given, **change}), "They", "Mend.")
    check_same_grid(Volume(**given), Volume(**{**given, "origin_mm": (0.001, 0.0, 0.0)}), "They", "Mend.")
