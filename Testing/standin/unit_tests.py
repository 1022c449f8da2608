"""`slicer.testing`: how CTest runs a unittest file inside Slicer."""

from __future__ import annotations

import sys
import unittest


def exitSuccess() -> None:
    """The script ended well; nothing to do within pytest."""


def exitFailure(message: str = "") -> None:
    raise Exception(message)


def runUnitTest(path: str | list[str], testname: str) -> None:
    """Run one test module found on `path`; Exception if any test fails."""
    sys.path.extend([path] if isinstance(path, str) else path)
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestLoader().loadTestsFromName(testname))
    if not result.wasSuccessful():
        exitFailure(f"{testname}: {len(result.failures)} failures, {len(result.errors)} errors")
