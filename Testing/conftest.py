"""The import path, and images that lie in every awkward way."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "Testing"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _turned(x_degrees: float, y_degrees: float, z_degrees: float) -> np.ndarray:
    """Rotation about x, then y, then z."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians([x_degrees, y_degrees, z_degrees])):
        one, other = [index for index in range(3) if index != axis]
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result


PLACES = {
    "axial": ((1.0, 1.0, 1.0), np.eye(3)),
    "anisotropic": ((0.7, 0.9, 5.0), np.eye(3)),
    "flipped": ((0.7, 0.7, 2.0), np.diag([-1.0, -1.0, 1.0])),
    "left-handed": ((0.7, 0.8, 2.0), np.diag([1.0, 1.0, -1.0])),
    "sagittal": ((0.7, 0.8, 2.0), np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])),
    "oblique": ((0.7, 0.8, 2.5), _turned(20, -35, 50)),
    "oblique and left-handed": ((0.9, 0.8, 3.0), _turned(-10, 25, 130) @ np.diag([1.0, -1.0, 1.0])),
}


@pytest.fixture(params=PLACES)
def placed_volume(request):
    """A small volume of different lengths, once for each way in which a scan may lie; int16, random, -1000 to 1500."""
    from EfficientSegLib.volume import Volume

    spacing, direction = PLACES[request.param]
    array = np.random.default_rng(7).integers(-1000, 1500, (1, 7, 6, 5)).astype(np.int16)
    return Volume(array, spacing, (-120.5, 33.25, 1047.125), tuple(map(tuple, direction.tolist())))


@pytest.fixture
def awkward_folder(tmp_path):
    """A folder named as a colleague's may be."""
    folder = tmp_path / "Dr. Jöhn Ωé"
    folder.mkdir()
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse to run the panel's tests and the stand-in's in one process.

    With views open and the module loaded, Slicer's display library walks for ever through the hierarchy of a scene that
    the stand-in's tests then load (`GetHierarchyOpacity` looks for a parent that no longer is the scene's item).
    """
    folders = {item.path.parent.name for item in items if item.path.is_relative_to(ROOT)}
    if {"module", "standin_tests"} <= folders:
        raise pytest.UsageError(
            "Testing/module and Testing/standin_tests need a process each. Use: python3 Testing/run.py test, or name "
            "one of the two folders."
        )
