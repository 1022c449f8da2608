"""Counting changes and surfaces: drawn labels of which every number is known, and a slow second way."""

import numpy as np
import pytest

from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.review import counts as module
from EfficientSegLib.review.counts import Cells, block, cells_of_boxes, count

SHAPE = (12, 10, 8)
BOXES = [PatchBox((0, 0, 0), (6, 10, 8)), PatchBox((4, 2, 0), (12, 8, 4))]


def places(step=4):
    return Cells([np.arange(0, length, step) for length in SHAPE], SHAPE)


def counted(labels, coarse, values=(3, 7), boxes=BOXES):
    return count(labels, lambda a, b: coarse[a:b], values, cells_of_boxes(boxes, SHAPE), places())


@pytest.fixture(params=[1 << 22, 1], ids=["one slab", "slabs of one slice"])
def thickness(request, monkeypatch):
    monkeypatch.setattr(module, "SLAB", request.param)


def test_a_cube_that_grew_by_a_slice(thickness):
    coarse = np.zeros(SHAPE, np.uint8)
    coarse[2:5, 2:6, 2:6] = 3
    labels = coarse.copy()
    labels[5, 2:6, 2:6] = 3  # 16 voxels more
    found = counted(labels, coarse)
    assert found.voxels.tolist() == [0, 64, 0]
    assert found.gained_or_lost[1:].tolist() == [16, 0]
    assert found.changed.sum() == 16
    assert found.surface_by_label.sum(0).tolist() == [0, 4**3 - 2**3, 0]
    boxes = cells_of_boxes(BOXES, SHAPE)
    assert found.in_boxes[block(boxes, BOXES[0])].reshape(-1, 3).sum(0).tolist() == [16, 16, 0]
    assert found.in_boxes[block(boxes, BOXES[1])].reshape(-1, 3).sum(0)[1] == 4 * 2  # j from 2, k below 4


def test_every_histogram_agrees_with_counting_one_by_one(thickness):
    random = np.random.default_rng(5)
    labels, coarse = (random.choice([0, 0, 3, 7], SHAPE).astype(np.uint8) for _ in range(2))
    found = counted(labels, coarse)
    cells, boxes = places(), cells_of_boxes(BOXES, SHAPE)
    differs = labels != coarse
    for column, value in enumerate((3, 7), start=1):
        either = differs & ((labels == value) | (coarse == value))
        assert found.gained_or_lost[column] == either.sum() and found.voxels[column] == (labels == value).sum()
        for box in BOXES:
            inside = found.in_boxes[block(boxes, box)].reshape(-1, 3).sum(0)[column]
            assert inside == either[box.slices()].sum()
        for number in range(cells.count):
            part = cells.box(number).slices()
            assert found.changed_by_label[number, column] == either[part].sum()
    for number in range(cells.count):
        assert found.changed[number] == differs[cells.box(number).slices()].sum()


def test_the_surface_is_what_touches_another_label_and_the_border_of_the_volume_is_none(thickness):
    labels = np.full(SHAPE, 7, np.uint8)
    assert counted(labels, labels).surface_by_label.sum() == 0
    labels[:6] = 3
    found = counted(labels, labels)
    assert found.surface_by_label.sum(0).tolist() == [0, 80, 80]
    assert found.surface.reshape(-1, 3).sum(0).tolist() == [0, 80, 80]


def test_cells_are_boxes_that_fill_the_volume_once():
    cells, seen = places(5), np.zeros(SHAPE, int)
    for number in range(cells.count):
        part = cells.box(number).slices()
        seen[part] += 1
        corner = [np.array([index.start]) for index in part]
        assert cells.of(corner)[0] == number
    assert (seen == 1).all()


def test_without_a_patch_everything_is_one_cell():
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 3:6, 3:6] = 3
    found = counted(labels, labels, boxes=[])
    assert found.surface.shape == (1, 1, 1, 3) and found.surface.sum() == 26
