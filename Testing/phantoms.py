"""Drawn volumes with known answers.

Arrays are (I, J, K) with axes that grow to the right, to the front and upwards (RAS). `python Testing/phantoms.py
FOLDER` writes the cases that the self-test bundle is trained on.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LIVER, SPLEEN, VERTEBRAE = 1, 2, 3
SPACING_MM = (4.0, 4.0, 4.0)
SHAPE = (80, 64, 56)


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half axes in mm, from the corner of the first voxel."""

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]

    @property
    def ml(self) -> float:
        return float(4 / 3 * np.pi * np.prod(self.radii_mm) / 1000)

    def mask(self, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> np.ndarray:
        """True where the centre of a voxel lies inside, (I, J, K)."""
        axes = [
            ((np.arange(length) + 0.5) * step - centre) / radius
            for length, step, centre, radius in zip(shape, spacing_mm, self.centre_mm, self.radii_mm)
        ]
        i, j, k = np.ix_(*axes)
        return i**2 + j**2 + k**2 <= 1


def ellipsoid(
    shape: tuple[int, int, int] = (40, 48, 56),
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0),
    inside_hu: int = 100,
    outside_hu: int = -100,
) -> tuple[np.ndarray, np.ndarray, float]:
    """One ellipsoid in the middle: image (int16), labels (uint8, value 1) and its exact volume in ml."""
    centre = tuple(length * step / 2 for length, step in zip(shape, spacing_mm))
    body = Ellipsoid(centre, tuple(0.3 * length * step for length, step in zip(shape, spacing_mm)))
    mask = body.mask(shape, spacing_mm)
    return np.where(mask, inside_hu, outside_hu).astype(np.int16), mask.astype(np.uint8), body.ml


def torso(
    shape: tuple[int, int, int] = SHAPE,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
    noise_hu: float = 15.0,
) -> tuple[np.ndarray, np.ndarray]:
    """A trunk with a liver on the right, a spleen on the left and a spine: image (int16, HU) and labels (uint8).

    Sizes, places and brightness vary with the seed.
    """
    draw = np.random.default_rng(seed)
    size = np.array([length * step for length, step in zip(shape, spacing_mm)])

    def near(*fractions: float) -> tuple[float, ...]:
        return tuple(size * (np.array(fractions) + draw.uniform(-0.02, 0.02, 3)))

    def about(*fractions: float) -> tuple[float, ...]:
        return tuple(size * np.array(fractions) * draw.uniform(0.88, 1.12, 3))

    liver = Ellipsoid(near(0.67, 0.58, 0.55), about(0.15, 0.20, 0.25))
    spleen = Ellipsoid(near(0.27, 0.42, 0.55), about(0.08, 0.12, 0.17))
    x, y = _section(shape, spacing_mm, (0.5, 0.5))
    skin = (x / (0.44 * size[0])) ** 2 + (y / (0.42 * size[1])) ** 2
    hu = np.where(skin < 1, -100.0, -1000.0)
    hu = np.where(skin < 0.85, draw.uniform(35, 55), hu)
    labels = np.zeros(shape, dtype=np.uint8)
    x, y = _section(shape, spacing_mm, (0.5 + draw.uniform(-0.02, 0.02), 0.24))
    spine = (x**2 + y**2 < (0.065 * size.min()) ** 2) & np.ones(shape, dtype=bool)
    shapes = (LIVER, liver.mask(shape, spacing_mm)), (SPLEEN, spleen.mask(shape, spacing_mm)), (VERTEBRAE, spine)
    for (value, mask), tone in zip(shapes, draw.uniform((95, 120, 350), (125, 150, 500))):
        labels[mask], hu = value, np.where(mask, tone, hu)
    hu += draw.normal(0, noise_hu, shape)
    return hu.astype(np.int16), labels


def _section(shape: tuple, spacing_mm: tuple, centre: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Distance in mm from an axis along K, at these fractions of I and J: (I, 1, 1) and (1, J, 1)."""
    x, y = (
        (np.arange(length) + 0.5) * step - fraction * length * step
        for length, step, fraction in zip(shape, spacing_mm, centre)
    )
    return x[:, None, None], y[None, :, None]


def write_case(folder: Path, image: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
    """Write `image.nii.gz` and `label.nii.gz`, in RAS."""
    import SimpleITK as sitk

    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("image", image), ("label", labels)):
        file = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        file.SetSpacing(spacing_mm)
        file.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        sitk.WriteImage(file, str(folder / f"{name}.nii.gz"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write drawn torsos with their labels.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12)
    arguments = parser.parse_args()
    for seed in range(arguments.count):
        write_case(arguments.folder / f"torso_{seed:02}", *torso(seed=seed), SPACING_MM)


if __name__ == "__main__":
    main()
