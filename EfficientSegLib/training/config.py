"""What a training is: one JSON file, read into a frozen dataclass."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from EfficientSegLib import networks, strategies
from EfficientSegLib.bundle import Bundle, Component
from EfficientSegLib.errors import EfficientSegError, OptionError, TrainingError
from EfficientSegLib.options import read_options
from EfficientSegLib.training import recipe, recipe_options
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.encoder_weights import EncoderWeights
from EfficientSegLib.training.frozen import Frozen
from EfficientSegLib.training.learning_rate import Plateau, schedule_options
from EfficientSegLib.training.samples import Sample, source
from EfficientSegLib.training.start import Start

UNSEEN_BY_THE_NUMBERS = (
    *("checkpoint_minutes", "validation_every", "validation_cases", "validation_dice", "picture_every"),
    *("bundle_from", "packed", "provenance"),
)


@dataclass(frozen=True)
class TrainConfig:
    """A training, complete: with the data folder beside it, it can be repeated.

    It ends after `iterations` or after `minutes` of training, whichever is first. With `minutes`, the learning rate and
    all else that changes during a training follow the time, so that methods can be compared at equal cost; such a
    training repeats only as far as the machine's speed does. Without it, it repeats bit for bit.
    """

    bundle: dict[str, Any]  # bundle.json without schema, weights and provenance
    recipe: Component
    cases: tuple[Case, ...]
    iterations: int | None = None  # of every process; each reads one sample, or one batch of slices; null: minutes
    minutes: float | None = None  # of iterations alone, summed over restarts; reading data does not count
    start: Start | None = None  # a bundle to go on from; null: random weights
    encoder_weights: EncoderWeights | None = None  # what the encoder begins with; null: random weights
    samples: Component = field(default_factory=lambda: Component("volume"))  # their source and its options
    validation: tuple[Case, ...] = ()  # not trained on
    mirrored: tuple[tuple[int, int], ...] = ()  # pairs of label values that change places in a mirror
    smallest: tuple[int, int, int] = (1, 1, 1)  # voxels of a sample at least; see precision
    largest: tuple[int, int, int] = (160, 128, 96)  # voxels of a sample at most; time and memory grow with it
    learning_rate: float = 2e-3  # highest, of AdamW
    schedule: Component = field(default_factory=lambda: Component("cosine"))  # of the learning rate
    layer_decay: float = 1.0  # factor of the learning rate for each layer below the last, in networks that tell them
    betas: tuple[float, float] = (0.9, 0.999)  # of AdamW: memory of gradients, and of their squares
    weight_decay: float = 1e-5
    decayed: Literal["all", "weights"] = "all"  # weights: not biases, norms, and learned positions, tokens and tables
    warm_up: float = 0.03  # share of the iterations, or of the minutes, in which `cosine` rises
    frozen: tuple[Frozen, ...] = ()  # parts of the network that are not trained at first
    clip: float = 1.0  # highest norm of the gradient
    seed: int = 0
    processes: int = 1  # each on its own share of the cores; their gradients are averaged
    # bf16 is two to three times faster on CPUs with AVX512-BF16 or AMX, and on GPUs (fp16 on those without bf16). Where
    # a level of the network is so small that oneDNN's gradients are wrong (precision.is_faulty), it stays in float32.
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_minutes: float = 3.0
    # The following two count iterations, or minutes where the training is one by time; null: never.
    validation_every: float | None = None
    picture_every: float | None = None  # of the distribution that patches are drawn from; a pass over one case each
    validation_cases: int = 8  # of `validation`, at most; time grows with it
    validation_dice: bool = False  # also read these cases as the bundle's strategy does; time grows with their size
    bundle_from: Literal["last", "best"] | None = None  # null: best where there is a validation, else last
    packed: bool = False  # write large tensors in 8 bits: half the bytes; measure what it costs
    provenance: dict[str, Any] = field(default_factory=dict)  # copied into bundle.json

    def __post_init__(self) -> None:
        if not self.cases:
            raise OptionError("The training has no cases.", why="It learns from them.", mend="List at least one.")
        for name in ("iterations", "processes", "validation_cases"):
            if (getattr(self, name) or 0) < 1 and getattr(self, name) is not None:
                raise OptionError(f"{name} is {getattr(self, name)}.", why="It counts.", mend="Use 1 or more.")
        if self.iterations is None and self.minutes is None:
            raise OptionError(
                "The training has neither iterations nor minutes.", why="It must end.", mend="Give one, or both."
            )
        for name in ("minutes", "validation_every", "picture_every"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise OptionError(f"{name} is {getattr(self, name)}.", why="It is a time.", mend="Use more than 0.")
        if not self.validation and (self.validation_every is not None or self.bundle_from == "best"):
            raise OptionError(
                "validation_every or bundle_from 'best' is given without any case in validation.",
                why="The best model is the one with the lowest loss on cases that it does not learn from.",
                mend="List cases in validation, or leave both out.",
            )
        if self.validation_every is None and isinstance(schedule_options(self.schedule), Plateau):
            raise OptionError(
                "schedule is 'plateau', and validation_every is not given.",
                why="The learning rate falls when the validation loss does not.",
                mend="Give validation_every, or use schedule 'cosine'.",
            )
        if self.start is not None and self.encoder_weights is not None:
            raise OptionError(
                "start and encoder_weights are both given.",
                why="The weights of the bundle would replace those of the encoder.",
                mend="Leave one of them out.",
            )
        if not 0 <= self.warm_up < 1:
            raise OptionError(f"warm_up is {self.warm_up}.", why="It is a share.", mend="Use 0 to below 1.")
        self._check_optimiser()

    def _check_optimiser(self) -> None:
        if not 0 < self.layer_decay <= 1:
            raise OptionError(
                f"layer_decay is {self.layer_decay}.",
                why="The learning rate of each layer is that of the next times this factor.",
                mend="Use 0.75 as for vision transformers, or 1 for one rate everywhere.",
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise OptionError(f"betas is {self.betas}.", why="They are shares of a memory.", mend="Use 0.9 and 0.999.")
        if min(self.learning_rate, self.weight_decay) < 0:
            raise OptionError(
                f"learning_rate is {self.learning_rate}, weight_decay {self.weight_decay}.",
                why="Training goes down the gradient, and decay makes weights smaller.",
                mend="Use 0 or more.",
            )

    @property
    def template(self) -> Bundle:
        """The bundle to be, without weights."""
        given = {"schema": 1, "weights": {"file": "weights.pt", "sha256": ""}, **self.bundle}
        return read_options(Bundle, given)

    @property
    def channels(self) -> dict[int, int]:
        """Logit channel of each label value."""
        return {label.value: channel for channel, label in enumerate(self.template.labels, 1)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that changes the numbers; texts, colours and how things are written do not."""
        content = _chosen(self)
        for name in UNSEEN_BY_THE_NUMBERS:
            content.pop(name, None)
        if self.start is not None:
            del content["start"]["bundle"]  # its weights count, not where they lie
        if self.encoder_weights is not None:
            del content["encoder_weights"]["file"]
        template = self.template.to_json()
        content["bundle"] = {name: template[name] for name in ("channels", "preprocess", "network")}
        content["bundle"]["labels"] = [label.value for label in self.template.labels]
        if "outputs" in template:  # told only where it is not the usual one
            content["bundle"]["outputs"] = template["outputs"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _chosen(options: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, so that a new option changes no older fingerprint."""
    content = {}
    for option in dataclasses.fields(options):
        value = getattr(options, option.name)
        default = option.default_factory() if callable(option.default_factory) else option.default
        if value == default:
            continue
        if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            value = [_chosen(item) for item in value]
        content[option.name] = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
    return content


def read_config(path: str | os.PathLike) -> TrainConfig:
    """Read a training from its JSON file.

    Raises:
        TrainingError: the file is missing, no JSON, or says what cannot be; the message names the option.
    """
    path = Path(path)
    try:
        config = read_options(TrainConfig, json.loads(path.read_text(encoding="utf-8")))
        check(config)
        return config
    except OSError as error:
        raise TrainingError(f"{path} cannot be read.", why=f"{error.strerror}.", mend="Check the path.") from error
    except ValueError as error:
        raise TrainingError(f"{path} is not JSON.", why=f"{error}.", mend="Correct it.") from error
    except EfficientSegError as error:
        raise TrainingError(f"{path}: {error.what}", why=error.why, mend=error.mend) from error


def check(config: TrainConfig) -> None:
    """Refuse unknown names and options of everything that a training puts together, before any data is read.

    Raises:
        OptionError, BundleError: the message names the option, in its words where it lies.
    """
    template = config.template
    with naming("samples"):
        opened = source(config.samples.name)
        options = read_options(opened.Options, config.samples.options)
        if hasattr(opened, "check"):
            opened.check(options)
    with naming("recipe"):
        taught = recipe_options(config.recipe, config.channels)
        if getattr(opened, "GIVES", Sample) is not getattr(recipe(config.recipe.name), "TAKES", Sample):
            raise OptionError(
                f"The recipe {config.recipe.name!r} was given samples {config.samples.name!r}.",
                why="One is for volumes, the other for slices.",
                mend="Use recipe 'segmate' with samples 'slices', and another recipe with others.",
            )
    with naming("bundle.network"):
        networks.check(template.network.name, template.network.options)
    with naming("recipe"):
        if hasattr(taught, "patch_size") and template.network.name != "nmsw":  # no such recipe trains it: see `kinds`
            networks.check_patch(template.network.name, template.network.options, taught.patch_size)
    with naming("bundle.strategy"):
        strategies.check(template.strategy.name, template.strategy.options, template.network)


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Put the place of an option before its error, such as "recipe"."""
    try:
        yield
    except OptionError as error:
        raise OptionError(f"{place}: {error.what}", why=error.why, mend=error.mend) from error
