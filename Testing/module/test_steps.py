"""Long work in short steps: in order, in between the application's own work, and dropped as a whole."""

import time
import unittest

from bench import waitUntil

from EfficientSegBridge.steps import SLICE_MS, Steps, atOnce


def counting(told: list[str], name: str, count: int, seconds: float = 0.0):
    for number in range(count):
        time.sleep(seconds)
        told.append(f"{name}{number}")
        yield


class TestSteps(unittest.TestCase):
    def setUp(self) -> None:
        self.errors: list[Exception] = []
        self.steps = Steps(self.errors.append)

    def test_generators_are_worked_off_one_after_the_other(self) -> None:
        told: list[str] = []
        self.steps.add(counting(told, "a", 2))
        self.steps.add(counting(told, "b", 2))
        self.assertEqual(told, [], "nothing is done within the call")
        self.assertTrue(waitUntil(lambda: not self.steps.busy, 5))
        self.assertEqual(told, ["a0", "a1", "b0", "b1"])

    def test_the_application_works_in_between(self) -> None:
        import slicer

        told: list[str] = []
        self.steps.add(counting(told, "a", 40, SLICE_MS / 2000))
        longest = 0.0
        while self.steps.busy:
            began = time.perf_counter()
            slicer.app.processEvents()
            longest = max(longest, time.perf_counter() - began)
        self.assertEqual(len(told), 40)
        # All of it is 240 ms long. One turn of the event loop holds a few slices at most.
        self.assertLess(longest, 0.2)

    def test_an_error_ends_the_queue_and_is_told(self) -> None:
        told: list[str] = []

        def failing():
            yield
            raise ValueError("no")

        self.steps.add(failing())
        self.steps.add(counting(told, "a", 2))
        self.assertTrue(waitUntil(lambda: self.errors, 5))
        self.assertFalse(self.steps.busy)
        self.assertEqual([str(error) for error in self.errors], ["no"])
        self.assertEqual(told, [])

    def test_a_step_may_clear_the_queue_it_stands_in(self) -> None:
        told: list[str] = []

        def ending():
            self.steps.clear()
            yield
            told.append("never")

        self.steps.add(ending())
        self.steps.add(counting(told, "a", 1))
        self.assertTrue(waitUntil(lambda: not self.steps.busy, 5))
        waitUntil(lambda: False, 0.05)
        self.assertEqual((told, self.errors), ([], []))

    def test_at_once_does_all(self) -> None:
        told: list[str] = []
        atOnce(counting(told, "a", 3))
        self.assertEqual(len(told), 3)


if __name__ == "__main__":
    unittest.main()
