"""The tour of the panel: the shipped page has a picture for each item, and the script goes through the panel."""

import sys
import unittest
from pathlib import Path

import qt
import slicer
from bench import makeFolder

from EfficientSegBridge import bundles

TESTING = Path(__file__).resolve().parents[1]
RESULTS = TESTING / "benchmarks" / "results" / "tour"
LARGEST_BYTES = 1_300_000  # all pictures together


@unittest.skipUnless("standin" in sys.modules, "Inside Slicer there are screenshots of one's own.")
class TestTour(unittest.TestCase):
    def test_the_shipped_page_has_a_small_picture_for_every_item(self) -> None:
        from benchmarks.tour.words import ITEMS, STOPS, page

        self.assertEqual((RESULTS / "README.md").read_text(encoding="utf-8"), page())
        self.assertEqual(set(ITEMS), {item for stop in STOPS for item in stop.items})
        shipped = {file.stem for file in RESULTS.glob("*.png")}
        self.assertEqual(shipped, {stop.picture for stop in STOPS})
        self.assertLess(sum(file.stat().st_size for file in RESULTS.glob("*.png")), LARGEST_BYTES)

    def test_every_stop_of_the_walk_is_said(self) -> None:
        from benchmarks.panel_tour import Tour
        from benchmarks.tour.words import STOPS

        self.assertEqual(len(Tour.STOPS), len(STOPS))

    def test_the_first_steps_are_walked_with_the_worker(self) -> None:
        from benchmarks.panel_tour import Tour

        folder = makeFolder()
        tour = Tour(folder, bundles.SHIPPED / bundles.SELF_TEST)
        tour.walk(("live", "models"))
        self.assertEqual(set(tour.made), {"01-live", "08-models"})
        self.assertGreater(min(tour.made.values()), 20, f"a picture is empty: {tour.made}")
        for name in tour.made:
            self.assertGreater(qt.QImage(str(folder / f"{name}.png")).width(), 600)
        self.assertFalse(hasattr(slicer.modules, "EfficientSegWidget"), "the panel was left open")


if __name__ == "__main__":
    unittest.main()
