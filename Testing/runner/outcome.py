"""Did the panel and rendering tests really run? A skip reads as a pass in an exit code, and here it does not."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

FOLDERS = {"module": "the panel's tests", "standin_tests": "the rendering and stand-in tests"}


def panel_trouble(report: Path) -> str:
    """Why the run does not count, from pytest's JUnit report; "" where every panel and rendering test ran."""
    if not report.is_file():
        return "there is no test report, so nothing ran."
    cases = list(ElementTree.parse(report).iter("testcase"))
    for folder, words in FOLDERS.items():
        own = [case for case in cases if folder in case.get("classname", "").split(".")]
        skipped = [case for case in own if case.find("skipped") is not None]
        if not own:
            return f"{words} (Testing/{folder}) were not run."
        if skipped:
            names = ", ".join(sorted({str(case.get("name")) for case in skipped})[:5])
            return f"{len(skipped)} of {words} (Testing/{folder}) were skipped: {names}."
    return ""
