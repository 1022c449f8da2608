"""Solid organs, gut, bladder."""

import numpy as np

from .canvas import Canvas, Region
from .chest import domes
from .person import Person
from .shapes import below, curve, ellipsoid, join, meet
from .tissues import LABELS


def paint_gut(canvas: Canvas, person: Person) -> None:
    """Small bowel, duodenum and colon, unlabelled: the same wall as the stomach's, as dense as the pancreas."""
    generator = person.generator
    for _ in range(9):
        at, heading = person.at(*generator.uniform((-70, 0, 70), (70, 45, 150))), generator.standard_normal(3)
        points = []
        for _ in range(8):
            points.append([*at, generator.uniform(8, 12)])
            heading = heading / np.linalg.norm(heading) + generator.standard_normal(3) * 0.8
            at = at + 20 * heading / np.linalg.norm(heading)
            at = np.clip(at, person.at(-92, -8, 50), person.at(92, 62, 165))
        _paint_hollow(canvas, person, curve(np.array(points), 3), 2.2, generator.uniform(10, 55), gas=0.1)
    colon = person.path(
        *((88, 0, 70, 20), (100, -5, 120, 20), (104, -8, 165, 19), (92, 25, 190, 17), (50, 62, 172, 17)),
        *((-10, 68, 160, 17), (-60, 58, 185, 16), (-100, 12, 222, 16), (-108, -22, 190, 14), (-108, -22, 130, 14)),
        *(
            (-100, -8, 85, 14),
            (-70, 20, 55, 14),
            (-20, 0, 75, 14),
            (5, -38, 55, 15),
            (0, -50, 15, 17),
            (0, -48, -30, 15),
        ),
        loose_mm=6,
    )
    colon = curve(colon, 7)
    colon[:, 3] *= 1 + 0.16 * np.sin(np.arange(len(colon)) * 1.9)  # haustra
    _paint_hollow(canvas, person, colon, 2.2, generator.uniform(10, 40), gas=0.45, stool=60)
    duodenum = person.path(
        *(
            (26, 42, 206, 11),
            (46, 26, 200, 11),
            (54, 6, 178, 11),
            (46, -3, 150, 11),
            (12, 4, 141, 10),
            (-24, 8, 152, 10),
        ),
        loose_mm=3,
    )
    _paint_hollow(canvas, person, curve(duodenum), 2.5, generator.uniform(20, 50), gas=0.1)


def _paint_hollow(canvas, person, path, wall_mm, content, gas, stool=20.0, label=0) -> None:
    """A gut with wall and content; gas rises to the front where the slow random field allows it."""
    region = canvas.uneven(canvas.tube(path), 1.0)
    if not region.distance.size:
        return
    canvas.paint(region, person.tissues["gut_wall"] + 4 * canvas.patches[region.box], label)
    lumen = Region(region.box, region.distance + np.float32(wall_mm))
    canvas.paint(lumen, content + np.float32(stool * 0.4) * canvas.patches[region.box], None)
    if gas:
        full = canvas.bumps[region.box] > np.float32(np.quantile(canvas.bumps, 1 - gas))
        canvas.paint(Region(region.box, np.where(full, lumen.distance + 1, 20.0)), -960.0, None)


def paint_stomach(canvas: Canvas, person: Person, cavity: np.ndarray) -> None:
    """Fundus to pylorus, with a level of gas in front."""
    generator, size = person.generator, person.size(0.15)
    path = curve(
        person.path(
            *((-66, -8, 284, 24), (-74, 8, 262, 30), (-68, 32, 236, 27), (-44, 50, 212, 22), (-8, 54, 203, 17)),
            *((22, 46, 205, 12),),
            loose_mm=4,
            size=size,
        )
    )
    region = canvas.uneven(canvas.tube(path), 1.5)
    region.distance = meet(region.distance, cavity[region.box] + 2, 4.0)
    canvas.paint(region, person.tissues["gut_wall"] + 4 * canvas.patches[region.box], LABELS["stomach"])
    lumen = Region(region.box, region.distance + np.float32(generator.uniform(3, 5)))
    content = float(generator.choice([12.0, 35.0, 160.0], p=[0.5, 0.35, 0.15]))
    canvas.paint(lumen, content + 10 * canvas.patches[region.box], None)
    level = person.at(0, generator.uniform(32, 58), 0)[1] - canvas.axes[1].astype(np.float32)  # gravity is not bent
    gas = meet(lumen.distance, np.broadcast_to(level[region.box[1]][None, :, None], lumen.distance.shape))
    canvas.paint(Region(region.box, gas), -970.0, None)


