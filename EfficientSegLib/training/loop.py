"""The training loop: samples, optimiser, schedule, checkpoints; it ends by writing a bundle.

Every step seeds all its draws from (seed, step, process), so a training that goes on from a checkpoint continues
exactly as the uninterrupted one would, and a checkpoint needs no state of random generators.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from EfficientSegLib import networks
from EfficientSegLib.errors import TrainingError
from EfficientSegLib.networks.inference import for_training
from EfficientSegLib.options import read_options
from EfficientSegLib.training import checkpoint, processes, recipe
from EfficientSegLib.training.config import TrainConfig, read_config
from EfficientSegLib.training.export import write_bundle
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.samples import Sample, source
from EfficientSegLib.training.schedule import Course

log = logging.getLogger(__name__)
LOG = "log.jsonl"


def train_from_file(
    config_path: str | os.PathLike,
    data_folder: str | os.PathLike,
    output_folder: str | os.PathLike,
    resume: bool = True,
    processes: int | None = None,
) -> Path:
    """Train as a JSON file says; returns the bundle's folder. See `train`."""
    config = read_config(config_path)
    if processes is not None and processes != config.processes:
        raise TrainingError(
            f"{processes} processes were asked for; {config_path} is a training with {config.processes}.",
            why="Each process adds a sample to every iteration, so the number belongs to the training.",
            mend="Change processes in the file, or leave the option out.",
        )
    return train(config, data_folder, output_folder, resume)


def train(config: TrainConfig, data_folder: str | os.PathLike, output: str | os.PathLike, resume: bool = True) -> Path:
    """Train a model and write its bundle to `output`/bundle.

    Args:
        data_folder: what the paths of the cases are relative to.
        output: checkpoint, log and bundle go here.
        resume: go on from the checkpoint in `output`, if there is one; otherwise it is overwritten.

    Raises:
        TrainingError: a loss is not a number, the checkpoint is of another training, or the disk is full.
        VolumeError: a case cannot be read.
    """
    return processes.run(_train, (config, Path(data_folder), Path(output), resume), config.processes)


def _train(place: Place, config: TrainConfig, data_folder: Path, output: Path, resume: bool) -> Path:
    if place.count > 1:
        torch.set_num_threads(max((os.cpu_count() or 1) // place.count, 1))
    output.mkdir(parents=True, exist_ok=True)
    state = checkpoint.load(output, config.fingerprint) if resume else None
    run = Run(config, data_folder, place)
    if state:
        run.load(state)
        log.info("Going on from step %d, after %.1f minutes of training.", run.course.step, run.course.seconds / 60)
    saved = time.monotonic()
    bar = tqdm(initial=run.course.step, total=config.iterations, disable=place.rank > 0)
    with open(output / (LOG if place.rank == 0 else os.devnull), "a", encoding="utf-8") as journal, bar:
        while not run.course.ended:
            course, terms = run.course, run.step()
            bar.update()
            bar.set_postfix({name: f"{value:.3f}" for name, value in terms.items()}, refresh=False)
            journal.write(json.dumps({"step": course.step, "time": round(time.time(), 1), **terms}) + "\n")
            if place.rank == 0 and time.monotonic() - saved > 60 * config.checkpoint_minutes:
                journal.flush()
                checkpoint.save(run.state(), output)
                saved = time.monotonic()
    if place.rank == 0:
        checkpoint.save(run.state(), output)
        write_bundle(config, run.model.state_dict(), run.course, output / "bundle")
    return output / "bundle"


class Run:
    """A training in memory: model, optimiser and cases."""

    def __init__(
        self, config: TrainConfig, data_folder: Path, place: Place, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.config, self.place, self.clock = config, place, clock
        self.course = Course(config)
        template = config.template
        torch.manual_seed(config.seed)
        network = template.network
        model = networks.build(network.name, network.options, len(template.channels), template.num_labels)
        self.model = for_training(model).train()
        self.recipe = recipe(config.recipe.name)
        self.recipe_options = read_options(self.recipe.Options, config.recipe.options)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        patch = getattr(self.model, "patch_size", None) or getattr(self.recipe_options, "patch_size", (1, 1, 1))
        multiple = getattr(self.model, "size_multiple", (1, 1, 1))
        self.source = source(config.samples.name).open_source(config, config.cases, data_folder, patch, multiple)

    def step(self) -> dict[str, float]:
        """The next iteration; returns the terms of the loss.

        Raises:
            TrainingError: the loss or its gradient is not finite; the model is as it was before this step.
        """
        start, step = self.clock(), self.course.step
        seeds = np.random.SeedSequence([self.config.seed, step, self.place.rank])
        draws = np.random.default_rng(seeds)
        torch.manual_seed(int(draws.integers(2**62)))
        sample = self.source.draw(draws)
        for group in self.optimiser.param_groups:
            group["lr"] = self.course.learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
            terms = self.recipe.losses(self.model, sample, self.recipe_options, self.course.progress, _generator(draws))
        sum(terms.values()).backward()
        means = self._share_gradients(terms)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if not all(math.isfinite(value) for value in (*means.values(), float(norm))):
            self._refuse(step, sample, terms)
        self.optimiser.step()
        self.course = self.course.after_step(self._seconds_since(start))
        return {name: round(value, 5) for name, value in means.items()}

    def _seconds_since(self, start: float) -> float:
        """The mean over the processes: they must agree on when the time is over."""
        return float(processes.average([torch.tensor([self.clock() - start], dtype=torch.float64)], self.place)[0])

    def _share_gradients(self, terms: dict[str, Tensor]) -> dict[str, float]:
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        values = torch.stack([term.detach().float() for term in terms.values()])
        shared = processes.average([*(parameter.grad for parameter in parameters), values], self.place)
        for parameter, gradient in zip(parameters, shared):
            parameter.grad.copy_(gradient)
        return dict(zip(terms, shared[-1].tolist()))

    def _refuse(self, step: int, sample: Sample, terms: dict[str, Tensor]) -> None:
        own = {name: float(value.detach()) for name, value in terms.items()}
        everyone = processes.gather((sample.name, own), self.place)
        broken = [item for item in everyone if not all(math.isfinite(value) for value in item[1].values())]
        name, values = (broken or everyone)[0]
        raise TrainingError(
            f"At step {step} the loss of {name} is not a finite number ({values}).",
            why="Its values are broken, or the learning rate is too high.",
            mend="Check the case, or lower learning_rate. The last checkpoint is from before.",
        )

    def state(self) -> dict:
        """All that is needed to go on with the next iteration."""
        return {
            "step": self.course.step,
            "seconds": self.course.seconds,
            "fingerprint": self.config.fingerprint,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: dict) -> None:
        self.course = Course(self.config, state["step"], state.get("seconds", 0.0))
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def _generator(draws: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(draws.integers(2**62)))
