"""The stand-in application, one for all tests; every test begins with an empty scene and empty records."""

import pytest


@pytest.fixture
def app():
    import standin

    application = standin.start()
    application.clear()
    yield application
    application.clear()


@pytest.fixture
def no_vtk_errors(app):
    """The test fails if VTK prints an error or a warning."""
    with app.no_vtk_errors():
        yield
