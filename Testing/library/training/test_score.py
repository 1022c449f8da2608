"""Scoring: Dice where something was drawn, millilitres where nothing should be, silence about what nobody drew."""

import numpy as np

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.options import read_options
from EfficientSegLib.training.cases import Case
from EfficientSegLib.training.score import compare
from EfficientSegLib.volume import Volume


def test_dice_false_volume_and_silence(tiny_json):
    bundle = read_options(Bundle, {"schema": 1, "weights": {"file": "w", "sha256": ""}, **tiny_json["bundle"]})
    truth, found = np.zeros((2, 10, 10, 10), dtype=np.uint8)
    truth[:4], found[2:6] = 1, 1  # half of it: Dice 0.5
    found[8], found[9] = 2, 7
    volume = Volume(found[None], (10.0, 10.0, 2.0))
    everything = compare(found, truth, bundle, Case("x"), volume)
    assert everything == {"dice": {"Liver": 0.5}, "wrongly_found_ml": {"Spleen": 20.0, "Vertebrae": 20.0}}
    in_part = compare(found, truth, bundle, Case("x", annotated=(1, 7)), volume)
    assert in_part == {"dice": {"Liver": 0.5}, "wrongly_found_ml": {"Vertebrae": 20.0}}
