"""Drawings as a data set on disk, in the raw form of nnU-Net v2."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .canvas import FIELD_OF_VIEW_MM
from .draw import Drawing, draw
from .tissues import LABELS

TEST_SEED_OFFSET = 500_000  # test cases stay the same when training cases are added


def write_volume(array: np.ndarray, spacing_mm: float, path: Path) -> None:
    """Write (I, J, K) in RAS order as compressed NIfTI, x and y centred on the scanner's origin.

    ITK counts in LPS: the first two directions are turned, so the file's own affine is diag(spacing) in RAS.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing((spacing_mm,) * 3)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    corner = FIELD_OF_VIEW_MM / 2 - spacing_mm / 2
    image.SetOrigin((corner, corner, spacing_mm / 2))
    sitk.WriteImage(image, str(path), useCompression=True)


def write_dataset(
    folder: Path,
    cases: int,
    test_cases: int = 0,
    seed: int = 0,
    size: int = 256,
    noise_hu: float = 18.0,
    drawn: Callable[[str, Drawing], None] | None = None,
) -> None:
    """Write `dataset.json`, `imagesTr`, `labelsTr`, for test cases `imagesTs`, `labelsTs`, and `truth.json`.

    Case n of the training cases is `draw(1000 * seed + n)`, of the test cases `draw(1000 * seed + 500000 + n)`.
    `truth.json` keeps for every case its seed, contrast phase, HU of the tissues and volume of the labels in ml.

    Args:
        drawn: called with name and drawing of every case.

    Raises:
        FileExistsError: the folder already holds a data set.
    """
    if (folder / "dataset.json").exists():
        raise FileExistsError(f"{folder} already holds a dataset.json. Two data sets in one folder mix. Name another.")
    plan = [(f"torso_{n:03d}", "Tr", 1000 * seed + n) for n in range(cases)]
    plan += [(f"torso_test_{n:03d}", "Ts", 1000 * seed + TEST_SEED_OFFSET + n) for n in range(test_cases)]
    truth = {}
    for name, part, case_seed in plan:
        drawing = draw(case_seed, size, noise_hu)
        for kind, array, end in (("images", drawing.image, "_0000"), ("labels", drawing.labels.astype(np.int16), "")):
            place = folder / f"{kind}{part}"
            place.mkdir(parents=True, exist_ok=True)
            write_volume(array, drawing.spacing_mm, place / f"{name}{end}.nii.gz")
        truth[name] = {
            "seed": case_seed,
            "contrast": drawing.tissues.contrast,
            "hu": drawing.tissues.hu,
            "ml": drawing.ml(),
        }
        logging.info("%s: seed %d, %d^3 voxels of %.2f mm", name, case_seed, size, drawing.spacing_mm)
        if drawn:
            drawn(name, drawing)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    head = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": cases, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(head, indent=1), encoding="utf-8")
