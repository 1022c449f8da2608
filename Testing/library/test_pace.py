"""The time that is left, told against a clock that only the test moves."""

import pytest

from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.pace import Pacing, covered_voxels

VOXELS = 1_000_000


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def run(patches, first_patch, patch, coarse_labels=2.0, box_labels=0.4, box_voxels=40_000, noise=()):
    """A whole run: (what was said, what was left in truth) after each patch.

    Labels on the way come when they are due; at the end labels of everything are made.
    """
    clock = Clock()
    pacing = Pacing(clock)
    clock.seconds += 7.0 + coarse_labels  # the coarse pass, before anything is timed
    pacing.first_labels(coarse_labels, VOXELS, min(patches * box_voxels, VOXELS), box_voxels)
    pacing.resume()
    said, pending = [], 0
    for number in range(patches):
        clock.seconds += (first_patch if number == 0 else patch) * (noise[number % len(noise)] if noise else 1)
        pacing.patch()
        pending += 1
        said.append((pacing.seconds_left(patches - number - 1, pending), clock.seconds))
        if number + 1 < patches and pacing.labels_due(patches - number - 1, pending):
            clock.seconds += box_labels * pending
            pacing.labels(box_labels * pending, [(box_labels, box_voxels)] * pending)
            pending = 0
        pacing.resume()
    share = min(patches * box_voxels / VOXELS, 1)
    end = clock.seconds + coarse_labels * (1 - share) + share * VOXELS / box_voxels * box_labels
    return [(left, end - at) for left, at in said]


@pytest.mark.parametrize(
    "case",
    [
        {"patches": 10, "first_patch": 1.0, "patch": 1.0},
        {"patches": 10, "first_patch": 4.0, "patch": 1.2},  # warm-up
        {"patches": 30, "first_patch": 9.0, "patch": 0.5, "box_labels": 0.1},
        {"patches": 12, "first_patch": 2.0, "patch": 2.0, "box_labels": 2.0},  # labels cost as much as patches
        {"patches": 40, "first_patch": 1.5, "patch": 1.0, "noise": (1.0, 0.9, 1.1, 1.0, 1.15, 0.85)},
        {"patches": 40, "first_patch": 1.5, "patch": 1.0, "noise": (1, 1, 1, 1, 1, 1, 1, 2)},  # a hiccup now and then
        {"patches": 4, "first_patch": 3.0, "patch": 1.0, "coarse_labels": 6.0},  # the end is most of it
    ],
    ids=lambda case: " ".join(f"{name}={value}" for name, value in case.items() if name != "noise"),
)
def test_from_the_third_patch_on_the_time_left_is_within_a_fifth(case):
    for left, truth in run(**case)[2:]:
        assert left == pytest.approx(truth, rel=0.2), case


def test_a_slow_first_patch_is_forgotten_with_the_second():
    left = [left for left, _ in run(patches=20, first_patch=30.0, patch=1.0, box_labels=0.0)]
    assert left[0] > 19 * 30 and left[1] < 30


def test_a_machine_that_turns_slow_is_noticed():
    clock = Clock()
    pacing = Pacing(clock)
    for number in range(40):
        clock.seconds += 1.0 if number < 20 else 3.0
        pacing.patch()
    assert pacing.seconds_left(10) == pytest.approx(30.0)


def test_before_a_patch_was_timed_nothing_is_promised_unless_none_is_to_come():
    pacing = Pacing(Clock())
    pacing.first_labels(2.0, VOXELS, 0)
    assert pacing.seconds_left(5) is None and pacing.seconds_left(0) == 2.0
    assert pacing.patch_seconds == 0.0 and pacing.timed == 0


def test_what_was_spent_on_patches_counts_their_labels_too_and_nothing_between():
    clock = Clock()
    pacing = Pacing(clock)
    for _ in range(3):
        clock.seconds += 2.0
        pacing.patch()
        clock.seconds += 50.0  # somebody else's
        pacing.resume()
    pacing.labels(1.5, [(0.4, 300)] * 3)
    assert pacing.spent == pytest.approx(7.5) and pacing.patch_seconds == pytest.approx(2.5)


def test_covered_voxels_are_counted_once_and_without_what_was_read_before():
    boxes = [PatchBox((0, 0, 0), (32, 32, 32)), PatchBox((16, 0, 0), (48, 32, 32)), PatchBox((0, 0, 0), (8, 8, 8))]
    shape = (64, 32, 32)
    assert covered_voxels(boxes, 0, shape) == 48 * 32 * 32
    assert covered_voxels(boxes, 1, shape) == 16 * 32 * 32
    assert covered_voxels(boxes, 3, shape) == covered_voxels([], 0, shape) == 0


def test_what_comes_behind_the_labels_is_counted_and_labels_near_the_end_are_not_made():
    clock = Clock()
    pacing = Pacing(clock)
    pacing.first_labels(2.0, VOXELS, 0, box=40_000)
    pacing.ending = 3.0
    for _ in range(4):
        clock.seconds += 1.0
        pacing.patch()
    assert pacing.finish_seconds == 5.0 and pacing.seconds_left(0) == 5.0
    assert pacing.labels_due(10, 4) and not pacing.labels_due(1, 4)  # 4 boxes of 0.2 s: worth 2.4 s of patches


def test_patches_of_another_device_say_nothing():
    clock = Clock()
    pacing = Pacing(clock)
    for number in range(12):
        if number == 6:
            pacing.moved()
        clock.seconds += 0.1 if number < 6 else 2.0
        pacing.patch()
        if number == 6:
            assert pacing.seconds_left(10) == pytest.approx(20.0)
    assert pacing.seconds_left(10) == pytest.approx(20.0)


def test_a_hiccup_while_labels_were_made_counts_in_part():
    pacing = Pacing(Clock())
    pacing.first_labels(2.0, VOXELS, VOXELS)
    pacing.labels(9.0, [(1.0, 100_000), (1.0, 100_000), (7.0, 100_000)])
    assert pacing.labels_seconds == pytest.approx((1 + 1 + 2) / 300_000 * VOXELS)
