"""Several processes: however they are started, they train one model, and end together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import phantoms
from EfficientSegLib.errors import DeviceError, TrainingError
from EfficientSegLib.options import read_options
from EfficientSegLib.training import checkpoint, processes
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.journal import STEPS
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
TRAIN_AND_NAME_THREADS = """
import json, os, sys
from pathlib import Path
from EfficientSegLib.__main__ import main
from EfficientSegLib.training import processes

def names():
    return [(Path("/proc/self/task") / thread / "comm").read_text().strip() for thread in os.listdir("/proc/self/task")]

def told(*arguments):
    print(json.dumps(names()))
    return left(*arguments)

if __name__ == "__main__":
    left, processes.distributed.destroy_process_group = processes.distributed.destroy_process_group, told
    code = main()
    print(json.dumps(names()))
    raise SystemExit(code)
"""


def config(tiny_json, **changes) -> TrainConfig:
    return read_options(TrainConfig, {**tiny_json, **changes})


def state_of(folder: Path) -> dict:
    return torch.load(folder / checkpoint.FILE, weights_only=True)


def assert_moments_are_a_tenth_of(gradients: list[torch.Tensor], folder: Path) -> None:
    """After one step the first moment of AdamW is a tenth of the gradient."""
    moments = state_of(folder)["optimiser"]["state"]
    assert len(moments) == len(gradients)
    for (_, state), gradient in zip(sorted(moments.items()), gradients):
        torch.testing.assert_close(state["exp_avg"], 0.1 * gradient, rtol=1e-3, atol=1e-6)


def mean_gradients(pair: TrainConfig, data_folder: Path) -> list[torch.Tensor]:
    """Of the first iteration's two samples, each calculated alone."""
    gradients = []
    for rank in (0, 1):
        run = Run(pair, data_folder, Place(rank, 1))
        run.step()
        gradients.append([parameter.grad for parameter in run.model.parameters()])
    return [(one + other) / 2 for one, other in zip(*gradients)]


def command(tiny_json, data_folder, folder: Path, **changes) -> list[str]:
    """`train` as arguments of a Python interpreter; its processes check that they end with the same weights."""
    folder.mkdir(exist_ok=True)
    path = folder / "training.json"
    path.write_text(json.dumps({**tiny_json, **changes}))
    return ["-m", "EfficientSegLib", "train", str(path), "--data", str(data_folder), "--output", str(folder)]


def test_two_processes_started_by_us_equal_the_mean_gradient_of_two_single_runs(tiny_json, data_folder, tmp_path):
    pair = config(tiny_json, processes=2, iterations=1, clip=1e6)
    train(pair, data_folder, tmp_path)
    assert_moments_are_a_tenth_of(mean_gradients(pair, data_folder), tmp_path)


def test_two_processes_agree_on_running_statistics_and_thaw_together(slices_json, data_folder, tmp_path):
    slices_json["bundle"]["network"]["options"] = {"encoder": "light", "width": 0.1}
    changes = {"processes": 2, "iterations": 2, "frozen": [{"part": "encoder", "share": 0.5}]}
    pair = config(slices_json, **changes)
    train(pair, data_folder, tmp_path)
    means = []
    for rank in (0, 1):  # the first iteration alone: the decoder's statistics of each process by itself
        run = Run(pair, data_folder, Place(rank, 1))
        untouched = run.model.encoder.stem[1].running_mean.clone()
        run.step()
        assert torch.equal(run.model.encoder.stem[1].running_mean, untouched)
        means.append({name: part for name, part in run.model.state_dict().items() if name.startswith("decoder.")})
    first = config(slices_json, **{**changes, "iterations": 1, "frozen": [{"part": "encoder"}]})
    train(first, data_folder, tmp_path / "first")
    state = state_of(tmp_path / "first")["model"]
    for name in [name for name in means[0] if name.endswith(("running_mean", "running_var"))]:
        torch.testing.assert_close(state[name], (means[0][name] + means[1][name]) / 2)
    assert any(not torch.equal(means[0][name], means[1][name]) for name in means[0] if name.endswith("running_mean"))
    thawed = state_of(tmp_path)["model"]["encoder.stem.1.running_mean"]
    assert not torch.equal(thawed, state["encoder.stem.1.running_mean"])


