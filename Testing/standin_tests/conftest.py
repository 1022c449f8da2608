"""The stand-in application, one for all tests; every test begins with an empty scene and empty records."""

import sys
from pathlib import Path

import pytest

TESTING = str(Path(__file__).resolve().parents[1])
if TESTING not in sys.path:
    sys.path.insert(0, TESTING)

import standin  # noqa: E402


@pytest.fixture
def app():
    application = standin.start()
    application.clear()
    yield application
    application.clear()


@pytest.fixture
def no_vtk_errors(app):
    """The test fails if VTK prints an error or a warning."""
    with app.no_vtk_errors():
        yield
