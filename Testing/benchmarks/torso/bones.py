"""Vertebrae with discs and canal, ribs with cartilage, pelvis."""

import numpy as np

from .canvas import Canvas, Region
from .person import HALF_DEPTHS_MM, HALF_WIDTHS_MM, HEIGHTS_MM, LOWEST_LUMBAR_MM, PITCH_MM, Person, spine_front_back
from .shapes import below, ellipsoid, meet, rotation
from .tissues import LABELS


def bone_hu(canvas: Canvas, person: Person, region: Region, cortex_mm: float) -> np.ndarray:
    """Cortical bone outside, spongiosa inside, over 1.5 mm."""
    tissues = person.tissues
    marrow = tissues["spongiosa"] + 22 * canvas.strands[region.box]
    inwards = np.clip((-region.distance - np.float32(cortex_mm)) / np.float32(1.5), 0, 1)
    return tissues["cortical_bone"] + (marrow - np.float32(tissues["cortical_bone"])) * inwards


def paint_spine(canvas: Canvas, person: Person) -> None:
    """Vertebrae L5 to T7 or so, discs between them, the canal behind."""
    discs = [(0, spine_front_back(z), z, 17.5) for z in np.arange(55, 430, 15.0)]
    canvas.paint(canvas.tube(person.path(*discs)), person.tissues["disc"])
    for number in range(-1, 11):
        z = LOWEST_LUMBAR_MM + PITCH_MM * number
        slope = (spine_front_back(z + 8) - spine_front_back(z - 8)) / 16
        _paint_vertebra(canvas, person, z, turn=rotation((-np.degrees(np.arctan(slope)), 0, 0)), lumbar=number < 5)
    canal = [(0, spine_front_back(z) - 26, z, 8.0) for z in np.arange(-20, 430, 15.0)]
    canvas.paint(canvas.tube(person.path(*canal)), 28.0)
    cord = [(0, spine_front_back(z) - 26, z, 4.5) for z in np.arange(200, 430, 15.0)]
    canvas.paint(canvas.tube(person.path(*cord)), 42.0)


def _paint_vertebra(canvas: Canvas, person: Person, z: float, turn: np.ndarray, lumbar: bool) -> None:
    y = float(spine_front_back(z))
    centre = person.at(0, y, z)
    wide, deep, half = (23.0, 17.0, 12.5) if lumbar else (18.0, 15.5, 12.0)
    box = canvas.box(centre - 32, centre + 32)
    points = canvas.at(box)
    column = ellipsoid(points, centre, (wide, deep, 60.0), turn)
    up = turn @ np.array([0.0, 0.0, 1.0])
    slab = np.maximum(below(points, centre + half * up, up), below(points, centre - half * up, -up))
    parts = [Region(box, meet(column, slab, 5.0))]
    reach, tip = (40, 33) if lumbar else (33, 36)
    arch = [(-11, y - 12, z + 2, 4.5), (-12, y - 26, z, 4), (0, y - 38, z - 3, 4), (12, y - 26, z, 4)]
    parts.append(canvas.tube(person.path(*arch, (11, y - 12, z + 2, 4.5))))
    parts.append(canvas.tube(person.path((0, y - 37, z - 4, 4.5), (0, y - 37 - tip * 0.8, z - 14, 4))))
    for side in (-1, 1):
        process = [(side * 12, y - 22, z + 3, 5), (side * reach, y - 27, z + 4, 3.5)]
        parts.append(canvas.tube(person.path(*process)))
    for part in parts:
        canvas.paint(part, bone_hu(canvas, person, part, 1.0), LABELS["vertebrae"])


def paint_ribs(canvas: Canvas, person: Person) -> None:
    """Pairs from T12 upwards, sloping down to the front; the ones above the field of view come into it in front."""
    for number in range(9):
        z = LOWEST_LUMBAR_MM + PITCH_MM * (5 + number)
        end = (75, 105, 132, 140, 142, 144, 146, 148, 150)[number]  # degrees round the trunk, 0 at the back
        drop = (55, 70, 88, 95, 95, 90, 85, 80, 75)[number]
        for side in (-1, 1):
            path = _rib(person, side, z, end, drop)
            if number > 1:
                cartilage = _rib(person, side, z, 172, drop, start=end, rise=55)
                canvas.paint(canvas.tube(cartilage), person.tissues["cartilage"])
            tube = canvas.tube(path)
            canvas.paint(tube, bone_hu(canvas, person, tube, 1.0), LABELS["ribs"])
    sternum = canvas.ellipsoid(person.at(0, 93, 400), (17, 6, 75))
    canvas.paint(sternum, bone_hu(canvas, person, sternum, 1.0))


def _rib(person: Person, side: int, z: float, end: float, drop: float, start: float = 14, rise: float = 0.0):
    """Points of a rib inside the muscular wall from `start` to `end` degrees, (n, 4)."""
    degrees = np.linspace(start, end, 24 if not rise else 10)
    heights = z - drop * np.sin(np.radians(np.minimum(degrees, 135) * 90 / 135)) ** 1.3
    heights += rise * np.clip((degrees - start) / (172 - start), 0, 1) ** 1.2 if rise else 0
    inset = 0.55 * person.wall_mm
    wide = np.interp(heights, HEIGHTS_MM, HALF_WIDTHS_MM) * person.wide - inset
    deep = np.interp(heights, HEIGHTS_MM, HALF_DEPTHS_MM) * person.deep - inset
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    # On the super-ellipse of the trunk, but behind drawn in to the spine.
    x = side * wide * np.abs(sine) ** 0.8
    y = -deep * np.sign(cosine) * np.abs(cosine) ** 0.8
    head = np.clip((30 - degrees) / 16, 0, 1)
    y = y * (1 - head) + head * (spine_front_back(z) - 24) * person.deep
    return np.stack([x, y, person.height(heights), np.full_like(x, 4.6)], axis=1)


def paint_pelvis(canvas: Canvas, person: Person) -> None:
    """Sacrum and the wings of the ilium, without a label: bone that is neither rib nor vertebra."""
    sacrum = canvas.ellipsoid(person.at(0, -72, 22), (44, 16, 42), person.turn(-25, 0, 0, loose_degrees=4))
    canvas.paint(sacrum, bone_hu(canvas, person, sacrum, 1.2))
    for side in (-1, 1):
        centre = person.at(side * 30, -5, 55)
        radii = np.array([88.0, 82.0, 88.0])
        box = canvas.box(centre - radii - 12, centre + radii + 12)
        points = canvas.at(box)
        shell = np.abs(ellipsoid(points, centre, radii)) - (4.5 + 1.5 * canvas.bumps[box])
        lateral = below(points, person.at(side * 62, 0, 0), (-side, -0.35, 0.0))
        top = below(points, person.at(0, 0, 112), (0, -0.1, 1.0))
        wing = Region(box, meet(meet(shell, lateral, 3.0), top, 6.0))
        canvas.paint(wing, bone_hu(canvas, person, wing, 1.2))
