"""Under pytest the stand-in takes the application's place; inside Slicer this file is never read."""

import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
for folder in (TESTING, TESTING.parent, TESTING.parent / "EfficientSeg", TESTING / "module"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import pytest  # noqa: E402
import standin  # noqa: E402

APPLICATION = standin.start()  # before any test file imports vtk, qt or slicer


@pytest.fixture(autouse=True)
def quiet_application():
    """Each test begins with an empty scene, and neither VTK nor a Qt slot may have complained at its end."""
    APPLICATION.clear()
    with APPLICATION.no_vtk_errors(), APPLICATION.no_slot_errors():
        yield
