"""Data sets in the forms that people have: all say the same, and what cannot be trained on is refused in words."""

import json
import shutil

import pytest

import phantoms
from EfficientSegLib.errors import TrainingError
from EfficientSegLib.training.dataset import UNKNOWN, read_dataset

SPACING = (8.0, 8.0, 8.0)
NAMES = ("b_case", "a_case", "c_case")
MSD = {
    "name": "Torso",
    "licence": "CC-BY 4.0",
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "Liver", "2": "Spleen", "3": "Vertebrae"},
}
NNUNET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "Liver": 1, "Spleen": 2, "Vertebrae": 3},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """One folder per case."""
    folder = tmp_path_factory.mktemp("folders")
    for seed, name in enumerate(NAMES):
        phantoms.write_case(folder / name, *phantoms.torso((40, 32, 28), seed, SPACING), SPACING)
    return folder


def arranged(drawn, folder, form, **changes):
    """The same cases in another form; `changes` go into dataset.json, None takes a key away."""
    tail = "_0000" if form == "nnunet" else ""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for name in NAMES:
        shutil.copy(drawn / name / "image.nii.gz", folder / "imagesTr" / f"{name}{tail}.nii.gz")
        shutil.copy(drawn / name / "label.nii.gz", folder / "labelsTr" / f"{name}.nii.gz")
    training = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in NAMES]
    content = {**(NNUNET if form == "nnunet" else {**MSD, "training": training}), **changes}
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_all_forms_find_the_same_cases_in_the_same_order(drawn, tmp_path):
    msd = read_dataset(arranged(drawn, tmp_path / "msd", "msd"))
    nnunet = read_dataset(arranged(drawn, tmp_path / "Dataset001_Torso", "nnunet"))
    folders = read_dataset(drawn)
    assert (msd.form, nnunet.form, folders.form) == ("msd", "nnunet", "folders")
    assert msd.labels == nnunet.labels == {1: "Liver", 2: "Spleen", 3: "Vertebrae"}
    assert folders.labels is None and folders.modality is None
    assert msd.modality == nnunet.modality == "CT"
    assert (msd.name, nnunet.name) == ("Torso", "Dataset001_Torso")
    assert (msd.licence, nnunet.licence) == ("CC-BY 4.0", UNKNOWN)
    for found, image in (
        (msd, "imagesTr/{}.nii.gz"),
        (nnunet, "imagesTr/{}_0000.nii.gz"),
        (folders, "{}/image.nii.gz"),
    ):
        assert [case.image for case in found.cases] == [image.format(name) for name in sorted(NAMES)]


def test_an_ignored_label_says_nothing_and_is_no_label(drawn, tmp_path):
    labels = {"background": 0, "Liver": 1, "Spleen": 2, "ignore": 3}
    found = read_dataset(arranged(drawn, tmp_path / "d", "nnunet", labels=labels))
    assert found.labels == {1: "Liver", 2: "Spleen"}
    assert found.cases[0].map == {"1": 1, "2": 2, "3": None}


def test_images_listed_one_by_one_are_taken_from_the_list(drawn, tmp_path):
    listed = {"x": {"images": ["imagesTr/a_case_0000.nii.gz"], "label": "labelsTr/a_case.nii.gz"}}
    found = read_dataset(arranged(drawn, tmp_path / "d", "nnunet", dataset=listed, numTraining=1))
    assert [case.label for case in found.cases] == ["labelsTr/a_case.nii.gz"]


@pytest.mark.parametrize(
    ("form", "changes", "words"),
    [
        ("msd", {"modality": {"0": "T2", "1": "ADC"}}, "has 2 channels.*T2, ADC"),
        ("nnunet", {"channel_names": {"0": "T1", "1": "T2"}}, "has 2 channels"),
        ("nnunet", {"labels": {"background": 0, "whole": [1, 2], "core": 2}}, "'whole'.*region made of .1, 2."),
        ("msd", {"labels": {"0": "background"}}, "declares no label"),
        ("msd", {"labels": {"0": "background", "1": "Liver", "2": "Liver"}}, "two labels 'Liver'"),
        ("msd", {"labels": {"zero": "background"}}, "labels in .*zero"),
        ("msd", {"training": []}, "no labelled case"),
        ("msd", {"training": [{"image": "imagesTr/a.nii.gz"}]}, "imagesTr/a.nii.gz has no label"),
        ("msd", {"training": None}, "neither channel_names .* nor training"),
        ("nnunet", {"file_ending": ".nrrd"}, "no labelled case"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(form, changes, words, drawn, tmp_path):
    with pytest.raises(TrainingError, match=words):
        read_dataset(arranged(drawn, tmp_path / "d", form, **changes))


def test_a_missing_label_file_is_named(drawn, tmp_path):
    folder = arranged(drawn, tmp_path / "d", "nnunet")
    (folder / "labelsTr" / "b_case.nii.gz").unlink()
    with pytest.raises(TrainingError, match="labelsTr.b_case.nii.gz is missing"):
        read_dataset(folder)
    plain = shutil.copytree(drawn, tmp_path / "plain")
    (plain / "c_case" / "label.nii.gz").unlink()
    with pytest.raises(TrainingError, match=r"c_case has no label.nii.gz \(1 of 3 cases\)"):
        read_dataset(plain)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="holds no data set"):
        read_dataset(tmp_path)
    with pytest.raises(TrainingError, match="is no folder"):
        read_dataset(tmp_path / "gone")
    (tmp_path / "dataset.json").write_text("{", encoding="utf-8")
    with pytest.raises(TrainingError, match="cannot be read as JSON"):
        read_dataset(tmp_path)
