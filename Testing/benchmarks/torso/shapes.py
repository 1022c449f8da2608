"""Signed distances in mm, negative inside, of the forms organs are made of."""

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]  # x, y, z in mm


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    """Rotation about x, then y, then z, (3, 3)."""
    cx, cy, cz = np.cos(np.radians(degrees))
    sx, sy, sz = np.sin(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def ellipsoid(points: Points, centre, radii, turn: np.ndarray | None = None) -> np.ndarray:
    """First-order distance to an ellipsoid whose half axes `radii` are turned by `turn`; exact on the surface."""
    away = [axis - np.float32(middle) for axis, middle in zip(points, centre)]
    if turn is not None:
        away = [sum(np.float32(turn[row, column]) * away[row] for row in range(3)) for column in range(3)]
    first = sum((axis / np.float32(radius)) ** 2 for axis, radius in zip(away, radii))
    second = sum((axis / np.float32(radius**2)) ** 2 for axis, radius in zip(away, radii))
    length = np.sqrt(first)
    return length * (length - 1) / np.sqrt(second + np.float32(1e-9))


def segment(points: Points, start, end) -> np.ndarray:
    """Distance to a round cone: `start` and `end` are (x, y, z, radius)."""
    axis = np.asarray(end[:3]) - start[:3]
    away = [one - np.float32(value) for one, value in zip(points, start)]
    along = sum(one * np.float32(value / max(axis @ axis, 1e-9)) for one, value in zip(away, axis))
    np.clip(along, 0, 1, out=along)
    squared = sum((one - along * np.float32(value)) ** 2 for one, value in zip(away, axis))
    return np.sqrt(squared) - (np.float32(start[3]) + along * np.float32(end[3] - start[3]))


def below(points: Points, at, normal) -> np.ndarray:
    """Distance to the half space on the far side of `normal`: negative where (p - at) . normal < 0."""
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    return sum((axis - np.float32(value)) * np.float32(part) for axis, value, part in zip(points, at, normal))


def join(one: np.ndarray, other: np.ndarray, soft_mm: float = 0.0) -> np.ndarray:
    """Union, with a fillet of `soft_mm`."""
    if not soft_mm:
        return np.minimum(one, other)
    blend = np.clip(soft_mm - np.abs(one - other), 0, None)
    return np.minimum(one, other) - blend**2 / np.float32(4 * soft_mm)


def meet(one: np.ndarray, other: np.ndarray, soft_mm: float = 0.0) -> np.ndarray:
    """Intersection, with an edge rounded by `soft_mm`."""
    return -join(-one, -other, soft_mm)


def curve(controls, steps: int = 6) -> np.ndarray:
    """Catmull-Rom curve through control points (x, y, z, radius), (n, 4)."""
    controls = np.asarray(controls, float)
    padded = np.vstack([2 * controls[0] - controls[1], controls, 2 * controls[-1] - controls[-2]])
    padded[[0, -1], 3] = controls[[0, -1], 3]
    t = np.arange(steps)[:, None] / steps
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:]):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.vstack([*pieces, controls[-1:]])
