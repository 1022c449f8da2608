"""Who is drawn: build, position of everything, tissues."""

from dataclasses import dataclass, field

import numpy as np

from .shapes import rotation
from .tissues import Tissues, draw_tissues

PITCH_MM = 33.0  # one vertebra and its disc
LOWEST_LUMBAR_MM = 75.0
# Half width and half depth of the trunk without skin and fat, by height.
HEIGHTS_MM = (0, 60, 130, 200, 260, 330, 384)
HALF_WIDTHS_MM = (150, 147, 131, 136, 144, 149, 150)
HALF_DEPTHS_MM = (90, 87, 85, 91, 98, 101, 99)


@dataclass
class Person:
    """One person's build. Positions are given for an average person and placed by `at`."""

    generator: np.random.Generator
    wide: float
    deep: float
    tall: float
    up_mm: float
    fat_mm: float
    wall_mm: float
    tissues: Tissues = field(repr=False)
    domes: tuple[np.ndarray, ...] = ()  # centre and half axes of the right, then of the left dome of the diaphragm

    def at(self, x: float, y: float, z: float, loose_mm: float = 0.0) -> np.ndarray:
        """Where a point of the average person lies, (3,) mm; moved at random by up to `loose_mm` along each axis."""
        place = np.array([x * self.wide, y * self.deep, self.height(z)])
        return place + self.generator.uniform(-loose_mm, loose_mm, 3)

    def height(self, z: float | np.ndarray) -> float | np.ndarray:
        return (z - 190.0) * self.tall + 190.0 + self.up_mm

    def path(self, *controls: tuple[float, float, float, float], loose_mm: float = 0.0, size: float = 1.0):
        """Control points x, y, z, radius, each placed and moved on its own, (n, 4)."""
        return np.array([[*self.at(x, y, z, loose_mm), radius * size] for x, y, z, radius in controls])

    def size(self, spread: float = 0.12) -> float:
        """A random factor near 1."""
        return float(self.generator.uniform(1 - spread, 1 + spread))

    def radii(self, *radii: float, spread: float = 0.1) -> np.ndarray:
        """Half axes, each with its own random factor, and all with this person's build."""
        build = (self.wide * self.deep * self.tall) ** (1 / 3)
        return np.array(radii) * build * self.generator.uniform(1 - spread, 1 + spread, len(radii))

    def turn(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, loose_degrees: float = 10.0) -> np.ndarray:
        """A rotation, loosened at random."""
        return rotation(tuple(np.array([x, y, z]) + self.generator.uniform(-loose_degrees, loose_degrees, 3)))


def spine_front_back(z: float | np.ndarray) -> float | np.ndarray:
    """y of the middle of the vertebral bodies of the average person: lordosis below, kyphosis above."""
    return np.interp(z, (0, 45, 108, 174, 240, 320, 400), (-78, -56, -33, -34, -42, -54, -58))


def draw_person(generator: np.random.Generator) -> Person:
    """A build within what fits the field of view."""
    person = Person(
        generator,
        wide=float(generator.uniform(0.92, 1.06)),
        deep=float(generator.uniform(0.92, 1.1)),
        tall=float(generator.uniform(0.94, 1.05)),
        up_mm=float(generator.uniform(-8, 10)),
        fat_mm=float(generator.uniform(7, 24)),
        wall_mm=float(generator.uniform(13, 18)),
        tissues=draw_tissues(generator),
    )
    person.domes = (
        person.at(70, 0, 226, 4),
        person.radii(80, 88, 92, spread=0.05),
        person.at(-70, 2, 224, 4),
        person.radii(74, 84, 82, spread=0.05),
    )
    return person
