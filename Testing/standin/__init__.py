"""A stand-in for the 3D Slicer application on Slicer's own MRML libraries (`slicer-core` on PyPI).

The scene, nodes, storage, logics, displayable managers and `slicer.util` are Slicer's; only what the application
itself adds (Qt, the module factory, the readers' glue, views) is written here. `start()` gives the one application
of a process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .application import Application

_application: Application | None = None


def start() -> Application:
    """The application of this process, made at the first call. Call it before vtk, qt or slicer are imported."""
    global _application
    if _application is None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        # Integer enums, as PythonQt has them; read once, when PySide6 is first imported.
        os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "6")
        import slicer  # noqa: F401  # first: it loads the VTK that it was built with

        from . import pythonqt

        pythonqt.install()  # before any class is derived from a Qt class
        from .application import Application

        _application = Application()
    return _application
