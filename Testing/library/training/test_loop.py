"""The loop: interrupted equals uninterrupted, nothing is lost or mixed, and a bundle comes out."""

import copy
import csv
import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from EfficientSegLib import bundle as bundles
from EfficientSegLib.errors import EfficientSegError, OptionError, TrainingError
from EfficientSegLib.options import read_options
from EfficientSegLib.segment import load_model
from EfficientSegLib.training import checkpoint
from EfficientSegLib.training.config import TrainConfig, read_config
from EfficientSegLib.training.journal import STEPS
from EfficientSegLib.training.loop import train, train_from_file
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place

ROOT = Path(__file__).resolve().parents[3]
ALONE = Place(0, 1)


def config(tiny_json, **changes) -> TrainConfig:
    return read_options(TrainConfig, {**tiny_json, **changes})


def weights_of(folder: Path) -> dict:
    return torch.load(folder / checkpoint.FILE, weights_only=True)["model"]


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_a_short_training_writes_a_bundle_that_loads(tiny_json, data_folder, awkward_folder):
    folder = train(config(tiny_json, provenance={"note": "from a test"}), data_folder, awkward_folder)
    bundle = bundles.load(folder)
    assert bundle.provenance["iterations"] == 4
    assert bundle.provenance["note"] == "from a test"
    model = load_model(bundle, "cpu")
    trained = weights_of(awkward_folder)["theta"]
    torch.testing.assert_close(model.theta.detach(), trained.half().float())
    with open(awkward_folder / STEPS, newline="", encoding="utf-8") as table:
        assert [row["step"] for row in csv.DictReader(table)] == ["0", "1", "2", "3"]


