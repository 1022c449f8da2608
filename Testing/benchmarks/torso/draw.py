"""A whole case from a seed."""

from dataclasses import dataclass

import numpy as np

from .abdomen import (
    paint_bladder,
    paint_gut,
    paint_kidneys,
    paint_liver,
    paint_pancreas,
    paint_spleen,
    paint_stomach,
)
from .bones import paint_pelvis, paint_ribs, paint_spine
from .canvas import Canvas
from .chest import paint_chest
from .fields import blur, grain
from .person import Person, draw_person
from .tissues import LABELS, Tissues
from .trunk import paint_trunk
from .vessels import paint_vessels

SMALLEST_SIZE = 48


@dataclass(frozen=True)
class Drawing:
    """A drawn CT. Axes grow to the right, to the front and upwards (RAS)."""

    image: np.ndarray  # HU, (I, J, K) int16
    labels: np.ndarray  # values of tissues.LABELS, (I, J, K) uint8
    spacing_mm: float
    tissues: Tissues

    def voxels(self) -> dict[str, int]:
        """Voxels of each label, background too."""
        counts = np.bincount(self.labels.ravel(), minlength=len(LABELS))
        return {name: int(counts[value]) for name, value in LABELS.items()}

    def ml(self) -> dict[str, float]:
        """Volume of each label, as far as it lies in the field of view."""
        return {name: count * self.spacing_mm**3 / 1000 for name, count in self.voxels().items()}


def draw(seed: int, size: int = 256, noise_hu: float = 18.0) -> Drawing:
    """Draw one torso.

    Args:
        seed: chooses anatomy, contrast phase, deformation and noise; the same seed shows the same person at any size.
        size: voxels per axis; the field of view is 384 mm, so 256 gives 1.5 mm.
        noise_hu: standard deviation of the noise in the middle of the body, before a person's own factor of .7 to 1.3.

    Raises:
        ValueError: `size` is below 48, where the thinnest structures would vanish; `noise_hu` is negative.
    """
    if size < SMALLEST_SIZE:
        raise ValueError(f"size is {size}. Below {SMALLEST_SIZE} thin structures vanish. Give {SMALLEST_SIZE} or more.")
    if noise_hu < 0:
        raise ValueError(f"noise_hu is {noise_hu}. A standard deviation is not negative. Give 0 for no noise.")
    body, fields, noise = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
    person, canvas = draw_person(body), Canvas(size, fields)
    cavity = _paint(canvas, person)
    _expose(canvas, person, noise, noise_hu, cavity)
    image = np.clip(np.rint(canvas.hu), -1024, 3071).astype(np.int16)
    return Drawing(image, canvas.labels, canvas.spacing_mm, person.tissues)


def _paint(canvas: Canvas, person: Person) -> np.ndarray:
    """From the outside to the inside, from the large to the small. Returns the distance to the cavity."""
    cavity = paint_trunk(canvas, person)
    paint_chest(canvas, person, cavity)
    paint_gut(canvas, person)
    paint_stomach(canvas, person, cavity)
    paint_spleen(canvas, person, cavity)
    paint_liver(canvas, person, cavity)
    paint_pelvis(canvas, person)
    paint_spine(canvas, person)
    paint_kidneys(canvas, person)
    paint_pancreas(canvas, person)
    paint_bladder(canvas, person)
    paint_vessels(canvas, person)
    paint_ribs(canvas, person)
    return cavity


def _expose(
    canvas: Canvas, person: Person, generator: np.random.Generator, noise_hu: float, cavity: np.ndarray
) -> None:
    """The scanner: a point spread of 0.75 mm (standard deviation), then noise, less of it near the skin and in air."""
    canvas.hu = blur(canvas.hu, (0.75 / canvas.spacing_mm,) * 3)
    if noise_hu:
        noise_hu *= float(generator.uniform(0.7, 1.3))
        strength = np.interp(cavity, (-70, 30, 60), (noise_hu, 0.55 * noise_hu, 0.35 * noise_hu)).astype(np.float32)
        canvas.hu += strength * grain(canvas.hu.shape, generator)
