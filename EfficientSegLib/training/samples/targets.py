"""From a label file to a target: a number for each voxel, and what the numbers stand for where labels may overlap."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.label_maps import read_map
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.members import has_label, label_sets, present_labels, table
from EfficientSegLib.volume import Volume

log = logging.getLogger(__name__)
POINTS = 4096  # voxels kept of each label, evenly spread, around which parts are chosen


@dataclass(frozen=True)
class LookUp:
    """What takes the values of one label file to a target."""

    found: np.ndarray  # values in the file, ascending
    numbers: np.ndarray  # of each, uint8
    members: Tensor | None  # see training.members; None: labels exclude each other

    def __call__(self, part: np.ndarray) -> np.ndarray:
        """The target, uint8, of a part of the file."""
        return self.numbers[np.searchsorted(self.found, part)]


def look_up(case: Case, config: TrainConfig, labels: Volume | None) -> LookUp:
    """What takes label values of a case's file to a target; of no file, to background.

    Raises:
        TrainingError: the file holds a value that neither the map nor, without a map, the bundle names; or the map
            names a label that the bundle does not have.
    """
    channels = config.channels
    given = read_map(case) or {0: (), **{value: (value,) for value in channels}}
    _check_map(given, case, config)
    found = np.zeros(1, dtype=np.uint8) if labels is None else np.unique(labels.array)
    _check_values(found, given, case)
    wanted = [given.get(int(value), ()) for value in found]
    named = [None if values is None else tuple(sorted(channels[value] for value in values)) for values in wanted]
    sets = label_sets((channels for channels in named if channels is not None), len(channels) + 1)
    numbers = [IGNORE if channels is None else sets.index(channels) for channels in named]
    is_independent = config.template.outputs == "independent"
    members = table(sets, len(channels) + 1) if is_independent else None
    return LookUp(found, np.array(numbers, dtype=np.uint8), members)


def points_of(target: np.ndarray, members: Tensor | None) -> tuple[np.ndarray, ...]:
    """Some voxels (n, 3) of each label that is in a target, around which parts of the case can be chosen."""
    as_tensor = torch.from_numpy(target)
    points = []
    for channel in present_labels(as_tensor, members).tolist():
        voxels = np.flatnonzero(has_label(as_tensor, channel, members).numpy())
        chosen = voxels[:: max(-(-len(voxels) // POINTS), 1)]
        points.append(np.stack(np.unravel_index(chosen, target.shape), axis=1).astype(np.int32))
    return tuple(points)


def check_labels(there: set[int], annotated: Sequence[Tensor], config: TrainConfig) -> None:
    """Refuse cases that show nothing, and tell of labels that are in none of them.

    Args:
        there: channels that are in any case.
        annotated: of each case, (L,), bool.

    Raises:
        TrainingError: no label is in any case.
    """
    if not there and any(bool(drawn.all()) for drawn in annotated):
        raise TrainingError(
            f"None of {len(annotated)} cases shows any label.",
            why="There is nothing to learn from background alone.",
            mend="Check the label files and the maps.",
        )
    labels = config.template.labels
    absent = [label.name for channel, label in enumerate(labels, 1) if channel not in there]
    if absent:
        log.warning("In none of %d cases: %s. Such a label cannot be learnt.", len(annotated), ", ".join(absent))


def _check_map(given: dict[int, tuple[int, ...] | None], case: Case, config: TrainConfig) -> None:
    for value in (value for values in given.values() for value in values or ()):
        if value not in config.channels:
            raise TrainingError(
                f"{case.image} maps to {value}.",
                why=f"The bundle's labels are {sorted(config.channels)}.",
                mend="Correct the map; 0 is background, null is left out of the loss.",
            )


def _check_values(found: np.ndarray, given: dict[int, tuple[int, ...] | None], case: Case) -> None:
    unknown = [value for value in found.tolist() if value != 0 and value not in given]
    if unknown:
        shown = ", ".join(f"{value:g}" for value in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
        raise TrainingError(
            f"{case.label} holds {shown}.",
            why=f"Known are {', '.join(str(value) for value in sorted(given))}.",
            mend="Correct the file, declare the label, or name the value in the case's map (0: background).",
        )
