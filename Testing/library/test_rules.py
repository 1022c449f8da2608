"""A bundle's rules: what they refuse, and what of them is written."""

import pytest

from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.rules import Intensity, Preprocess

WINDOW = {"kind": "window", "low": -1000, "high": 400}


def test_what_is_written_is_read_as_the_same_rule():
    for rule in (
        Preprocess("RAS", (1.5, 1.5, 3.0), Intensity("window", -1000.0, 400.0)),
        Preprocess("LPI", (1.0, 1.0, 5.0), Intensity("zscore", 1, 99, standardise=(0.5, 0.5, 1.0)), native_slices=True),
    ):
        assert read_options(Preprocess, rule.to_json()) == rule


def test_a_rule_without_what_is_newer_is_written_as_it_always_was():
    rule = Preprocess("RAS", (1.5, 1.5, 3.0), Intensity("window", -1000.0, 400.0))
    assert rule.to_json() == {
        "orientation": "RAS",
        "spacing_mm": (1.5, 1.5, 3.0),
        "intensity": {"kind": "window", "low": -1000.0, "high": 400.0, "to": (0.0, 1.0)},
        "crop": {"kind": "none", "erode_mm": 15.0, "margin_mm": 18.0},
    }


@pytest.mark.parametrize("standardise", [[0.5, 0.0, 255.0], [0.5, -0.5, 255.0], [0.5, 0.5, 0.0]])
def test_a_division_by_nothing_is_refused(standardise):
    with pytest.raises(OptionError, match="standardise.*deviation"):
        read_options(Intensity, {**WINDOW, "standardise": standardise})


def test_a_preparation_without_its_intensities_is_refused():
    with pytest.raises(OptionError, match="'intensity' is missing"):
        read_options(Preprocess, {"orientation": "RAS", "spacing_mm": [1, 1, 1], "native_slices": True})
