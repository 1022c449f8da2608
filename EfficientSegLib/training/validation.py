"""How good the model is on cases that it does not learn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib import strategies
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.networks.independent import with_background
from EfficientSegLib.options import read_options
from EfficientSegLib.training import checkpoint, processes
from EfficientSegLib.training.frozen import train_mode
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.optimisation import Run, on_device
from EfficientSegLib.training.samples import Sample, SliceBatch, Source, source

BEST = "best.pt"
SLAB = 32  # slices whose logits are looked at together
CHUNK = 8  # slices whose losses are calculated together; memory grows with it


@dataclass(frozen=True)
class Best:
    """The lowest validation loss so far."""

    loss: float = float("inf")
    step: int = 0  # iterations done by then


class Validation:
    """The cases of a validation in memory, divided among the processes; keeps the best model on disk."""

    def __init__(self, run: Run, data_folder: Path, output: Path, best: Best) -> None:
        """Read the cases.

        Raises:
            VolumeError: a case cannot be read.
            TrainingError: a case contradicts the configuration.
        """
        config, place = run.config, run.place
        cases = config.validation[: config.validation_cases]
        self._numbers = range(len(cases))[place.rank :: place.count]
        own = [cases[number] for number in self._numbers]
        self._source: Source | None = None
        if own:
            opened = source(config.samples.name)
            self._source = opened.open_source(config, own, data_folder, run.patch, run.multiple)
        self._run, self._output, self.best = run, output, best

    def __call__(self) -> dict[str, float]:
        """Validate now, in all processes together; returns means over the cases.

        The terms of the recipe's loss on the unchanged cases, each with the same draws every time and as at the end of
        the training, their sum as "loss", and "dice" where it is asked for. A model with the lowest loss so far is
        written to `best.pt`.

        Raises:
            TrainingError: the best model cannot be written.
        """
        run = self._run
        run.model.eval()
        with torch.no_grad(), run.precision.autocast():
            own = [self._values(number, index) for index, number in enumerate(self._numbers)]
        train_mode(run.model)
        values = _means([value for part in processes.gather(own, run.place) for value in part])
        run.learning_rate.after_validation(values["loss"])
        if values["loss"] < self.best.loss:
            self.best = Best(values["loss"], run.course.step)
            if run.place.rank == 0:
                save_best(run, self.best, self._output)
        return values

    def _values(self, number: int, index: int) -> dict[str, float]:
        run = self._run
        sample = self._source.still(index)
        seed = np.random.SeedSequence([run.config.seed, number]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(seed))
        torch.manual_seed(int(seed))
        values = _terms(sample, run, generator)
        values["loss"] = sum(values.values())
        if run.config.validation_dice:
            values["dice"] = mean_dice(sample, run)
        return values


def _terms(sample: Sample | SliceBatch, run: Run, generator: torch.Generator) -> dict[str, float]:
    """The terms of the loss; of slices the mean over all of them, `CHUNK` at a time."""
    parts = list(sample.chunks(CHUNK)) if isinstance(sample, SliceBatch) else [sample]
    shares = [len(part) / len(sample) for part in parts] if isinstance(sample, SliceBatch) else [1.0]
    values: dict[str, float] = {}
    for part, share in zip(parts, shares):
        for name, term in run.objective(on_device(part, run.place.device), 1.0, generator).items():
            values[name] = values.get(name, 0.0) + share * float(term)
    return values


def _means(values: list[Mapping[str, float]]) -> dict[str, float]:
    """Means by name; a case whose Dice is NaN, since it shows no label, does not count."""
    means = {}
    for name in values[0]:
        column = [value[name] for value in values]
        if name == "dice":
            column = [value for value in column if not np.isnan(value)]
        means[name] = float(np.mean(column)) if column else float("nan")
    return means


def mean_dice(sample: Sample | SliceBatch, run: Run) -> float:
    """Mean Dice of the annotated labels that are in a sample, read as the bundle's strategy reads; NaN without any.

    Of a volume's labels that may overlap each is compared by itself, with the voxels where its probability is above one
    half; else the one label that a voxel shows.
    In float32 whatever the training's precision, as a bundle is read where nobody has passed a lower one.
    """
    with torch.autocast(run.place.device.type, enabled=False):
        return _mean_dice(sample, run)


def _mean_dice(sample: Sample | SliceBatch, run: Run) -> float:
    if isinstance(sample, SliceBatch):
        sample = sample.as_volume()
    template = run.config.template
    strategy = template.strategy
    options = dict(strategy.options)
    if strategies.knows(strategy.name, "clip_top_k"):
        options["clip_top_k"] = True  # cases differ in size, and the smallest need not have so many patches
    module = strategies.module(strategy.name)
    # A network that has no channel for background is read as its bundle will be.
    model = run.model if sample.members is None else with_background(run.model)
    prediction = module.predict(sample.image, model, read_options(module.Options, options))
    counts = torch.zeros(3, template.num_labels)  # of found, true and common voxels
    for start in range(0, sample.target.shape[2], SLAB):
        stop = min(start + SLAB, sample.target.shape[2])
        logits = prediction.logits.region(PatchBox((0, 0, start), (*sample.target.shape[:2], stop)))
        counts += _counts(logits, sample.target[..., start:stop].long(), sample.members)
    scored = (counts[1] > 0) & sample.annotated
    scored[0] = False
    dice = 2 * counts[2] / (counts[0] + counts[1]).clamp(min=1)
    return float(dice[scored].mean())


def _counts(logits: Tensor, true: Tensor, members: Tensor | None) -> Tensor:
    """Voxels of each label (3, L): found, true and common; where labels may overlap, each is found above one half."""
    known = true != IGNORE
    true = true[known]
    if members is not None:
        found, truth = logits[:, known] > 0, members[true].T
        return torch.stack([mask.sum(1).float() for mask in (found, truth, found & truth)])
    found = logits.argmax(0)[known]
    common = true[found == true]
    return torch.stack([torch.bincount(values, minlength=len(logits)).float() for values in (found, true, common)])


def save_best(run: Run, best: Best, folder: Path) -> None:
    """Replace the best model on disk; it is written before the checkpoint that names it.

    Raises:
        TrainingError: it cannot be written.
    """
    state = {**best_state(best), "fingerprint": run.config.fingerprint, "seconds": run.course.seconds}
    checkpoint.save({**state, "step": best.step, "model": run.model.state_dict()}, folder, BEST)


def best_state(best: Best) -> dict[str, Any]:
    """What a checkpoint keeps of it."""
    return {"best": [best.loss, best.step]}


def best_of(state: Mapping[str, Any] | None) -> Best:
    """What a checkpoint has kept."""
    return Best(*state["best"]) if state and "best" in state else Best()
