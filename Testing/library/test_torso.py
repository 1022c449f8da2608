"""Arms and table go, the trunk stays."""

import numpy as np

from EfficientSegLib.geometry import whole
from EfficientSegLib.torso import torso_box

SPACING = (3.0, 3.0, 3.0)


def cylinder(shape, centre, radii):
    i, j = np.meshgrid(*(np.arange(n) for n in shape[:2]), indexing="ij")
    inside = ((i - centre[0]) / radii[0]) ** 2 + ((j - centre[1]) / radii[1]) ** 2 <= 1
    return np.repeat(inside[..., None], shape[2], axis=2)


def body(shape=(160, 110, 20)):
    hu = np.full(shape, -1000.0, np.float32)
    hu[cylinder(shape, (80, 55), (50, 35))] = 30
    hu[cylinder(shape, (65, 55), (18, 22))] = -850  # a lung
    hu[cylinder(shape, (95, 55), (18, 22))] = -850
    return hu


def box(hu):
    return torso_box(hu, SPACING, 15.0, 18.0, vertical=2)


def test_the_box_holds_the_trunk_with_its_margin():
    found = box(body())
    assert found.start[0] in range(23, 27) and found.stop[0] in range(135, 139)
    assert found.start[1] in range(13, 17) and found.stop[1] in range(95, 99)
    assert (found.start[2], found.stop[2]) == (0, 20)


def test_arms_that_touch_the_body_and_the_table_do_not_widen_it():
    hu = body()
    hu[cylinder(hu.shape, (20, 55), (11, 12))] = 30
    hu[cylinder(hu.shape, (140, 55), (11, 12))] = 30
    hu[28:32, 54:57] = 30  # skin on skin
    hu[5:155, 92:94] = 100  # the table
    assert box(hu).start[0] >= 23 and box(hu).stop[0] <= 139


def test_nothing_but_air_and_nothing_but_body_keep_the_whole_volume():
    for value in (-1000.0, 40.0):
        hu = np.full((30, 30, 10), value, np.float32)
        assert box(hu) == whole(hu.shape)