def test_a_packed_bundle_holds_the_same_network_in_fewer_bytes(tiny_json, data_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("EfficientSegLib.networks.compact.SMALLEST", 64)
    plain = train(config(tiny_json), data_folder, tmp_path / "plain")
    packed = train(config(tiny_json, packed=True), data_folder, tmp_path / "packed")
    assert (packed / "weights.pt").stat().st_size < (plain / "weights.pt").stat().st_size
    trained = weights_of(tmp_path / "packed")
    for name, tensor in load_model(bundles.load(packed), "cpu").state_dict().items():
        torch.testing.assert_close(tensor, trained[name], atol=float(trained[name].abs().max()) / 120, rtol=1e-3)


def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(tiny_json, data_folder, tmp_path, monkeypatch):
    train(config(tiny_json), data_folder, tmp_path / "whole")
    plain_step = Run.step

    def stop_at_two(run):
        if run.course.step == 2:
            raise KeyboardInterrupt
        return plain_step(run)

    always = config(tiny_json, checkpoint_minutes=0.0)
    monkeypatch.setattr(Run, "step", stop_at_two)
    with pytest.raises(KeyboardInterrupt):
        train(always, data_folder, tmp_path / "parts")
    monkeypatch.setattr(Run, "step", plain_step)
    assert torch.load(tmp_path / "parts" / checkpoint.FILE, weights_only=True)["step"] == 2
    train(always, data_folder, tmp_path / "parts")
    assert_same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts"))


def test_a_killed_training_goes_on_from_its_checkpoint(tiny_json, data_folder, tmp_path):
    path = tmp_path / "training.json"
    path.write_text(json.dumps({**tiny_json, "iterations": 1000, "checkpoint_minutes": 0.0}))
    program = "import sys; from EfficientSegLib.training.loop import train_from_file; train_from_file(*sys.argv[1:])"
    arguments = [sys.executable, "-c", program, str(path), str(data_folder), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and not (tmp_path / checkpoint.FILE).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    run = Run(read_config(path), data_folder, ALONE)
    state = checkpoint.load(tmp_path, run.config.fingerprint)
    assert 0 < state["step"] < 1000
    run.load(state)
    assert math.isfinite(run.step()["low"])


def test_a_checkpoint_of_another_training_is_refused_in_words(tiny_json, data_folder, tmp_path):
    train(config(tiny_json), data_folder, tmp_path)
    with pytest.raises(TrainingError, match="belongs to another training.*without resuming"):
        train(config(tiny_json, seed=1), data_folder, tmp_path)
    train(config(tiny_json, seed=1), data_folder, tmp_path, resume=False)


def test_texts_and_colours_may_change_during_a_training(tiny_json):
    before = config(tiny_json).fingerprint
    tiny_json["bundle"]["title"] = "Another title"
    tiny_json["bundle"]["labels"][0]["color"] = [1, 2, 3]
    assert config(tiny_json).fingerprint == before
    tiny_json["bundle"]["preprocess"]["intensity"]["low"] = -300
    assert config(tiny_json).fingerprint != before


def test_a_loss_that_is_no_number_stops_with_step_and_case_and_keeps_the_checkpoint(
    tiny_json, data_folder, tmp_path, monkeypatch
):
    from EfficientSegLib.training.recipes import nmsw

    plain = nmsw.losses

    def broken_at_the_end(model, sample, options, progress, generator):
        terms = plain(model, sample, options, progress, generator)
        return terms if progress < 0.7 else {**terms, "patch": terms["patch"] * math.nan}

    monkeypatch.setattr(nmsw, "losses", broken_at_the_end)
    with pytest.raises(TrainingError, match=r"At step 3 the loss of torso_\d/image.nii.gz is not a finite number"):
        train(config(tiny_json, checkpoint_minutes=0.0), data_folder, tmp_path)
    state = torch.load(tmp_path / checkpoint.FILE, weights_only=True)
    assert state["step"] == 3
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_a_full_disk_is_told_and_the_checkpoint_before_stays(tmp_path, monkeypatch):
    checkpoint.save({"step": 1, "fingerprint": "a"}, tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="step 2 .* not written.*Free some space.*checkpoint before"):
        checkpoint.save({"step": 2, "fingerprint": "a"}, tmp_path)
    monkeypatch.undo()
    assert checkpoint.load(tmp_path, "a")["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE]


def test_a_broken_checkpoint_is_refused(tmp_path):
    (tmp_path / checkpoint.FILE).write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="cannot be read"):
        checkpoint.load(tmp_path, "a")


def test_another_number_of_processes_than_the_file_says_is_refused(tiny_json, data_folder, tmp_path):
    path = tmp_path / "training.json"
    path.write_text(json.dumps(tiny_json))
    with pytest.raises(TrainingError, match="2 processes were asked for"):
        train_from_file(path, data_folder, tmp_path, processes=2)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"cases": []}, "no cases"),
        ({"iterations": 0}, "iterations is 0"),
        ({"iterations": None}, "neither iterations nor minutes"),
        ({"minutes": 0}, "minutes is 0"),
        ({"learning_rat": 1}, "learning_rat"),
        ({"recipe": {"name": "magic"}}, "recipe: Unknown recipe 'magic'.*nmsw, patch"),
        ({"recipe": {"name": "nmsw", "options": {"random_patches": 0}}}, "recipe: There are . sampled and 0 random"),
        ({"samples": {"name": "magic"}}, "samples: Unknown source 'magic'.*body"),
        ({"samples": {"name": "body", "options": {"magic": 1}}}, "samples: Unknown option 'magic'"),
        ({"recipe": {"name": "nmsw"}, "bundle": {"name": "x"}}, "missing"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_starts(tiny_json, tmp_path, change, words):
    path = tmp_path / "training.json"
    path.write_text(json.dumps({**tiny_json, **change}))
    with pytest.raises(TrainingError, match=words):
        read_config(path)


@pytest.mark.parametrize("part, words", [("network", "Unknown network"), ("strategy", "Unknown strategy")])
def test_an_unknown_network_or_strategy_is_refused_before_anything_starts(tiny_json, tmp_path, part, words):
    tiny_json["bundle"][part] = {"name": "magic"}
    path = tmp_path / "training.json"
    path.write_text(json.dumps(tiny_json))
    with pytest.raises(TrainingError, match=f"bundle.{part}: {words} 'magic'"):
        read_config(path)


SWIN = {"feature_size": 12, "depths": [1, 1, 1, 1], "window": 4}


@pytest.mark.parametrize(
    "network, recipe, window, words",
    [
        (
            {"name": "nmsw", "options": {"local_backbone": "swin_unetr", "patch_size": [32, 32, 32]}},
            {"name": "nmsw"},
            None,
            "bundle.network: A patch is 32 × 32 × 32 voxels.*Use 64 × 32 × 32",
        ),
        (
            {"name": "nmsw", "options": {"local_backbone": "stp_unetr", "patch_size": [64, 64, 64]}},
            {"name": "nmsw"},
            None,
            r"bundle.network: patch_size is \(64, 64, 64\).*Use \(96, 96, 96\)",
        ),
        (
            {"name": "swin_unetr", "options": SWIN},
            {"name": "patch", "options": {"patch_size": [32, 32, 32]}},
            [64, 32, 32],
            "recipe: A patch is 32 × 32 × 32 voxels.*Use 64 × 32 × 32",
        ),
        (
            {"name": "swin_unetr", "options": SWIN},
            {"name": "patch", "options": {"patch_size": [64, 32, 32]}},
            [48, 48, 48],
            r"bundle.strategy: patch_size is \(48, 48, 48\).*Use \(64, 64, 64\)",
        ),
    ],
)
def test_patches_that_the_network_cannot_read_are_refused_with_the_file(
    tiny_json, tmp_path, monkeypatch, network, recipe, window, words
):
    monkeypatch.setattr("EfficientSegLib.networks.build", lambda *_: pytest.fail("A network was built."))
    strategy = {"name": "sliding_window", "options": {"patch_size": window}} if window else {"name": "nmsw"}
    bundle = {**tiny_json["bundle"], "network": network, "strategy": strategy}
    path = tmp_path / "training.json"
    path.write_text(json.dumps({**tiny_json, "bundle": bundle, "recipe": recipe}))
    with pytest.raises(TrainingError, match=words):
        read_config(path)


def test_an_unknown_recipe_names_the_known_ones(tiny_json, data_folder):
    with pytest.raises(OptionError, match="nmsw, patch"):
        Run(config(tiny_json, recipe={"name": "magic"}), data_folder, ALONE)


def test_another_orientation_than_ras_is_refused(tiny_json, data_folder):
    tiny_json["bundle"]["preprocess"]["orientation"] = "LPS"
    with pytest.raises(TrainingError, match="orientation is 'LPS'.*Use RAS"):
        Run(config(tiny_json), data_folder, ALONE)


def test_samples_too_small_for_a_patch_are_refused(tiny_json, data_folder):
    with pytest.raises(TrainingError, match="Raise largest"):
        Run(config(tiny_json, largest=[8, 32, 32]), data_folder, ALONE)


def test_a_missing_data_folder_is_told_before_anything_starts(tiny_json, tmp_path):
    with pytest.raises(TrainingError, match="data folder .*absent is not there"):
        train(config(tiny_json), tmp_path / "absent", tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_an_output_folder_that_cannot_be_made_is_told_before_anything_starts(tiny_json, data_folder, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TrainingError, match="output folder .* may not be written to"):
        train(config(tiny_json), data_folder, tmp_path / "file" / "output")


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"largest": [8, 32, 32]}, "Raise largest"),
        ({"recipe": {"name": "patch", "options": {"patch_size": [16, 16, 16]}}}, "recipe"),
        ({"cases": [{"image": "absent.nii.gz", "label": "absent.nii.gz"}]}, "absent.nii.gz"),
    ],
)
def test_a_training_that_is_refused_leaves_no_folder(tiny_json, data_folder, tmp_path, wrong, words):
    with pytest.raises(EfficientSegError, match=words):
        train(config(tiny_json, **wrong), data_folder, tmp_path / "new" / "run")
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_no_number_leaves_model_and_optimiser_as_they_were(tiny_json, data_folder, monkeypatch):
    run = Run(config(tiny_json), data_folder, ALONE)
    run.step()
    before = copy.deepcopy(run.state())
    monkeypatch.setattr(run.objective, "forward", lambda *_: {"low": run.model.theta.sum() * math.nan})
    with pytest.raises(TrainingError, match="At step 1 the loss of torso_"):
        run.step()
    after = run.state()
    assert_same(after["model"], before["model"])
    for index, state in after["optimiser"]["state"].items():
        assert_same(state, before["optimiser"]["state"][index])
    assert after["step"] == 1


