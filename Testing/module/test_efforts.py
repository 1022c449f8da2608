"""Effort in patches and minutes: the places of the slider, what More adds, and speeds that are remembered."""

import unittest

import numpy as np
import qt
import slicer
from bench import makeBundle, makeVolume

from EfficientSegBridge import efforts, paces, words
from EfficientSegBridge.efforts import Reading
from EfficientSegBridge.paces import Paces
from EfficientSegBridge.parameters import Parameters
from EfficientSegLib.protocol import Pace

PACE = Pace(base_seconds=4.0, patch_seconds=2.0, candidates=40)


class TestEfforts(unittest.TestCase):
    def test_the_marks_are_coarse_5_30_and_all(self) -> None:
        self.assertEqual([efforts.EFFORTS[place] for place in efforts.MARKS], [0, 5, 30, None])
        self.assertEqual([efforts.mark(place, None) for place in efforts.MARKS], ["coarse", "5", "30", "all"])
        self.assertEqual(efforts.mark(efforts.MARKS[2], PACE), "30\n1 min")

    def test_seconds_are_the_base_and_each_patch(self) -> None:
        place = efforts.EFFORTS.index(30)
        self.assertEqual(efforts.seconds(place, PACE), 64.0)
        self.assertEqual(efforts.seconds(place, PACE, read=10), 44.0)
        self.assertEqual(efforts.seconds(len(efforts.EFFORTS) - 1, PACE), 84.0)
        self.assertEqual(efforts.seconds(efforts.EFFORTS.index(120), PACE), 84.0, "there are no more than 40")

    def test_more_goes_to_the_chosen_place_or_to_the_next(self) -> None:
        five = efforts.EFFORTS.index(5)
        self.assertEqual(efforts.nextPlace(five, Reading(2, 40)), five)
        self.assertEqual(efforts.EFFORTS[efforts.nextPlace(five, Reading(5, 40))], 10)
        self.assertIsNone(efforts.EFFORTS[efforts.nextPlace(five, Reading(120, 200))])
        self.assertIsNone(efforts.nextPlace(five, Reading(40, 40)))

    def test_words_before_and_after_measuring(self) -> None:
        place = efforts.EFFORTS.index(30)
        self.assertEqual(efforts.label(place, None), "30 patches")
        self.assertEqual(efforts.label(place, PACE), "≈ 1 min 04 s")
        self.assertEqual(efforts.label(place, PACE, Reading(20, 40)), "≈ 24 s")
        self.assertIn("This volume has 40 patches", efforts.tip(place, PACE))
        self.assertEqual(
            [efforts.shortly(value) for value in (0.2, 59.4, 125, 5400)], ["1 s", "59 s", "2 min", "1.5 h"]
        )

    def test_mores_tip_says_which_patches_and_whether_they_are_read_again(self) -> None:
        place = efforts.EFFORTS.index(60)
        said = efforts.moreTip(place, Reading(30, 40), PACE)
        self.assertIn("Read patches 31 to 40 of 40", said)
        self.assertIn("nothing is read twice", said)
        self.assertIn("About 24 s", said)
        lost = efforts.moreTip(place, Reading(30, 40, "lost"), PACE)
        self.assertIn("computed anew", lost)
        whole = words.duration(efforts.seconds(place, PACE))
        self.assertIn(f"About {whole}.", lost)
        loaded = efforts.moreTip(place, Reading(30, 40, "loaded"), PACE)
        self.assertIn("loaded with its scene, so what was read is read again first; your changes stay", loaded)
        self.assertIn(f"About {whole}.", loaded)
        self.assertEqual(efforts.label(place, PACE, Reading(30, 40, "loaded")), f"≈ {whole}")


class TestPaces(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        qt.QSettings().setValue(paces.SETTING, "")
        self.addCleanup(qt.QSettings().setValue, paces.SETTING, "")
        self.parameters = Parameters(makeBundle())
        self.volume = makeVolume(np.diag([10.0, 10.0, 10.0]))

    def test_a_later_session_remembers(self) -> None:
        Paces().remember(self.parameters, self.volume, PACE)
        self.assertEqual(Paces().find(self.parameters, self.volume), PACE)

    def test_another_model_strategy_or_device_was_not_measured(self) -> None:
        known = Paces()
        known.remember(self.parameters, self.volume, PACE)
        for changed in ({"device": "cuda"}, {"strategy": "random_foreground"}, {"threads": 1}):
            self.assertIsNone(known.find(Parameters(self.parameters.bundle, **changed), self.volume))

    def test_a_volume_of_twice_the_size_takes_twice_the_base_and_has_twice_the_patches(self) -> None:
        known = Paces()
        known.remember(self.parameters, self.volume, PACE)
        larger = makeVolume(np.diag([10.0, 10.0, 20.0]), name="larger")
        self.assertEqual(known.find(self.parameters, larger), Pace(8.0, 2.0, 80))
        self.assertIsNone(known.find(self.parameters, makeVolume(np.diag([100.0, 100.0, 100.0]), name="huge")))

    def test_going_on_has_a_pace_of_its_own_else_the_fresh_one(self) -> None:
        known = Paces()
        known.remember(self.parameters, self.volume, PACE)
        self.assertEqual(known.find(self.parameters, self.volume, continues=True), PACE)
        quick = Pace(1.0, 2.0, 40)
        known.remember(self.parameters, self.volume, quick, continues=True)
        self.assertEqual(known.find(self.parameters, self.volume, continues=True), quick)
        self.assertEqual(known.find(self.parameters, self.volume), PACE)

    def test_a_run_without_patches_has_measured_nothing(self) -> None:
        known = Paces()
        known.remember(self.parameters, self.volume, Pace(4.0, 0.0, 40))
        self.assertIsNone(known.find(self.parameters, self.volume))
        self.assertIsNone(known.find(self.parameters, None))

    def test_settings_of_something_else_are_passed_over(self) -> None:
        for odd in ("{", "[1, 2]", '{"key": 1}', '[{"key": "a"}]'):
            qt.QSettings().setValue(paces.SETTING, odd)
            self.assertIsNone(Paces().find(self.parameters, self.volume))


if __name__ == "__main__":
    unittest.main()
