"""Three overlapping regions as on BraTS, from the cases to scores: trained, resumed, segmented and evaluated."""

import copy
import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from EfficientSegLib import bundle as bundles
from EfficientSegLib.__main__ import main
from EfficientSegLib.geometry import whole
from EfficientSegLib.options import read_options
from EfficientSegLib.segment import load_model, segment
from EfficientSegLib.strategies import sliding_window
from EfficientSegLib.training import checkpoint
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.journal import VALIDATIONS
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.members import has_label
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.samples.transforms import PROBABILITIES
from EfficientSegLib.training.validation import mean_dice
from EfficientSegLib.volume import read

TC, WT, ET = 1, 2, 3
FILE_VALUES = {TC: (2, 3), WT: (1, 2, 3), ET: (3,)}
LEARNING = {
    "recipe": {
        "name": "patch",
        "options": {"patch_size": [32, 32, 32], "patches": 1, "dice_weight": 1, "ce_weight": 0, "squared": True}
        | {"foreground": 0.9},
    },
    "samples": {"name": "volume", "options": dict.fromkeys(PROBABILITIES, 0)},
    "iterations": 36,
    "learning_rate": 0.02,
    "validation_every": 18,
    "validation_dice": True,
}


def config(content, **changes):
    return read_options(TrainConfig, json.loads(json.dumps({**content, **changes})))


def truth_of(folder):
    values = read(folder / "label.nii.gz").array[0]
    return {label: np.isin(values, of_file) for label, of_file in FILE_VALUES.items()}


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.fixture(scope="module")
def run_folder(regions_training, regions_folder, tmp_path_factory):
    """What a training of the preset "brats" on one drawn case leaves, with its configuration."""
    folder = tmp_path_factory.mktemp("run")
    content = copy.deepcopy(regions_training)
    content |= {**LEARNING, "cases": content["cases"][:1], "validation": content["cases"][1:]}
    file = folder / "training.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    done = main(["train", str(file), "--data", str(regions_folder), "-o", str(folder), "--device", "cpu"])
    assert done == 0
    return folder


def test_the_training_lowers_the_loss_and_tells_dice_of_an_unseen_case(run_folder):
    with open(run_folder / "log.csv", newline="", encoding="utf-8") as table:
        losses = [float(row["patch"]) for row in csv.DictReader(table)]
    with open(run_folder / VALIDATIONS, newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])
    assert float(rows[-1]["validation/loss"]) < float(rows[0]["validation/loss"])
    assert float(rows[-1]["validation/dice"]) > 0.7


def test_its_bundle_finds_nested_regions_that_do_not_hide_each_other(run_folder, regions_folder, tmp_path, capsys):
    bundle = bundles.load(run_folder / "bundle")
    assert bundle.outputs == "independent" and bundle.network.options["preset"] == "brats"
    image = regions_folder / "other" / "image.nii.gz"
    given = ["segment", str(image), "--bundle", str(run_folder / "bundle"), "--device", "cpu", "--overlapping"]
    assert main([*given, "-o", str(tmp_path / "found.seg.nrrd")]) == 0
    file = sitk.ReadImage(str(tmp_path / "found.seg.nrrd"))
    layers = sitk.GetArrayFromImage(file)
    layers = np.moveaxis(layers, -1, 0) if file.GetNumberOfComponentsPerPixel() > 1 else layers[None]
    found = {}
    for number in range(3):
        name, value, layer = (file.GetMetaData(f"Segment{number}_{key}") for key in ("Name", "LabelValue", "Layer"))
        found[name] = (layers[int(layer)] == int(value)).transpose(2, 1, 0)
    true = truth_of(regions_folder / "other")
    assert (found["WT"] & found["TC"]).sum() > 0.95 * found["TC"].sum() > 0
    assert (found["TC"] & found["ET"]).sum() > 0.9 * found["ET"].sum() > 0
    assert min(dice(found[name], true[label]) for name, label in (("TC", TC), ("WT", WT), ("ET", ET))) > 0.6
    said = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines()[:3])
    assert {name: float(ml) for name, ml in said.items()} == {
        name: pytest.approx(mask.sum() * 0.064, abs=0.06) for name, mask in found.items()
    }
    shown = segment(read(image), bundle, load_model(bundle, "cpu")).labels
    hidden = [dice(shown == label, true[label]) for label in (TC, WT, ET)]
    assert min(hidden) < 0.5  # a label map cannot show what lies in something else


