"""A training in memory: model, optimiser and samples, and what one iteration is.

Every iteration seeds all its draws from (seed, step, process), so a training that goes on from a checkpoint continues
exactly as the uninterrupted one would, and a checkpoint needs no state of random generators.
"""

import dataclasses
import inspect
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from EfficientSegLib import networks
from EfficientSegLib.errors import EfficientSegError, TrainingError
from EfficientSegLib.networks import SliceModel
from EfficientSegLib.networks.inference import for_training
from EfficientSegLib.training import encoder_weights, processes, recipe, recipe_options
from EfficientSegLib.training.adamw import adamw, load_state
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.frozen import Freezer, agree_on_statistics, train_mode
from EfficientSegLib.training.kinds import check_kinds, check_patches
from EfficientSegLib.training.learning_rate import LearningRate
from EfficientSegLib.training.parameters import groups
from EfficientSegLib.training.precision import Precision, guarded
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.samples import Sample, SliceBatch, source
from EfficientSegLib.training.schedule import Course
from EfficientSegLib.training.start import begin


class Objective(nn.Module):
    """Model and recipe as one module, whose forward pass is the loss: what DistributedDataParallel can wrap."""

    def __init__(self, model: nn.Module, config: TrainConfig, options: Any) -> None:
        """`options`: from `recipe_options`."""
        super().__init__()
        self.model = model
        self._recipe = recipe(config.recipe.name)
        self.options = options

    def forward(self, sample: Sample | SliceBatch, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """The terms of the loss of one sample, scalars; see the recipe's `losses`."""
        return self._recipe.losses(self.model, sample, self.options, progress, generator)


class Run:
    """A training in memory; `step` goes on by one iteration, `state` and `load` are its life between processes."""

    def __init__(
        self,
        config: TrainConfig,
        data_folder: Path,
        place: Place,
        clock: Callable[[], float] = time.perf_counter,
        fresh: bool = True,
    ) -> None:
        """Build the model and read the cases.

        Args:
            fresh: False where `load` will replace all weights: those of an encoder need not be there again.

        Raises:
            OptionError, BundleError: an option or the bundle to start from is wrong; before any case is read.
            VolumeError: a case cannot be read.
            TrainingError: a case contradicts the configuration.
        """
        self.config, self.place, self.clock = config, place, clock
        self._shared: nn.Module | None = None
        self.course = Course(config)
        template = config.template
        torch.manual_seed(config.seed)
        network = template.network
        model = networks.build(network.name, network.options, len(template.channels), template.num_outputs)
        check_kinds(model, config)
        options = recipe_options(config.recipe, config.channels)
        check_patches(model, config, options)
        if config.start is not None:
            begin(model, config.start)
        elif hasattr(recipe(config.recipe.name), "begin"):
            recipe(config.recipe.name).begin(model, options)
        if config.encoder_weights is not None and fresh:
            encoder_weights.load(model, config.encoder_weights, network, place)
        self.precision = Precision.choose(config.precision, place.device)
        self.model = guarded(for_training(model).to(place.device), self.precision)
        self.objective = Objective(self.model, config, options)
        self.patch = _patch(model, self.objective.options)
        self.multiple: tuple[int, ...] = getattr(model, "size_multiple", (1, 1, 1))
        self.optimiser = adamw(
            groups(self.model, config),
            place.device,
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
        )
        self.learning_rate = LearningRate(self.optimiser, config.schedule)
        self.rate = config.learning_rate  # of the last iteration
        self._freezer = Freezer(self.model, config.frozen)
        self.source = source(config.samples.name).open_source(
            config, config.cases, data_folder, self.patch, self.multiple
        )
        self._thaw()

    def _thaw(self) -> None:
        """Train what is to be trained by now; processes exchange the gradients of just that."""
        if self._freezer.update(self.course.progress) or self._shared is None:
            train_mode(self.model)
            self._shared = self.objective if self.place.count == 1 else distributed(self.objective)

    def step(self) -> dict[str, float]:
        """The next iteration; returns the terms of the loss, means over the processes.

        Raises:
            EfficientSegError: in any process the sample cannot be trained on, or the loss or its gradient is not
                finite; the same error in all of them. Weights and optimiser are as they were before this iteration.
        """
        start = self.clock()
        self._thaw()
        self.rate = self.learning_rate.before_step(self.course)
        self.optimiser.zero_grad(set_to_none=True)
        name, terms = self._losses()
        self.precision.scaler.scale(sum(terms.values())).backward()
        self.precision.scaler.unscale_(self.optimiser)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip))
        if not math.isfinite(norm) and not self.precision.skips_a_step():
            names = ", ".join(processes.gather(name, self.place))
            raise _not_finite(self.course.step, f"the gradient of {names}", norm)
        self.precision.scaler.step(self.optimiser)
        self.precision.scaler.update()
        agree_on_statistics(self.model, self.place)
        values = torch.stack([term.detach().float() for term in terms.values()])
        values = processes.average([values], self.place)[0].tolist()
        seconds = torch.tensor([self.clock() - start], dtype=torch.float64)  # processes agree on when time is over
        self.course = self.course.after_step(float(processes.average([seconds], self.place)[0]))
        return {name: round(value, 5) for name, value in zip(terms, values)}

    def _losses(self) -> tuple[str, dict[str, Tensor]]:
        """Name of the sample and the terms; an error of any process is raised in all before they wait for each other.

        Raises:
            EfficientSegError: see `step`.
        """
        name, terms, trouble = "", {}, None
        try:
            sample, generator = self._draw()
            name = sample.name
            with self.precision.autocast():
                terms = self._shared(sample, self.course.progress, generator)
            values = {term: float(value.detach()) for term, value in terms.items()}
            if not all(math.isfinite(value) for value in values.values()):
                trouble = _not_finite(self.course.step, f"the loss of {name}", values)
        except EfficientSegError as error:
            where = f"At step {self.course.step}" + (f", with {name}" if name else "")
            trouble = type(error)(f"{where}: {error.what}", why=error.why, mend=error.mend)
        if processes.any_of([trouble is not None], self.place)[0]:
            raise next(error for error in processes.gather(trouble, self.place) if error is not None)
        return name, terms

    def _draw(self) -> tuple[Sample | SliceBatch, torch.Generator]:
        """The sample of this process and iteration on its device, and the source of the recipe's draws."""
        seeds = np.random.SeedSequence([self.config.seed, self.course.step, self.place.rank])
        draws = np.random.default_rng(seeds)
        torch.manual_seed(int(draws.integers(2**62)))
        sample = on_device(self.source.draw(draws), self.place.device)
        return sample, torch.Generator().manual_seed(int(draws.integers(2**62)))

    def sum_of_weights(self) -> float:
        """A number that differs where weights differ."""
        return float(torch.stack([parameter.detach().double().sum() for parameter in self.model.parameters()]).sum())

    def state(self) -> dict[str, Any]:
        """All that is needed to go on with the next iteration."""
        return {
            "step": self.course.step,
            "seconds": self.course.seconds,
            "fingerprint": self.config.fingerprint,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "learning_rate": self.learning_rate.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state, made on whatever device."""
        self.course = Course(self.config, state["step"], state.get("seconds", 0.0))
        self.model.load_state_dict(state["model"])
        load_state(self.optimiser, state["optimiser"])
        self.learning_rate.load(state.get("learning_rate", {}))
        if state.get("scaler"):
            self.precision.scaler.load_state_dict(state["scaler"])


def distributed(objective: Objective) -> DistributedDataParallel:
    """The objective, its gradients averaged over the processes while they are calculated.

    Not every recipe uses every parameter in every iteration. The forward pass exchanges nothing (running statistics are
    agreed on after the iteration), so that a process that fails in it leaves no other waiting.
    """
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    silent = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before torch 2.13
    # Weights of a single input channel have strides that mean nothing, and of which it complains.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    return DistributedDataParallel(objective, find_unused_parameters=True, **{silent: False})


def _patch(model: nn.Module, options: Any) -> tuple[int, ...]:
    """Voxels that a sample has at least; of a network of slices, the slices of a stack."""
    if isinstance(model, SliceModel):
        return (model.slices,)
    return getattr(model, "patch_size", None) or getattr(options, "patch_size", (1, 1, 1))


def on_device(sample: Sample | SliceBatch, device: torch.device) -> Sample | SliceBatch:
    """The sample with its tensors on a device."""
    parts = {f.name: getattr(sample, f.name) for f in dataclasses.fields(sample)}
    return dataclasses.replace(sample, **{k: v.to(device) for k, v in parts.items() if isinstance(v, Tensor)})


def _not_finite(step: int, what: str, values: Any) -> TrainingError:
    return TrainingError(
        f"At step {step} {what} is not a finite number ({values}).",
        why="Its values are broken, or the learning rate is too high.",
        mend="Check the case, or lower learning_rate. The last checkpoint is from before.",
    )
