"""How far a training is, by iterations or by time, and what follows from it."""

import math
from dataclasses import dataclass

from EfficientSegLib.training.config import TrainConfig

FINENESS = 1000  # a training by time has its learning rate as if it were one of so many iterations


@dataclass(frozen=True)
class Course:
    """How much of a training is done.

    A training by iterations repeats exactly. One by time does as many iterations as the machine manages, so it repeats
    only as far as the machine's speed does.
    """

    config: TrainConfig
    step: int = 0  # iterations done
    seconds: float = 0.0  # spent in them, in all runs together; reading data, checkpoints and validation not counted

    def after_step(self, seconds: float) -> "Course":
        """The course one iteration of so many seconds later."""
        return Course(self.config, self.step + 1, self.seconds + seconds)

    @property
    def progress(self) -> float:
        """0 at the start, towards 1 at the end: the share of the time where one is given, else of the iterations."""
        if self.config.minutes is not None:
            return min(self.seconds / (60 * self.config.minutes), 1.0)
        return self.step / self.config.iterations

    @property
    def ended(self) -> bool:
        """True once the time is over or the iterations are done, whichever is first."""
        minutes, iterations = self.config.minutes, self.config.iterations
        over = minutes is not None and self.seconds >= 60 * minutes
        return over or (iterations is not None and self.step >= iterations)

    @property
    def learning_rate(self) -> float:
        """Of the next iteration."""
        config = self.config
        if config.minutes is not None:
            return config.learning_rate * schedule(self.progress * FINENESS, FINENESS, config.warm_up)
        return config.learning_rate * schedule(self.step, config.iterations, config.warm_up)


def is_due(every: float | None, before: Course, after: Course) -> bool:
    """Whether something regular is to be done between two courses, and once more at the end.

    Args:
        every: iterations, or minutes where the training is one by time; None: never.
    """
    if every is None:
        return False
    return after.ended or math.floor(_position(before) / every) < math.floor(_position(after) / every)


def _position(course: Course) -> float:
    return course.step if course.config.minutes is None else course.seconds / 60


def schedule(step: float, iterations: int, warm_up: float) -> float:
    """Learning rate as a share of the highest: a straight line up, then half a cosine down to 0."""
    rising = max(round(warm_up * iterations), 1)
    if step < rising:
        return min((step + 1) / rising, 1.0)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(iterations - rising, 1)))
