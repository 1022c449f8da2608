"""Did the panel and rendering tests really run? A skip reads as a pass in an exit code, and here it does not."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

NO_TESTS = 5  # pytest's exit code where an expression such as -k leaves nothing to run
FOLDERS = {"module": "the panel's tests", "standin_tests": "the rendering and stand-in tests"}


def exit_code(codes: list[int]) -> int:
    """One exit code for several runs of pytest: the first failure, or NO_TESTS where none of them had a test."""
    failures = [code for code in codes if code not in (0, NO_TESTS)]
    if failures:
        return failures[0]
    return NO_TESTS if set(codes) == {NO_TESTS} else 0


def panel_trouble(reports: list[Path]) -> str:
    """Why the run does not count, from pytest's JUnit reports; "" where every panel and rendering test ran."""
    cases = [case for report in reports if report.is_file() for case in ElementTree.parse(report).iter("testcase")]
    if not cases:
        return "there is no test report, so nothing ran."
    for folder, words in FOLDERS.items():
        own = [case for case in cases if folder in case.get("classname", "").split(".")]
        skipped = [case for case in own if case.find("skipped") is not None]
        if not own:
            return f"{words} (Testing/{folder}) were not run."
        if skipped:
            names = ", ".join(sorted({str(case.get("name")) for case in skipped})[:5])
            return f"{len(skipped)} of {words} (Testing/{folder}) were skipped: {names}."
    return ""
