"""What the panel says of a run on its way and at its end."""

import unittest

from EfficientSegBridge import words
from EfficientSegLib.protocol import Progress


class RunWords(unittest.TestCase):
    def test_patches_and_slices_are_counted_with_the_time_that_is_left(self):
        self.assertEqual(words.stage(Progress("patches", 0.4, 12, 30, 62.0)), "patch 12 of 30, 1 min 02 s left")
        self.assertEqual(words.stage(Progress("slices", 0.4, 12, 162, 40.0)), "slice 12 of 162, 40 s left")
        self.assertEqual(words.stage(Progress("slices", 0.4, 12, 162)), "slice 12 of 162")

    def test_a_first_pass_over_the_slices_says_what_it_is_for(self):
        said = words.stage(Progress("extent", 0.2, 12, 162, 90.0))
        self.assertEqual(said, "Finding where the structures begin and end, 1 min 30 s left")

    def test_a_run_of_slices_ends_in_slices(self):
        self.assertEqual(words.outcome(162, 162, 0, 40, True, [], "slices"), "Done in 40 s: every slice read.")
        self.assertEqual(
            words.outcome(80, 162, 0, 40, False, ["liver"], "slices"),
            "Stopped after 40 s: 80 of 162 slices read, the rest is empty. What was done is kept. Not found: liver.",
        )

    def test_a_sliding_window_that_was_stopped_does_not_claim_every_patch(self):
        self.assertEqual(
            words.outcome(10, 40, 0, 7, False, []),
            "Stopped after 7 s: 10 of 40 patches read, the rest is empty. What was done is kept.",
        )
        self.assertEqual(words.outcome(40, 40, 0, 7, True, []), "Done in 7 s: every patch read.")

    def test_what_was_not_refined_is_coarse(self):
        self.assertEqual(words.outcome(5, 5, 40, 7, True, []), "Done in 7 s: 5 of 40 patches read, the rest coarse.")
        self.assertEqual(words.outcome(0, 0, 40, 7, True, []), "Done in 7 s: coarse only.")


if __name__ == "__main__":
    unittest.main()