def test_a_gradient_that_is_no_number_leaves_the_model_as_it_was(tiny_json, data_folder, monkeypatch):
    run = Run(config(tiny_json), data_folder, ALONE)
    before = copy.deepcopy(run.model.state_dict())
    # The square root's slope at 0 is infinite, its value is not.
    monkeypatch.setattr(run.objective, "forward", lambda *_: {"low": (run.model.theta * 0).abs().sum().sqrt()})
    with pytest.raises(TrainingError, match="At step 0 the gradient of torso_"):
        run.step()
    assert_same(run.model.state_dict(), before)


def test_a_signal_keeps_all_that_was_done(tiny_json, data_folder, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)  # not the same in a shell's background, where it is ignored
    plain_step = Run.step

    def interrupted(run):
        if run.course.step == 1:
            signal.raise_signal(signal.SIGINT)
        return plain_step(run)

    monkeypatch.setattr(Run, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config(tiny_json), data_folder, tmp_path)
    assert torch.load(tmp_path / checkpoint.FILE, weights_only=True)["step"] == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_labels_that_may_overlap_are_refused_by_a_network_with_an_overview_before_any_case_is_read(tiny_json, tmp_path):
    tiny_json["bundle"]["outputs"] = "independent"
    with pytest.raises(OptionError, match="outputs of bundle .* independent.*background does not win.*'patch'"):
        Run(config(tiny_json), tmp_path / "nowhere", ALONE)