def paint_liver(canvas: Canvas, person: Person, cavity: np.ndarray) -> None:
    """Right dome and left lobe under the diaphragm, cut by a slanting visceral surface; hepatic veins; gall bladder."""
    tissues, generator = person.tissues, person.generator
    centre, radii = person.domes[0], person.domes[1]
    box = canvas.box(centre - radii - (80, 5, 5), centre + radii + 5)
    points = canvas.at(box)
    left = person.at(-2, 38, 268, 5)
    lobes = join(
        ellipsoid(points, centre, radii - 4),
        ellipsoid(points, left, person.radii(62, 34, 30), person.turn(0, -14, 0)),
        12.0,
    )
    visceral = below(points, person.at(40, 8, 206, 6), (-0.52, -0.28, -0.80))
    lobes = meet(meet(lobes, visceral, 12.0), cavity[box] + 2, 4.0)
    lobes = meet(lobes, domes(canvas, person, box) + 3, 4.0)
    # Kidney and adrenal lie in a hollow of fat behind the liver.
    retroperitoneum = ellipsoid(points, person.at(50, -50, 200), (38, 36, 60))
    lobes = meet(lobes, -retroperitoneum, 8.0)
    liver = canvas.uneven(Region(box, lobes), 1.2)
    canvas.paint(liver, tissues["liver"] + 5 * canvas.patches[box] + 2 * canvas.strands[box], LABELS["liver"])
    for _ in range(12):
        start = person.at(38, -2, generator.uniform(235, 295), 10)
        end = centre + radii * (0.75 * generator.uniform(-1, 1, 3))
        middle = (start + end) / 2 + generator.uniform(-12, 12, 3)
        radius = generator.uniform(2.2, 4.5)
        tube = canvas.tube(curve([[*start, radius], [*middle, 0.75 * radius], [*end, 0.8]]))
        inside = canvas.labels[tube.box] == LABELS["liver"]
        tube.distance = np.where(inside, tube.distance, 20.0)
        canvas.paint(tube, tissues["liver_vessel"], None)
    bladder = canvas.ellipsoid(person.at(56, 40, 196, 6), person.radii(13, 28, 16), person.turn(20, 0, 15))
    canvas.paint(
        canvas.uneven(bladder, 0.8), tissues["gallbladder"] + 2 * canvas.patches[bladder.box], LABELS["gallbladder"]
    )


def paint_spleen(canvas: Canvas, person: Person, cavity: np.ndarray) -> None:
    """A shell-like organ: an ellipsoid hollowed on its inner side."""
    centre, turn = person.at(-98, -34, 252, 6), person.turn(15, 12, -25)
    spleen = canvas.ellipsoid(centre, person.radii(31, 50, 44, spread=0.15), turn)
    hollow = ellipsoid(canvas.at(spleen.box), centre + np.array([36, 22, -8]), (33, 40, 50), turn)
    spleen.distance = meet(spleen.distance, -hollow, 6.0)
    spleen.distance = meet(spleen.distance, cavity[spleen.box] + 2, 4.0)
    # In the arterial phase the spleen is striped.
    stripes = 5 + 22 * max(0.0, 1 - abs(person.tissues.contrast - 1))
    hu = person.tissues["spleen"] + np.float32(stripes) * canvas.patches[spleen.box]
    canvas.paint(canvas.uneven(spleen, 1.0), hu, LABELS["spleen"])


