"""Seconds foreseen by rehearsing: scaled from a part, without what is set up once, and without touching the labels."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle

from EfficientSegLib import ending
from EfficientSegLib.bundle import Postprocess


@pytest.fixture
def clock():
    """Moved by the work that is rehearsed."""
    return [0.0]


@pytest.mark.parametrize("shape, axis", [((8, 10, 12), 0), ((8, 10, 12), 2), ((1, 5, 5), 0), ((3000, 20, 30), 0)])
def test_seconds_are_scaled_to_the_whole_and_what_is_set_up_once_is_not(shape, axis, clock):
    seen = []

    def work(part):
        seen.append(part.shape)
        clock[0] += part.size * 1e-3 + (100 if len(seen) == 1 else 0)

    seconds = ending.rehearsed(np.zeros(shape, np.uint8), work, axis, now=lambda: clock[0])
    assert seconds == pytest.approx(np.prod(shape) * 1e-3, rel=0.01)
    assert np.prod(seen[0]) <= ending.SAMPLE + np.prod(shape) / shape[axis] and np.prod(seen[0]) > 0


def test_an_empty_array_takes_no_time():
    assert ending.rehearsed(np.zeros((0, 4, 4), np.uint8), lambda part: 1 / 0) == 0.0


def test_labels_stay_as_they_are_and_no_rule_takes_no_time(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle")
    labels = np.random.default_rng(0).integers(0, 3, (20, 20, 20)).astype(np.uint8)
    before = labels.copy()
    assert ending.cleaning(labels, bundle) == 0.0
    assert ending.cleaning(labels, replace(bundle, postprocess=Postprocess((1, 2)))) > 0
    assert ending.recording(labels, np.zeros((1, 20, 20, 20), np.int16), bundle) > 0
    assert np.array_equal(labels, before)
