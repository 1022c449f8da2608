"""The course of a training: by iterations or by time, and over restarts."""

import pytest
import torch

from EfficientSegLib.options import read_options
from EfficientSegLib.training import checkpoint
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.schedule import Course, schedule


def config(tiny_json, **changes) -> TrainConfig:
    return read_options(TrainConfig, {**tiny_json, **changes})


class Clock:
    """Shows ten seconds more whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


def test_the_learning_rate_rises_then_falls_to_nothing():
    rates = [schedule(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3


def test_by_time_the_learning_rate_and_the_progress_follow_the_minutes_and_not_the_steps(tiny_json):
    timed = config(tiny_json, iterations=1000, minutes=1.0, warm_up=0.1, learning_rate=2.0)
    steps, quarter = Course(timed, step=900, seconds=0.0), Course(timed, step=1, seconds=15.0)
    assert steps.progress == 0 and 0 < steps.learning_rate < 0.03
    assert quarter.progress == 0.25
    by_iterations = Course(config(tiny_json, iterations=1000, warm_up=0.1, learning_rate=2.0), step=250)
    assert quarter.learning_rate == pytest.approx(by_iterations.learning_rate, rel=1e-6)
    assert Course(timed, seconds=6.0).learning_rate == pytest.approx(2.0)
    assert Course(timed, seconds=60.0).learning_rate == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "step, seconds, ended", [(0, 59.9, False), (0, 60.0, True), (9, 0.0, False), (10, 0.0, True), (10, 60.0, True)]
)
def test_a_training_ends_by_time_or_by_iterations_whichever_is_first(tiny_json, step, seconds, ended):
    assert Course(config(tiny_json, iterations=10, minutes=1.0), step, seconds).ended is ended


def test_without_an_upper_bound_the_minutes_alone_decide(tiny_json):
    timed = config(tiny_json, iterations=None, minutes=1.0)
    assert not Course(timed, step=10**9, seconds=1.0).ended


def test_the_clock_counts_iterations_only_and_goes_on_after_a_restart(tiny_json, data_folder):
    timed = config(tiny_json, iterations=None, minutes=0.5)
    run = Run(timed, data_folder, Place(0, 1), Clock())  # it shows ten seconds per iteration
    run.clock()  # what happens between iterations does not count
    run.step()
    run.clock()
    run.step()
    assert run.course == Course(timed, 2, 20.0)
    again = Run(timed, data_folder, Place(0, 1), Clock())
    again.load(run.state())
    assert not again.course.ended
    again.step()
    assert again.course == Course(timed, 3, 30.0)
    assert again.course.ended


def test_a_timed_training_that_has_used_its_minutes_is_only_written(tiny_json, data_folder, tmp_path):
    timed = config(tiny_json, iterations=None, minutes=0.001)
    train(timed, data_folder, tmp_path)
    state = torch.load(tmp_path / checkpoint.FILE, weights_only=True)
    assert state["seconds"] >= 0.06
    assert train(timed, data_folder, tmp_path) == tmp_path / "bundle"
    after = torch.load(tmp_path / checkpoint.FILE, weights_only=True)
    assert (after["step"], after["seconds"]) == (state["step"], state["seconds"])


def test_minutes_belong_to_the_fingerprint_and_their_absence_changes_no_older_one(tiny_json):
    assert config(tiny_json).fingerprint != config(tiny_json, minutes=1.0).fingerprint
    assert config(tiny_json).fingerprint == config(tiny_json, minutes=None).fingerprint