def paint_pancreas(canvas: Canvas, person: Person) -> None:
    """Head in the loop of the duodenum to the tail at the spleen, lobulated."""
    path = person.path(
        *(
            (36, 8, 170, 12),
            (34, 12, 186, 14),
            (18, 20, 198, 10),
            (-12, 20, 208, 9),
            (-45, 2, 220, 10),
            (-76, -16, 236, 9),
        ),
        loose_mm=4,
        size=person.size(0.1),
    )
    pancreas = canvas.tube(curve(path))
    pancreas = Region(pancreas.box, pancreas.distance + canvas.strands[pancreas.box] * np.float32(1.1))
    canvas.paint(pancreas, person.tissues["pancreas"] + 6 * canvas.patches[pancreas.box], LABELS["pancreas"])


def paint_kidneys(canvas: Canvas, person: Person) -> None:
    """Cortex, pyramids, the sinus with its fat and pelvis; adrenals above them."""
    tissues, generator = person.tissues, person.generator
    for side, name, z in ((1, "right", 172), (-1, "left", 184)):
        centre = person.at(side * 64, -42, z, 6)
        turn, radii = person.turn(-10, side * 12, side * -25), person.radii(25, 29, 52)
        kidney = canvas.uneven(canvas.ellipsoid(centre, radii, turn), 0.8)
        depth = np.clip((-kidney.distance - 6) / 3, 0, 1)
        pyramids = depth * (canvas.strands[kidney.box] + canvas.patches[kidney.box] > -0.3)
        hu = tissues["cortex"] + (np.float32(tissues["medulla"] - tissues["cortex"])) * pyramids
        canvas.paint(kidney, hu, LABELS[f"kidney_{name}"])
        sinus = centre + turn @ np.array([-side * 14, 4, 0.0])
        canvas.paint(canvas.uneven(canvas.ellipsoid(sinus, (14, 8, 21), turn), 2.0), tissues["fat"])
        canvas.paint(canvas.ellipsoid(sinus - (side * 5, 0, 2), (8, 5, 9), turn), tissues["urine"] + 6)
        if generator.random() < 0.5:  # a cyst is part of the kidney
            place = turn @ (radii * 0.8 * _direction(generator, (side * 0.8, -0.3, 0)))
            cyst = canvas.ellipsoid(centre + place, (generator.uniform(4, 11),) * 3)
            canvas.paint(cyst, 8.0, LABELS[f"kidney_{name}"])
        _paint_adrenal(canvas, person, side, name)


def _direction(generator: np.random.Generator, lean: tuple[float, float, float]) -> np.ndarray:
    heading = generator.standard_normal(3) * 0.5 + lean
    return heading / np.linalg.norm(heading)


def _paint_adrenal(canvas: Canvas, person: Person, side: int, name: str) -> None:
    """Two thin limbs that meet in front, about 5 mm thick, 3 to 6 ml: behind the vena cava or the stomach."""
    top = person.at(*((33, -30, 234) if side > 0 else (-34, -22, 232)), 4)
    thick, limbs = person.generator.uniform(2.2, 2.9), None
    long = person.size(0.15)
    for spread in (-24, 22):
        turn = person.turn(0, 0, side * spread, loose_degrees=6)
        centre = top + turn @ np.array([0, -9.0 * long, -1.0])
        region = canvas.ellipsoid(top, (24, 24, 24))  # one box for both limbs
        limb = ellipsoid(canvas.at(region.box), centre, (thick, 13 * long, 15 * long), turn)
        limbs = limb if limbs is None else join(limbs, limb, 2.0)
    hu = person.tissues["adrenal"] + 4 * canvas.patches[region.box]
    canvas.paint(Region(region.box, limbs), hu, LABELS[f"adrenal_{name}"])


def paint_bladder(canvas: Canvas, person: Person) -> None:
    """Urine with a thin wall; the wall is part of the label."""
    full = person.size(0.25)
    bladder = canvas.ellipsoid(person.at(0, 28, 36, 5), person.radii(36, 29, 26) * full, person.turn())
    canvas.paint(bladder, person.tissues["gut_wall"] - 20, LABELS["urinary_bladder"])
    canvas.paint(Region(bladder.box, bladder.distance + 2.5), person.tissues["urine"], None)