def test_two_processes_started_by_torchrun_equal_the_mean_gradient_of_two_single_runs(tiny_json, data_folder, tmp_path):
    changes = {"processes": 2, "iterations": 1, "clip": 1e6}
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*start, *command(tiny_json, data_folder, tmp_path, **changes)],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bundle" / "bundle.json").is_file()
    assert_moments_are_a_tenth_of(mean_gradients(config(tiny_json, **changes), data_folder), tmp_path)


def test_two_processes_stopped_by_a_signal_go_on_bit_for_bit(tiny_json, data_folder, tmp_path):
    changes = {"processes": 2, "iterations": 8}
    train(config(tiny_json, **changes), data_folder, tmp_path / "whole")
    arguments = command(tiny_json, data_folder, tmp_path / "parts", **changes)
    process = subprocess.Popen([sys.executable, *arguments], env=ENVIRONMENT, stderr=subprocess.PIPE, encoding="utf-8")
    deadline = time.monotonic() + 300
    table = tmp_path / "parts" / STEPS
    while process.poll() is None and time.monotonic() < deadline:
        if table.is_file() and len(table.read_text().splitlines()) > 2:
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.005)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    step = state_of(tmp_path / "parts")["step"]
    assert 2 <= step < 8
    assert f"Stopped after {step} iterations. They are kept" in said
    train(config(tiny_json, **changes), data_folder, tmp_path / "parts")
    whole, parts = (state_of(tmp_path / name)["model"] for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux names the threads of a process")
def test_no_thread_of_the_group_is_left_to_abort_the_process_as_it_ends(tiny_json, data_folder, tmp_path):
    arguments = command(tiny_json, data_folder, tmp_path, processes=2, iterations=1)
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_NAME_THREADS, *arguments[2:]],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    during, after = map(json.loads, done.stdout.splitlines()[-2:])
    assert any("gloo" in name for name in during)  # or the next line would prove nothing
    assert not [name for name in after if "gloo" in name]


def test_an_error_in_one_process_ends_all_and_names_the_case_and_the_step(tiny_json, tmp_path):
    spacing = (8.0, 8.0, 8.0)
    hu, labels = phantoms.torso((40, 32, 28), 0, spacing)
    small = (slice(12, 28), slice(8, 24), slice(6, 22))  # one candidate patch, where three are to be drawn
    phantoms.write_case(tmp_path / "data" / "large", hu, labels, spacing)
    part = hu[small].copy()
    part[0] = -1000  # a CT without air would be refused before
    phantoms.write_case(tmp_path / "data" / "small", part, labels[small], spacing)
    changes = {
        "cases": [
            {"image": f"{name}/image.nii.gz", "label": f"{name}/label.nii.gz", "map": {"1": 1, "2": 2, "3": 7}}
            for name in ("large", "small")
        ],
        "recipe": {"name": "nmsw", "options": {"sampled_patches": 3}},
        "samples": {"name": "volume"},
        "processes": 2,
        "iterations": 50,
        "seed": first_seed_that_draws_both(),
    }
    words = r"At step 0, with small/image.nii.gz: sampled_patches is 3.*1 candidate"
    with pytest.raises(TrainingError, match=words):
        train(config(tiny_json, **changes), tmp_path / "data", tmp_path)
    assert not (tmp_path / "bundle").exists()


def first_seed_that_draws_both() -> int:
    """With it, in the first iteration, the first process draws the first of two cases, and the other the second."""

    def case(seed: int, rank: int) -> int:
        draws = np.random.default_rng(np.random.SeedSequence([seed, 0, rank]))
        draws.integers(2**62)
        return int(draws.choice(2, p=[0.5, 0.5]))

    return next(seed for seed in range(100) if (case(seed, 0), case(seed, 1)) == (0, 1))


def test_models_that_drift_apart_are_noticed(monkeypatch):
    processes.check_same(1.0, Place(0, 1))
    monkeypatch.setattr(processes, "gather", lambda value, place: [value, value + 1e-9])
    with pytest.raises(TrainingError, match="different models"):
        processes.check_same(1.0, Place(0, 2))


def test_more_processes_than_gpus_are_refused():
    with pytest.raises(DeviceError, match="1000 processes .* on this machine, which has .* GPUs"):
        processes.own_device("cuda", 999)
    assert processes.own_device("cpu", 999) == torch.device("cpu")
