"""Schedules of the learning rate: their known values, and that they go on where a training goes on."""

import math

import pytest
import torch

from EfficientSegLib.bundle import Component
from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.training import checkpoint
from EfficientSegLib.training.config import TrainConfig, check
from EfficientSegLib.training.learning_rate import LearningRate
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.schedule import Course

HIGHEST = 2e-4


def config(content, **changes) -> TrainConfig:
    found = read_options(TrainConfig, {**content, "learning_rate": HIGHEST, **changes})
    check(found)
    return found


def rate_of(name, **options):
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], HIGHEST)
    return LearningRate(optimiser, Component(name, options))


def test_cosine_is_the_course_of_the_training(tiny_json):
    rate, usual = rate_of("cosine"), config(tiny_json, iterations=10)
    for step in range(10):
        assert rate.before_step(Course(usual, step)) == Course(usual, step).learning_rate
    rate.after_validation(1e9)
    assert rate.before_step(Course(usual, 5)) == Course(usual, 5).learning_rate


def test_plateau_halves_after_three_validations_in_vain(tiny_json):
    rate, course = rate_of("plateau"), Course(config(tiny_json, iterations=10))
    rates = []
    for loss in (3.0, 2.0, 2.5, 2.1, 2.0, 2.3, 1.9, 2.0):
        rate.after_validation(loss)
        rates.append(rate.before_step(course) / HIGHEST)
    assert rates == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5]  # the fourth without a lower loss


def test_warm_restarts_fall_from_the_highest_to_the_lowest_thrice_in_25_epochs(tiny_json):
    rate, usual = rate_of("warm_restarts"), config(tiny_json, iterations=250)
    rates = [rate.before_step(Course(usual, step)) for step in range(250)]
    expected = []
    for epochs in (5, 10, 10):  # the third half cosine would last 20
        length = {5: 5, 10: 10}[epochs] if len(expected) < 150 else 20
        shares = [step / 10 / length for step in range(10 * epochs)]
        expected += [1e-7 + (HIGHEST - 1e-7) * (1 + math.cos(math.pi * share)) / 2 for share in shares]
    assert rates == pytest.approx(expected, rel=1e-6)
    timed = config(tiny_json, iterations=None, minutes=1.0)
    by_time = [rate.before_step(Course(timed, 7, seconds)) for seconds in (0.0, 6.0, 24.0)]
    assert by_time == pytest.approx([expected[0], expected[25], expected[100]])


def test_each_schedule_goes_on_from_its_state(tiny_json):
    course = Course(config(tiny_json, iterations=10))
    whole, first, second = (rate_of("plateau") for _ in range(3))
    losses = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    for loss in losses:
        whole.after_validation(loss)
    for loss in losses[:4]:
        first.after_validation(loss)
    second.load(first.state())
    for loss in losses[4:]:
        second.after_validation(loss)
    assert whole.before_step(course) == second.before_step(course) == HIGHEST / 4


SCHEDULES = [{"name": "cosine"}, {"name": "plateau", "options": {"patience": 0}}, {"name": "warm_restarts"}]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda given: given["name"])
def test_an_interrupted_training_of_slices_goes_on_bit_for_bit(
    schedule, slices_json, data_folder, tmp_path, monkeypatch
):
    slices_json["bundle"]["network"]["options"] = {"encoder": "light", "width": 0.1}
    changes = {"schedule": schedule, "iterations": 4, "validation_every": 1, "validation": slices_json["cases"][:1]}
    changes["frozen"] = [{"part": "encoder", "share": 0.5}]
    train(config(slices_json, **changes), data_folder, tmp_path / "whole")
    plain_step = Run.step

    def stop_at_three(run):
        if run.course.step == 3:
            raise KeyboardInterrupt
        return plain_step(run)

    monkeypatch.setattr(Run, "step", stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        train(config(slices_json, checkpoint_minutes=0.0, **changes), data_folder, tmp_path / "parts")
    monkeypatch.setattr(Run, "step", plain_step)
    train(config(slices_json, **changes), data_folder, tmp_path / "parts")
    whole, parts = (torch.load(tmp_path / name / checkpoint.FILE, weights_only=True) for name in ("whole", "parts"))
    assert whole["model"].keys() == parts["model"].keys() and whole["learning_rate"] == parts["learning_rate"]
    for name, tensor in whole["model"].items():
        assert torch.equal(tensor, parts["model"][name]), name
    rows = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("whole", "parts")]
    assert [row.split(",")[:7] for row in rows[0]] == [row.split(",")[:7] for row in rows[1]]


def test_the_schedule_belongs_to_the_fingerprint_and_the_usual_one_changes_no_older_one(tiny_json):
    usual = config(tiny_json)
    assert config(tiny_json, schedule={"name": "cosine", "options": {}}, frozen=[]).fingerprint == usual.fingerprint
    assert config(tiny_json, schedule={"name": "warm_restarts"}).fingerprint != usual.fingerprint


@pytest.mark.parametrize(
    "schedule, words",
    [
        ({"name": "steps"}, "Unknown schedule 'steps'.*cosine, plateau, warm_restarts"),
        ({"name": "plateau"}, "validation_every is not given"),
        ({"name": "plateau", "options": {"factor": 1.0}}, "factor is 1.0"),
        ({"name": "warm_restarts", "options": {"first": 0}}, "first 0"),
        ({"name": "cosine", "options": {"patience": 3}}, "patience"),
    ],
)
def test_wrong_schedules_are_refused(schedule, words, tiny_json):
    with pytest.raises(OptionError, match=words):
        config(tiny_json, schedule=schedule)