def test_it_is_evaluated_region_by_region(run_folder, regions_folder, tmp_path):
    given = ["evaluate", "--bundle", str(run_folder / "bundle"), "--device", "cpu", "--data", str(regions_folder)]
    cases = ["--cases", str(run_folder / "training.json"), "--split", "validation"]
    assert main([*given, *cases, "-o", str(tmp_path)]) == 0
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as table:
        rows = {row["label"]: row for row in csv.DictReader(table)}
    bundle = bundles.load(run_folder / "bundle")
    masks = segment(
        read(regions_folder / "other" / "image.nii.gz"), bundle, load_model(bundle, "cpu"), overlapping=True
    ).masks
    for label, mask in truth_of(regions_folder / "other").items():
        row = rows[("TC", "WT", "ET")[label - 1]]
        assert float(row["dice"]) == pytest.approx(dice(masks.mask(label - 1), mask), abs=1e-6)
        assert float(row["reference_ml"]) == pytest.approx(mask.sum() * 0.064)
        assert float(row["gmacs"]) > 0


def test_dice_in_training_is_that_of_each_label_by_itself_read_as_the_bundle_is(run_folder, regions_folder):
    run = Run(config(json.loads((run_folder / "training.json").read_text())), regions_folder, Place(0, 1))
    run.load(torch.load(run_folder / checkpoint.FILE, weights_only=True))
    sample = run.source.still(0)
    sample.target[:20] = IGNORE
    run.model.eval()
    model = load_model(bundles.load(run_folder / "bundle"), "cpu")
    options = read_options(sliding_window.Options, run.config.template.strategy.options)
    with torch.no_grad():
        logits = sliding_window.predict(sample.image, model, options).logits.region(whole(tuple(sample.target.shape)))
        scores = []
        for label in (TC, WT, ET):
            true = has_label(sample.target, label, sample.members)[20:].numpy()
            scores.append(dice((logits[label, 20:] > 0).numpy(), true))
        assert mean_dice(sample, run) == pytest.approx(np.mean(scores), abs=5e-3)  # the bundle's weights are halved
        assert max(scores) > 0.7


def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    regions_json, regions_folder, tmp_path, monkeypatch
):
    content = config(regions_json, checkpoint_minutes=0.0)
    train(content, regions_folder, tmp_path / "whole")
    plain_step = Run.step

    def stop_at_one(run):
        if run.course.step == 1:
            raise KeyboardInterrupt
        return plain_step(run)

    monkeypatch.setattr(Run, "step", stop_at_one)
    with pytest.raises(KeyboardInterrupt):
        train(content, regions_folder, tmp_path / "parts")
    monkeypatch.setattr(Run, "step", plain_step)
    train(content, regions_folder, tmp_path / "parts")
    one, other = (
        torch.load(tmp_path / name / checkpoint.FILE, weights_only=True)["model"] for name in ("whole", "parts")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_starts_from_its_bundle(run_folder, regions_json, regions_folder):
    bundle = bundles.load(run_folder / "bundle")
    start = {"bundle": str(run_folder / "bundle"), "sha256": bundle.weights.sha256}
    run = Run(config(regions_json, start=start), regions_folder, Place(0, 1))
    weights = load_model(bundle, "cpu").network.state_dict()
    for name, parameter in run.model.state_dict().items():
        torch.testing.assert_close(parameter, weights[name])
    assert run.step()["patch"] < 0.65  # a new one begins near 0.78
