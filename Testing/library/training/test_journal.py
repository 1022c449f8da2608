"""Tables: every iteration once, however often a training was interrupted."""

import csv
import sys
from pathlib import Path

import pytest

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.journal import EVENTS, STEPS, VALIDATIONS, Journal, Table
from EfficientSegLib.training.schedule import Course


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def course(tiny_json) -> Course:
    validated = {"validation": tiny_json["cases"][:1], "validation_every": 1}
    return Course(read_options(TrainConfig, {**tiny_json, **validated, "iterations": 10}))


def test_a_table_that_goes_on_holds_every_step_once(tmp_path):
    table = Table(tmp_path / "log.csv", 0)
    for step in range(6):
        table.write(step, {"low": step / 10})
    table.close()
    again = Table(tmp_path / "log.csv", 4)  # the checkpoint was from before two of the steps
    for step in range(4, 8):
        again.write(step, {"low": step / 10 + 1})
    again.close()
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == [str(step) for step in range(8)]
    assert [row["low"] for row in rows(tmp_path / "log.csv")][3:5] == ["0.3", "1.4"]


def test_a_table_begins_anew_with_a_new_training(tmp_path):
    for value in (1.0, 2.0):
        table = Table(tmp_path / "log.csv", 0)
        table.write(0, {"low": value})
        table.close()
    assert rows(tmp_path / "log.csv") == [{"step": "0", "low": "2.0"}]


def test_a_row_that_a_kill_cut_off_is_dropped(tmp_path):
    (tmp_path / "log.csv").write_text("step,low,high\n0,1.0,2.0\n1,1.")
    table = Table(tmp_path / "log.csv", 2)
    table.write(2, {"low": 3.0, "high": 4.0})
    table.close()
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["0", "2"]


def test_a_value_that_comes_later_gets_a_column_of_its_own(tmp_path):
    table = Table(tmp_path / "log.csv", 0)
    table.write(0, {"low": 1.0})
    table.write(1, {"low": 2.0, "high": 3.0})
    table.close()
    assert rows(tmp_path / "log.csv") == [
        {"step": "0", "low": "1.0", "high": ""},
        {"step": "1", "low": "2.0", "high": "3.0"},
    ]


def test_the_journal_tells_terms_learning_rate_and_speed(tmp_path, course):
    after = course.after_step(0.25)
    with Journal(tmp_path, course) as journal:
        journal.step(course, after, {"low": 0.5})
        journal.validation(after, {"loss": 0.75})
    row = rows(tmp_path / STEPS)[0]
    assert float(row["low"]) == 0.5
    assert float(row["samples_per_s"]) == 4.0
    assert float(row["learning_rate"]) == pytest.approx(course.learning_rate, rel=1e-5)
    assert rows(tmp_path / VALIDATIONS) == [{"step": "1", "validation/loss": "0.75"}]


def test_without_validations_there_is_no_table_of_them(tiny_json, tmp_path):
    Journal(tmp_path / "run", Course(read_options(TrainConfig, {**tiny_json, "iterations": 10}))).close()
    assert [path.name for path in (tmp_path / "run").iterdir()] == [STEPS]


def test_a_silent_journal_leaves_nothing(tmp_path, course):
    with Journal(tmp_path, course, silent=True) as journal:
        journal.step(course, course.after_step(1.0), {"low": 0.5})
    assert not list(tmp_path.iterdir())


def test_tensorboard_reads_the_same_numbers(tmp_path, course):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Journal(tmp_path, course, tensorboard=True) as journal:
        journal.step(course, course.after_step(1.0), {"low": 0.5})
    events = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("low")] == [(0, 0.5)]


def test_a_missing_tensorboard_is_told_with_its_remedy(tmp_path, course, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match="TensorBoard was asked for.*pip install tensorboard"):
        Journal(tmp_path, course, tensorboard=True)


def test_the_bar_of_a_training_whose_time_is_over_is_full_and_not_beyond(tiny_json, tmp_path, capsys):
    config = read_options(TrainConfig, {**tiny_json, "iterations": None, "minutes": 0.5})
    Journal(tmp_path, Course(config, step=1, seconds=71.0)).close()
    assert "30/30" in capsys.readouterr().err
