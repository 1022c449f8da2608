"""Validation: it repeats, disturbs nothing, and the best model is the one of the lowest loss."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from EfficientSegLib import bundle as bundles
from EfficientSegLib import strategies
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import whole
from EfficientSegLib.options import read_options
from EfficientSegLib.segment import load_model
from EfficientSegLib.training import checkpoint
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.journal import VALIDATIONS
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.validation import BEST, CHUNK, Best, Validation, _terms, mean_dice


def config(tiny_json, **changes) -> TrainConfig:
    return read_options(TrainConfig, {**tiny_json, **changes})


@pytest.fixture
def split(tiny_json):
    """The tiny training with one of its cases kept for validation."""
    return {**tiny_json, "cases": tiny_json["cases"][:1], "validation": tiny_json["cases"][1:]}


def model_of(folder: Path, name: str = checkpoint.FILE) -> dict:
    return torch.load(folder / name, weights_only=True)["model"]


def test_a_validation_repeats_and_sums_the_terms(split, data_folder, tmp_path):
    run = Run(config(split, validation_every=1), data_folder, Place(0, 1))
    validation = Validation(run, data_folder, tmp_path, Best())
    values = validation()
    assert validation() == values
    assert values["loss"] == pytest.approx(sum(value for name, value in values.items() if name != "loss"))
    assert run.model.training


def test_a_training_with_validation_and_pictures_equals_one_without_bit_for_bit(split, data_folder, tmp_path):
    train(config(split), data_folder, tmp_path / "without")
    watched = config(split, validation_every=1, validation_dice=True, picture_every=2)
    train(watched, data_folder, tmp_path / "with")
    one, other = model_of(tmp_path / "without"), model_of(tmp_path / "with")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert watched.fingerprint == config(split).fingerprint


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_dice_is_read_in_float32_whatever_the_precision_of_the_training(precision, split, data_folder, tmp_path):
    run = Run(config(split, validation_every=1, precision=precision), data_folder, Place(0, 1))
    sample = Validation(run, data_folder, tmp_path, Best())._source.still(0)
    run.model.eval()
    with torch.no_grad():
        plain = mean_dice(sample, run)
        with run.precision.autocast():
            assert mean_dice(sample, run) == plain
    assert not math.isnan(plain)


def test_the_best_model_is_the_one_of_the_lowest_loss_and_makes_the_bundle(split, data_folder, tmp_path):
    # The rate is so high that the last model is not the best one.
    wild = {"validation_every": 1, "learning_rate": 0.3, "iterations": 5}
    folder = train(config(split, **wild), data_folder, tmp_path)
    with open(tmp_path / VALIDATIONS, newline="", encoding="utf-8") as table:
        losses = {int(row["step"]): float(row["validation/loss"]) for row in csv.DictReader(table)}
    lowest = min(losses, key=losses.get)
    bundle = bundles.load(folder)
    assert list(losses) == [1, 2, 3, 4, 5]
    assert bundle.provenance["bundle_from"] == "best"
    assert bundle.provenance["best_step"] == lowest < 5
    theta = load_model(bundle, "cpu").state_dict()["theta"]
    torch.testing.assert_close(theta, model_of(tmp_path, BEST)["theta"].half().float())
    train(config(split, **wild, bundle_from="last"), data_folder, tmp_path)
    theta = load_model(bundles.load(folder), "cpu").state_dict()["theta"]
    torch.testing.assert_close(theta, model_of(tmp_path)["theta"].half().float())


def test_a_worse_model_does_not_replace_the_best_one(split, data_folder, tmp_path):
    run = Run(config(split, validation_every=1), data_folder, Place(0, 1))
    validation = Validation(run, data_folder, tmp_path, Best(loss=-math.inf, step=3))
    validation()
    assert validation.best == Best(-math.inf, 3)
    assert not (tmp_path / BEST).exists()


def test_dice_is_that_of_the_strategy_and_a_case_without_labels_has_none(split, data_folder):
    run = Run(config(split), data_folder, Place(0, 1))
    sample = run.source.still(0)
    strategy = run.config.template.strategy
    module = strategies.module(strategy.name)
    with torch.no_grad():
        logits = module.predict(sample.image, run.model, read_options(module.Options, strategy.options)).logits
        found = logits.region(whole(tuple(sample.target.shape))).argmax(0).numpy()
        known = sample.target.numpy() != IGNORE
        found, true = found[known], sample.target.numpy()[known]
        dice = [2 * ((found == c) & (true == c)).sum() / ((found == c).sum() + (true == c).sum()) for c in (1, 2, 3)]
        assert mean_dice(sample, run) == pytest.approx(np.mean(dice), abs=1e-6)
        assert max(dice) > 0
        sample.target.zero_()
        assert math.isnan(mean_dice(sample, run))


@pytest.mark.parametrize("change", [{"validation_every": 1}, {"bundle_from": "best"}])
def test_a_validation_without_cases_is_refused(tiny_json, change):
    with pytest.raises(OptionError, match="without any case in validation"):
        config(tiny_json, **change)


def test_the_loss_of_a_case_of_slices_is_that_of_all_its_slices_at_once(slices_json, data_folder):
    slices_json["bundle"]["network"]["options"] |= {"width": 0.1}
    run = Run(read_options(TrainConfig, slices_json), data_folder, Place(0, 1))
    run.model.eval()
    still, generator = run.source.still(0), torch.Generator()
    with torch.no_grad():
        in_parts = _terms(still, run, generator)
        together = {name: float(term) for name, term in run.objective(still, 1.0, generator).items()}
        assert len(still) > CHUNK
        assert in_parts == pytest.approx(together, rel=1e-4)
        assert 0 <= mean_dice(still, run) <= 1
