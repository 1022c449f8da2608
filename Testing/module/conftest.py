"""Under pytest the stand-in takes the application's place; inside Slicer this file is never read."""

import ctypes
import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
for folder in (TESTING, TESTING.parent, TESTING.parent / "EfficientSeg", TESTING / "module"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import pytest  # noqa: E402

import standin  # noqa: E402

if sys.version_info < (3, 12):
    # PySide6 6.12 takes one reference too many from None at each call of a void method (setVisible, setEnabled); where
    # None is not yet immortal, Python ends itself after some thousand of them.
    ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40

APPLICATION = standin.start()  # before any test file imports vtk, qt or slicer


@pytest.fixture(autouse=True)
def quiet_application():
    """Each test begins with an empty scene, and neither VTK nor a Qt slot may have complained at its end."""
    APPLICATION.clear()
    with APPLICATION.no_vtk_errors(), APPLICATION.no_slot_errors():
        yield
