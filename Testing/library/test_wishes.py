"""Wishes in the input volume's voxels arrive on the prepared grid, and impossible ones are refused in words."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.preprocess import prepare
from EfficientSegLib.volume import Volume
from EfficientSegLib.wishes import Wishes

SHAPE = (20, 30, 40)
BOX = PatchBox((2, 3, 4), (5, 7, 11))


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def prepared(bundle):
    array = np.zeros((1, *SHAPE), np.int16)
    return prepare(Volume(array, (2.0, 2.0, 2.0), (0, 0, 0), ((1, 0, 0), (0, 1, 0), (0, 0, 1))), bundle.preprocess)


def test_boxes_and_structures_arrive_on_the_prepared_grid(bundle, prepared):
    asked = Wishes((BOX,), True, (2,), BOX)
    asked.check(SHAPE, bundle)
    found = asked.on_grid(prepared, bundle)
    # The file's axes grow to the left and to the back, the bundle's to the right and to the front.
    there = PatchBox((20 - 5, 30 - 7, 4), (20 - 2, 30 - 3, 11))
    assert (found.first, found.only_first, found.channels, found.region) == ((there,), True, (2,), there)


def test_a_box_over_the_border_counts_as_far_as_it_lies_inside(bundle, prepared):
    asked = Wishes(first=(PatchBox((-5, -5, -5), (3, 3, 3)),))
    asked.check(SHAPE, bundle)
    assert asked.on_grid(prepared, bundle).first == (PatchBox((17, 27, 0), (20, 30, 3)),)


def test_nothing_wished_is_nothing_wanted(bundle, prepared):
    Wishes().check(SHAPE, bundle)
    found = Wishes().on_grid(prepared, bundle)
    assert not found.changes_order and found.region is None


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"first": (PatchBox((20, 0, 0), (21, 1, 1)),)}, r"outside the volume of \(20, 30, 40\).*inside the volume"),
        ({"region": PatchBox((0, 0, -4), (20, 30, 0))}, "outside the volume.*nothing to read"),
        ({"structures": (1, 7)}, r"Structure 7 is not among.*1 \(Ball\), 2 \(Cube\).*Choose among these"),
        ({"only_first": True}, "there are none.*Give at least one box"),
        ({"first": (BOX,), "region": PatchBox((9, 9, 20), (12, 12, 30))}, "outside the region.*lift the restriction"),
    ],
)
def test_what_cannot_be_is_refused_in_words(bundle, asked, words):
    with pytest.raises(OptionError, match=words):
        Wishes(**asked).check(SHAPE, bundle)


@pytest.mark.parametrize("asked", [{"first": (BOX,)}, {"region": BOX}])
def test_a_place_that_was_cropped_away_is_refused_in_words(bundle, prepared, asked):
    cropped = replace(prepared, crop=PatchBox((0, 0, 20), (20, 30, 40)))
    with pytest.raises(OptionError, match="outside the part of the volume.*crops the scan to the body.*inside"):
        Wishes(**asked).on_grid(cropped, bundle)
