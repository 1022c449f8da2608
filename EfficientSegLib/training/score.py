"""How well a bundle agrees with the cases it was trained on, written into its provenance.

`python -m EfficientSegLib.training.score training.json BUNDLE --data FOLDER`. The figures are of training cases: they
tell whether the training worked, nothing about other patients.
"""

import argparse
import dataclasses
import logging
from datetime import date
from pathlib import Path

import numpy as np

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.evaluation import metrics
from EfficientSegLib.segment import load_model, segment
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.config import TrainConfig, read_config
from EfficientSegLib.training.label_maps import read_map, refuse_overlaps
from EfficientSegLib.volume import Volume, read

log = logging.getLogger(__name__)


def score(config: TrainConfig, bundle: Bundle, data_folder: Path) -> dict[str, dict]:
    """Per case: Dice of each completely annotated label that is there, and ml of those found that are not there.

    Raises:
        TrainingError: labels of a case overlap.
    """
    refuse_overlaps(
        config.cases,
        why="Here label maps are compared, in which a voxel has one label.",
        mend="Use evaluate, which compares labels that overlap one by one.",
    )
    model = load_model(bundle, "cpu")
    result = {}
    for case in config.cases:
        if case.hollow:
            continue  # its image is a drawing
        volume = read(data_folder / case.image)
        found = segment(volume, bundle, model).labels
        truth = np.zeros_like(found) if case.label is None else _mapped(read(data_folder / case.label), case, found)
        result[case.image] = compare(found, truth, bundle, case, volume)
        log.info("%s: %s", case.image, result[case.image])
    return result


def compare(found: np.ndarray, truth: np.ndarray, bundle: Bundle, case: Case, volume: Volume) -> dict[str, dict]:
    """Dice of the labels in `truth`, ml of those that are only in `found`; labels not annotated are left out."""
    ml = float(np.prod(volume.spacing_mm)) / 1000
    dice, wrongly_found_ml = {}, {}
    for label in bundle.shown_labels:
        made_by_rule = label.value in (case.lungs or ())
        if made_by_rule or not (case.annotated == "all" or label.value in case.annotated):
            continue
        ours, theirs = found == label.value, truth == label.value
        if theirs.any():
            dice[label.name] = round(metrics.dice(ours, theirs), 3)
        elif ours.any():
            wrongly_found_ml[label.name] = round(float(ours.sum()) * ml, 1)
    return {"dice": dice, "wrongly_found_ml": wrongly_found_ml}


def _mapped(labels: Volume, case: Case, like: np.ndarray) -> np.ndarray:
    source = labels.array[0].astype(np.int64)
    lookup = np.zeros(int(source.max()) + 1, dtype=like.dtype)
    for value, ours in read_map(case).items():
        if value < len(lookup):
            lookup[value] = next(iter(ours or ()), 0)
    return lookup[source]


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description="Score a bundle on the cases it was trained on.")
    parser.add_argument("config", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    bundle = bundles.load(arguments.bundle)
    scores = {
        "of": "the training cases themselves",
        "measured": date.today().isoformat(),
        "cases": score(read_config(arguments.config), bundle, arguments.data),
    }
    bundles.save(dataclasses.replace(bundle, provenance={**bundle.provenance, "scores": scores}), arguments.bundle)


if __name__ == "__main__":
    main()
