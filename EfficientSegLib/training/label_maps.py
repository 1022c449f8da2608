"""The map of a case: which labels of ours a value of its label file stands for; several, where labels may overlap."""

from collections.abc import Sequence
from typing import Any

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.training.cases import Case


def read_map(case: Case) -> dict[int, tuple[int, ...] | None]:
    """Label values of ours by value of the file, ascending; () is background, None is left out of the loss.

    Raises:
        TrainingError: the map holds what is no value.
    """
    return {_whole(value, case): _labels(given, value, case) for value, given in case.map.items()}


def refuse_overlaps(cases: Sequence[Case], why: str, mend: str) -> None:
    """Refuse cases in whose map a value stands for several labels.

    Raises:
        TrainingError: with these words, and the first such value.
    """
    for case in cases:
        several = next(((v, labels) for v, labels in read_map(case).items() if labels and len(labels) > 1), None)
        if several:
            raise TrainingError(f"{case.image} maps {several[0]} to {list(several[1])}.", why=why, mend=mend)


def refuse_overlaps_of_exclusive(cases: Sequence[Case], outputs: str) -> None:
    """Refuse such cases for a bundle whose labels exclude each other.

    Raises:
        TrainingError: a value stands for several labels.
    """
    if outputs == "exclusive":
        refuse_overlaps(
            cases,
            why="The outputs of the bundle are exclusive: a voxel has one label.",
            mend='Set outputs of the bundle to "independent", or map each value to one label.',
        )


def _labels(given: Any, value: Any, case: Case) -> tuple[int, ...] | None:
    if given is None:
        return None
    if not isinstance(given, (list, tuple)):
        return () if given == 0 else (_whole(given, case),)
    labels = tuple(sorted({_whole(label, case) for label in given}))
    if 0 in labels:
        raise TrainingError(
            f"{case.image} maps {value} to {list(given)}.",
            why="0 is background, where no label is.",
            mend="Leave 0 out of the list, or write 0 alone.",
        )
    return labels


def _whole(value: Any, case: Case) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"The map of {case.image} holds {value!r}.",
            why="It maps values of the label file to label values.",
            mend='Write {"3": 1}, {"3": [1, 2]} where labels overlap, or null for what is left out of the loss.',
        ) from error
