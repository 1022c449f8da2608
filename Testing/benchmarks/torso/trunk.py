"""The trunk as a container: table, skin, fat, the muscular wall, the muscles of the back, the abdominal cavity."""

import numpy as np

from .canvas import Canvas, Region
from .fields import smooth_field
from .person import HALF_DEPTHS_MM, HALF_WIDTHS_MM, HEIGHTS_MM, Person, spine_front_back


def muscle_distance(canvas: Canvas, person: Person) -> np.ndarray:
    """Distance to the outer surface of the muscles: a super-ellipse (power 2.5) in every slice, (I, J, K)."""
    x, y, z = canvas.points
    heights = person.height(np.array(HEIGHTS_MM, float))
    wide = np.interp(z, heights, np.array(HALF_WIDTHS_MM) * person.wide).astype(np.float32)
    deep = np.interp(z, heights, np.array(HALF_DEPTHS_MM) * person.deep).astype(np.float32)
    u, v = np.abs(x) / wide, np.abs(y) / deep
    u_root, v_root = u * np.sqrt(u), v * np.sqrt(v)
    length = (u_root * u + v_root * v) ** np.float32(0.4)
    slope = np.sqrt((u_root / wide) ** 2 + (v_root / deep) ** 2) + np.float32(1e-9)
    return (length - 1) * length ** np.float32(1.5) / slope


def paint_trunk(canvas: Canvas, person: Person) -> np.ndarray:
    """Everything around the organs. Returns the distance to the cavity inside the muscular wall, negative inside."""
    tissues, everywhere = person.tissues, canvas.box((-999, -999, -999), (999, 999, 999))
    outside = muscle_distance(canvas, person)
    uneven = smooth_field(canvas.axes, 60.0, person.generator)
    fat_mm = np.float32(person.fat_mm) * np.clip(1 + np.float32(0.25) * uneven, 0.5, 1.8)
    skin = outside - fat_mm - 2
    _paint_table(canvas, person)
    canvas.paint(Region(everywhere, skin), tissues["skin"])
    canvas.paint(Region(everywhere, skin + 2), tissues["fat"] + 7 * canvas.strands)
    canvas.paint(Region(everywhere, outside), tissues["muscle"] + 4 * canvas.patches)
    # A layer of fat between the sheets of muscle, here and there.
    between = np.abs(outside + np.float32(0.5 * person.wall_mm)) - np.clip(np.float32(0.9) * uneven, -1, 1.2)
    canvas.paint(Region(everywhere, between), tissues["fat"])
    cavity = outside + np.float32(person.wall_mm)
    canvas.paint(Region(everywhere, cavity), tissues["fat"] + 8 * canvas.strands + 3 * canvas.patches)
    _paint_back(canvas, person)
    return cavity


def _paint_table(canvas: Canvas, person: Person) -> None:
    """A shell of carbon fibre around foam; not bent, for it is not part of the person."""
    x, y = canvas.axes[0][:, None].astype(np.float32), canvas.axes[1][None, :].astype(np.float32)
    under = -person.deep * max(HALF_DEPTHS_MM) - person.fat_mm * 1.3 - 12
    rise = under + x**2 / 900.0
    top, bottom = y - rise, (under - 22 + x**2 / 2500.0) - y
    inside = np.maximum(np.maximum(top, bottom), np.abs(x) - 175)[..., None]
    shell = np.broadcast_to(inside, canvas.hu.shape)
    everywhere = (slice(None),) * 3
    canvas.paint(Region(everywhere, shell), 20.0)
    canvas.paint(Region(everywhere, shell + 2.5), -930.0)


def _paint_back(canvas: Canvas, person: Person) -> None:
    """Erector spinae and psoas, psoas growing downwards and turning outwards."""
    muscle = person.tissues["muscle"]
    for side in (-1, 1):
        heights = np.arange(-30, 421, 45.0)
        widths = np.interp(heights, (0, 100, 250, 400), (20, 25, 21, 15))
        back = [(side * 30, spine_front_back(z) - 41, z, w) for z, w in zip(heights, widths)]
        psoas = [(24, -40, 215, 7), (33, -36, 175, 12), (41, -34, 130, 18), (50, -26, 90, 20), (64, -2, 45, 19)]
        psoas = [(side * x, y, z, radius) for x, y, z, radius in [*psoas, (75, 22, 0, 17), (80, 28, -30, 16)]]
        for path in (back, psoas):
            tube = canvas.tube(person.path(*path))
            canvas.paint(canvas.uneven(tube, 1.0), muscle + 5 * canvas.patches[tube.box])
