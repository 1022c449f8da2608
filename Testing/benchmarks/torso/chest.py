"""Lungs with their vessels, diaphragm, heart, oesophagus."""

import numpy as np

from .canvas import Canvas, Region
from .person import Person
from .shapes import curve, ellipsoid, join, meet
from .tissues import LABELS


def domes(canvas: Canvas, person: Person, box) -> np.ndarray:
    """Distance to what lies under the diaphragm in its two domes: the abdomen, negative inside."""
    points = canvas.at(box)
    right = ellipsoid(points, person.domes[0], person.domes[1])
    return join(right, ellipsoid(points, person.domes[2], person.domes[3]), 20.0)


def paint_chest(canvas: Canvas, person: Person, cavity: np.ndarray) -> None:
    """Diaphragm, lungs beside the mediastinum, heart, oesophagus."""
    box = canvas.box((-999, -999, person.height(225)), (999, 999, 999))
    points, abdomen = canvas.at(box), domes(canvas, person, box)
    chest = meet(cavity[box], person.height(238) - points[2], 8.0)
    above = meet(chest, -abdomen)
    canvas.paint(Region(box, meet(cavity[box], np.abs(abdomen) - 1.8)), person.tissues["muscle"])
    _paint_lungs(canvas, person, Region(box, meet(above + 2, 3.5 - abdomen, 3.0)))
    _paint_heart(canvas, person)
    path = curve(
        person.path(
            *((2, -38, 430, 7), (0, -36, 384, 7), (-4, -28, 345, 7.5), (-14, -16, 312, 8), (-36, -4, 292, 8)),
            loose_mm=2,
        )
    )
    tube = canvas.tube(path)
    canvas.paint(tube, person.tissues["oesophagus"] + 4 * canvas.patches[tube.box], LABELS["oesophagus"])
    path[:, 3] *= person.generator.uniform(0.1, 0.4)
    canvas.paint(canvas.tube(path), float(person.generator.choice([-300.0, 20.0])), None)


def _paint_lungs(canvas: Canvas, person: Person, both: Region) -> None:
    tissues, box = person.tissues, both.box
    x, y, _ = canvas.at(box)
    waist = 20 + 9 * np.clip((y + 40) / 60, 0, 1) + 2 * canvas.bumps[box]
    air = tissues["lung"] + 14 * canvas.strands[box] + 8 * canvas.patches[box]
    air += np.clip(-y, -60, 80) * np.float32(0.5)  # the back of the lung is denser in a patient who lies
    for side, name in ((1, "lung_right"), (-1, "lung_left")):
        lung = meet(both.distance, waist - side * x, 8.0)
        canvas.paint(Region(box, lung), air, LABELS[name])
        for path in _lung_vessels(person, side):
            vessel = canvas.tube(path)
            inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(vessel.box, box))
            if all(part.start >= 0 for part in inside):
                vessel.distance = meet(vessel.distance, lung[inside] + 4)
                canvas.paint(vessel, tissues["lung_vessel"], None)


def _lung_vessels(person: Person, side: int) -> list[np.ndarray]:
    """Vessels from the hilum outwards, thinner with every turn."""
    generator, vessels = person.generator, []
    for _ in range(34):
        at = person.at(side * 30, -8, generator.uniform(330, 385), 8)
        heading = generator.standard_normal(3) * (0.7, 0.9, 0.8) + (side * 0.9, -0.2, -0.6)
        points = []
        for radius in np.linspace(generator.uniform(1.8, 3.6), 0.7, 7):
            points.append([*at, radius])
            heading = heading / np.linalg.norm(heading) + 0.35 * generator.standard_normal(3)
            at = at + 14 * heading / np.linalg.norm(heading)
        path = np.array(points)
        path[:, 2] = np.maximum(path[:, 2], person.height(240))
        vessels.append(path)
    return vessels


def _paint_heart(canvas: Canvas, person: Person) -> None:
    """Pericardial fat, myocardium, two chambers. Unlabelled."""
    tissues, centre = person.tissues, person.at(-22, 30, 358, 5)
    turn, radii = person.turn(0, 25, 20), person.radii(62, 46, 46)
    for grow, hu in ((6, tissues["fat"]), (0, tissues["myocardium"])):
        heart = canvas.uneven(canvas.ellipsoid(centre, radii + grow, turn), 1.0)
        canvas.paint(heart, hu)
    for offset, part in (((-18, 6, -2), (26, 19, 24)), ((24, -4, 4), (28, 25, 30))):
        chamber = canvas.ellipsoid(centre + turn @ np.array(offset), np.array(part), turn)
        canvas.paint(canvas.uneven(chamber, 1.5), tissues["blood_pool"] + 5 * canvas.patches[chamber.box])
