"""The time left of a run that reads while labels are made, against a clock that only the test moves."""

import pytest

from EfficientSegLib.slab_pace import SlabPacing

VOXELS = 1000


def run(patches, slabs, patch=1.0, first_patch=1.0, slab=0.5, show=0.0, ending=0.0, moved_at=None, moved=1.0):
    """Rows of patches, each followed by its slabs: (what was said, what was left in truth) after each patch."""
    now = [0.0]
    pacing = SlabPacing(lambda: now[0])
    pacing.voxels = VOXELS
    said, rows = [], len(slabs)
    for row, number in enumerate(slabs):
        for _ in range(patches // rows):
            if moved_at == len(said):
                pacing.moved()
            now[0] += first_patch if not said else (patch if moved_at is None or len(said) < moved_at else moved)
            said.append((pacing.read(len(said) + 1, patches), now[0]))
        for _ in range(number):
            now[0] += slab
            pacing.made(VOXELS // sum(slabs))
            if row == 0:
                pacing.ending = ending
            now[0] += show if len(said) < patches else 0  # the final labels are near
            pacing.resume()
    return [(left, now[0] + ending - at) for left, at in said]


@pytest.mark.parametrize(
    "case",
    [
        {"patches": 40, "slabs": [1] * 40, "slab": 0.4},  # slices: labels cost a good part of reading
        {"patches": 40, "slabs": [1] * 40, "slab": 0.4, "first_patch": 30.0},  # warm-up
        {"patches": 48, "slabs": [8, 4, 4, 4], "slab": 0.1, "patch": 0.5, "ending": 1.0},  # rows of twelve patches
        {"patches": 48, "slabs": [8, 4, 4, 4], "show": 0.1, "slab": 0.1},
    ],
    ids=str,
)
def test_from_the_third_on_the_time_left_is_within_a_fifth(case):
    for left, truth in run(**case)[2:]:
        assert left == pytest.approx(truth, rel=0.2), case


def test_after_the_last_patch_labels_and_ending_are_left():
    (left, truth) = run(patches=8, slabs=[4, 4], slab=0.5, ending=3.0)[-1]
    assert left == pytest.approx(truth) == 5.0


def test_a_first_pass_takes_half_of_the_time_and_says_so():
    now = [0.0]
    pacing = SlabPacing(lambda: now[0])
    pacing.voxels = VOXELS
    for done in range(1, 11):
        now[0] += 1.0
        assert pacing.searched(done, 10) == pytest.approx(20 - done)
    now[0] += 1.0
    assert pacing.read(1, 10) == pytest.approx(9)


def test_what_was_read_on_another_device_says_nothing():
    found = run(patches=20, slabs=[1] * 20, patch=0.1, first_patch=0.1, slab=0.0, moved_at=10, moved=5.0)
    for left, truth in found[10:-1]:
        assert left == pytest.approx(truth)
