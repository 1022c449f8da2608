"""Aorta, vena cava, the unlabelled vessels beside them, bile duct, ureters."""

import numpy as np

from .canvas import Canvas
from .person import Person
from .shapes import curve
from .tissues import LABELS


def paint_vessels(canvas: Canvas, person: Person) -> None:
    """Labelled ones among portal, iliac, mesenteric, gonadal and renal vessels that are as dense and have no label."""
    _paint_veins(canvas, person)
    _paint_arteries(canvas, person)
    _paint_ureters(canvas, person)


def _paint(canvas: Canvas, person: Person, path: np.ndarray, tissue: str, label: str | None = None) -> None:
    tube = canvas.tube(curve(path))
    value = LABELS[label] if label else 0
    canvas.paint(tube, person.tissues[tissue] + 3 * canvas.patches[tube.box], value)


def _paint_veins(canvas: Canvas, person: Person) -> None:
    iliac = [(20, -14, 98, 6.5), (38, -18, 62, 6), (60, 12, 25, 6), (72, 32, -20, 5.5)]
    for side in (-1, 1):
        path = [(side * x + (4 if side < 0 else 0), y - 4, z, radius) for x, y, z, radius in iliac]
        _paint(canvas, person, person.path(*path, loose_mm=3), "vein")
        kidney = [(side * 48, -30, 176, 3.5), (side * 30 + 2, -14, 184, 4), (18, -10, 188, 4.5)]
        _paint(canvas, person, person.path(*kidney, loose_mm=2), "vein")
    cava = [(18, -12, 96, 9), (20, -10, 140, 9.5), (22, -8, 190, 10), (27, -10, 240, 11), (27, -8, 285, 11.5)]
    path = person.path(*cava, (20, 4, 322, 12), loose_mm=3, size=person.size(0.15))
    _paint(canvas, person, path, "vena_cava", "vena_cava")
    mesenteric = [(14, 14, 194, 4.5), (8, 24, 165, 4), (10, 30, 130, 3), (20, 34, 100, 2)]
    _paint(canvas, person, person.path(*mesenteric, loose_mm=2), "vein")
    portal = [(-84, -14, 240, 3.2), (-50, -6, 224, 3.8), (-15, 9, 206, 4.3), (14, 13, 199, 5.5), (34, 8, 222, 6)]
    path = person.path(*portal, (50, 6, 246, 5.5), (72, 4, 254, 4), loose_mm=3, size=person.size(0.1))
    _paint(canvas, person, path, "portal_vein")
    duct = [(46, 14, 228, 1.9), (36, 18, 212, 2.3), (34, 15, 196, 2.4), (38, 9, 182, 2.4), (48, 4, 172, 2.2)]
    _paint(canvas, person, person.path(*duct, loose_mm=1.5, size=person.size(0.08)), "bile", "bile_duct")


def _paint_arteries(canvas: Canvas, person: Person) -> None:
    for side in (-1, 1):
        iliac = [(-10, -8, 102, 6), (side * 26 - 4, -8, 72, 5), (side * 50, 6, 38, 4.5), (side * 68, 36, -20, 4.5)]
        _paint(canvas, person, person.path(*iliac, loose_mm=3), "aorta")
        kidney = [(-12, -10, 184, 2.5), (side * 30, -24, 180, 2.5), (side * 50, -34, 178, 2.2)]
        _paint(canvas, person, person.path(*kidney, loose_mm=2), "aorta")
    mesenteric = [(-12, -2, 196, 3.2), (-8, 14, 186, 3.2), (-4, 24, 160, 3), (6, 30, 120, 2.2)]
    _paint(canvas, person, person.path(*mesenteric, loose_mm=2), "aorta")
    coeliac = [(-12, -2, 212, 3), (-6, 12, 216, 2.8), (18, 16, 222, 2.4), (38, 14, 232, 2)]
    _paint(canvas, person, person.path(*coeliac, loose_mm=2), "aorta")
    spleen = [(-6, 12, 216, 2.6), (-40, 2, 228, 2.4), (-84, -18, 248, 2)]
    _paint(canvas, person, person.path(*spleen, loose_mm=3), "aorta")
    aorta = [(-10, -8, 100, 8), (-13, -8, 150, 8.5), (-14, -10, 200, 9.5), (-14, -18, 250, 10.5), (-20, -32, 310, 11)]
    path = person.path(*aorta, (-26, -42, 360, 11.5), (-28, -44, 430, 12), loose_mm=3, size=person.size(0.15))
    _paint(canvas, person, path, "aorta", "aorta")


def _paint_ureters(canvas: Canvas, person: Person) -> None:
    """Ureters beside gonadal veins of the same size: only the course tells them apart without contrast."""
    for side in (-1, 1):
        gonadal = [(side * 22, -8, 172, 2), (side * 40, -10, 130, 2), (side * 58, -2, 90, 2), (side * 84, 22, 30, 2)]
        _paint(canvas, person, person.path(*gonadal, loose_mm=3), "vein")
        ureter = [(44, -32, 166, 2.6), (38, -22, 145, 2.2), (37, -10, 110, 2.2), (40, -6, 80, 2.1), (50, -22, 50, 2.2)]
        ureter = [(side * x, y, z + (8 if z > 150 and side < 0 else 0), radius) for x, y, z, radius in ureter]
        end = [(side * 34, -2, 24, 2.2), (side * 15, 12, 20, 2.2)]
        path = person.path(*ureter, *end, loose_mm=2.5, size=person.size(0.08))
        _paint(canvas, person, path, "ureter", "ureters")
