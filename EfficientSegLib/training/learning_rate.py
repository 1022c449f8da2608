"""How the learning rate changes during a training: the registry of schedules.

`cosine` is a function of the course alone (schedule.py); the others are torch's, as SegMate uses them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, ReduceLROnPlateau

from EfficientSegLib.bundle import Component
from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options

if TYPE_CHECKING:
    from EfficientSegLib.training.schedule import Course


@dataclass(frozen=True)
class Cosine:
    """A straight line up over `warm_up` of the training, then half a cosine down to 0."""


@dataclass(frozen=True)
class Plateau:
    """Less whenever the validation loss has not fallen for a while; starts at `learning_rate`, without warm-up."""

    factor: float = 0.5
    patience: int = 3  # validations without a lower loss that are waited for; the next one lowers the rate

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1 or self.patience < 0:
            raise OptionError(
                f"factor is {self.factor}, patience {self.patience}.",
                why="The rate is lowered by a factor after so many validations.",
                mend="Use a factor between 0 and 1, and a patience of 0 or more; 0.5 and 3 are the paper's.",
            )


@dataclass(frozen=True)
class WarmRestarts:
    """Half cosines from `learning_rate` down to `lowest`, each longer than the one before; without warm-up.

    The defaults are those of SegMate's fine-tuning: 25 epochs, of which 5, then 10, then the rest.
    """

    epochs: float = 25.0  # that the whole training counts as
    first: int = 5  # epochs of the first half cosine
    longer: int = 2  # each is so many times as long as the one before
    lowest: float = 1e-7

    def __post_init__(self) -> None:
        if not self.epochs > 0 or self.first < 1 or self.longer < 1 or self.lowest < 0:
            raise OptionError(
                f"epochs is {self.epochs}, first {self.first}, longer {self.longer}, lowest {self.lowest}.",
                why="They are lengths, a factor and a rate.",
                mend="Use numbers above 0; 25, 5, 2 and 1e-7 are the paper's.",
            )


SCHEDULES = {"cosine": Cosine, "plateau": Plateau, "warm_restarts": WarmRestarts}


def schedule_options(component: Component) -> Cosine | Plateau | WarmRestarts:
    """The options of a schedule.

    Raises:
        OptionError: the name or an option is unknown.
    """
    if component.name not in SCHEDULES:
        raise OptionError(
            f"Unknown schedule {component.name!r}.",
            why=f"Known: {', '.join(sorted(SCHEDULES))}.",
            mend="Correct schedule.name.",
        )
    return read_options(SCHEDULES[component.name], component.options)


class LearningRate:
    """Sets the learning rate of an optimiser; its state goes with the checkpoint."""

    def __init__(self, optimiser: torch.optim.Optimizer, component: Component) -> None:
        """`optimiser` has the highest learning rate; a group with a `share` has that part of it.

        Raises:
            OptionError: the schedule or its options are unknown.
        """
        self._optimiser, self._options = optimiser, schedule_options(component)
        self._scheduler: ReduceLROnPlateau | CosineAnnealingWarmRestarts | None = None
        options = self._options
        if isinstance(options, Plateau):
            self._scheduler = ReduceLROnPlateau(optimiser, factor=options.factor, patience=options.patience)
        if isinstance(options, WarmRestarts):
            self._scheduler = CosineAnnealingWarmRestarts(optimiser, options.first, options.longer, options.lowest)

    def before_step(self, course: "Course") -> float:
        """Set the learning rate of the next iteration; returns it, the highest of all groups."""
        if isinstance(self._options, WarmRestarts):
            self._scheduler.step(course.progress * self._options.epochs)
        if isinstance(self._options, Cosine):
            for group in self._optimiser.param_groups:
                group["lr"] = course.learning_rate * group.get("share", 1.0)
        return max(float(group["lr"]) for group in self._optimiser.param_groups)

    def after_validation(self, loss: float) -> None:
        """Learn of a validation loss; the same in all processes."""
        if isinstance(self._options, Plateau):
            self._scheduler.step(loss)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, beside the optimiser's own state."""
        return self._scheduler.state_dict() if self._scheduler else {}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state; the optimiser's is loaded first."""
        if self._scheduler:
            self._scheduler.load_state_dict(state)
