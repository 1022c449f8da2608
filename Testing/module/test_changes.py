"""What refinement changed: found, cut to a place, packed and read again; damaged text is refused."""

import json
import unittest

import numpy as np
from test_statistics import through

from EfficientSegBridge import changes
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox

SHAPE = (7, 9, 11)


def labels(order: str = "C"):
    random = np.random.default_rng(3)
    coarse = random.integers(0, 4, SHAPE).astype(np.uint8)
    refined = np.where(random.random(SHAPE) < 0.2, random.integers(0, 4, SHAPE), coarse).astype(np.uint8)
    return np.asarray(coarse, order=order), np.asarray(refined, order=order)


class TestChanges(unittest.TestCase):
    def test_they_turn_one_into_the_other_in_either_order_of_memory(self) -> None:
        for order in "CF":
            with self.subTest(order):
                coarse, refined = labels(order)
                found = through(changes.between(coarse, refined))
                self.assertEqual(found.index.size, int((coarse != refined).sum()))
                back = refined.copy()
                back[found.positions()] = found.coarse
                np.testing.assert_array_equal(back, coarse)
                np.testing.assert_array_equal(found.reversed().refined, found.coarse)

    def test_a_place_holds_its_voxels_and_its_label_only(self) -> None:
        box = PatchBox((1, 2, 3), (5, 8, 9))
        for order in "CF":
            coarse, refined = labels(order)
            found = through(changes.between(coarse, refined)).inside(box, 2)
            expected = np.zeros(SHAPE, bool)
            expected[box.slices()] = (coarse != refined)[box.slices()]
            expected &= (coarse == 2) | (refined == 2)
            mask = np.zeros(SHAPE, bool)
            mask[found.positions()] = True
            np.testing.assert_array_equal(mask, expected)

    def test_text_gives_the_same_back(self) -> None:
        coarse, refined = labels("F")
        refined = refined.astype(np.uint16)
        refined[3, 3, 3] = 700
        found = through(changes.between(coarse.astype(np.uint16), refined))
        content = json.loads(json.dumps(through(changes.toJson(found, ()))))
        self.assertEqual(content["kept"], "all")
        back = changes.fromJson(content)
        for name in ("index", "coarse", "refined"):
            np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
        self.assertEqual((back.shape, back.slowest), (SHAPE, 2))

    def test_too_much_keeps_the_places_or_nothing_and_says_so(self) -> None:
        found = through(changes.between(*labels()))
        box = PatchBox((0, 0, 0), (2, 2, 2))
        few = found.inside(box)
        size = len(through(changes.toJson(few, ()))["data"])
        content = through(changes.toJson(found, (box,), size))
        self.assertEqual(content["kept"], "places")
        np.testing.assert_array_equal(changes.fromJson(content).index, few.index)
        content = through(changes.toJson(found, (box,), 1))
        self.assertEqual((content["kept"], content["data"]), ("none", ""))
        self.assertEqual(changes.fromJson(content).index.size, 0)

    def test_nothing_changed(self) -> None:
        coarse, _refined = labels()
        content = through(changes.toJson(through(changes.between(coarse, coarse)), ()))
        self.assertEqual(changes.fromJson(content).index.size, 0)

    def test_damaged_text_is_refused_in_words(self) -> None:
        content = through(changes.toJson(through(changes.between(*labels())), ()))
        for damage in ({"data": content["data"][:-8]}, {"data": "?"}, {"count": 3}, {"slowest": 1}, {"shape": [1]}):
            with self.subTest(damage), self.assertRaisesRegex(OptionError, "Segment again"):
                changes.fromJson({**content, **damage})


if __name__ == "__main__":
    unittest.main()
