"""The troubleshooting page has an entry for each failure that the panel can say, and none that nobody says."""

import ast
import re
import unittest
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace

from EfficientSegBridge import coarse_source, help_pages, patch_words, pip_words, setup_checks, words

HELP = help_pages.FOLDER / help_pages.TROUBLESHOOTING
BRIDGE = Path(setup_checks.__file__).parent
LIBRARY = HELP.parents[2] / "EfficientSegLib"
# Of these files, every failure that is put into words.
SOURCES = {
    BRIDGE / "exit_words.py": ("Failed", 0),
    BRIDGE / "preflight.py": ("Finding", 2),
    BRIDGE / "setup_checks.py": ("Finding", 2),
    BRIDGE / "packages.py": ("InstallError", 0),
    BRIDGE / "wheel_installer.py": ("InstallError", 0),
    LIBRARY / "failures.py": ("Failed", 0),
}


def template(node: ast.expr, function: ast.FunctionDef) -> str | None:
    """The sentence that an expression makes, with … for what is filled in; None where it comes from elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^}]*\}", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            return template(node.func.value, function)
        if isinstance(node.func, ast.Name) and node.func.id == "_":
            return template(node.args[0], function)
    if isinstance(node, ast.Name):
        made = [
            item.value
            for item in ast.walk(function)
            if isinstance(item, ast.Assign)
            and getattr(item.targets[0], "id", "") == node.id
            and item.lineno < node.lineno
        ]
        return template(max(made, key=lambda value: value.lineno), function) if made else None
    return None


def said(path: Path, name: str, place: int) -> Iterator[str]:
    """Every failure in a file: the argument at `place` of each call of `name`."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        for call in ast.walk(function):
            if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == name and len(call.args) > place):
                continue
            level = call.args[0]
            if name == "Finding" and (not isinstance(level, ast.Constant) or level.value not in ("error", "warning")):
                continue
            text = template(call.args[place], function)
            # A text that is only filled in comes from another error: it is found by its subject.
            if text is not None and re.sub(r"[…\s.]", "", text):
                yield text


def subjects(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = (
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"
    )
    return {call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)}


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


class TestTroubleshooting(unittest.TestCase):
    def setUp(self) -> None:
        self.page = HELP.read_text(encoding="utf-8")
        self.headings = {plain(text) for text in re.findall(r"<b>(.*?)</b>", self.page, re.DOTALL)}

    def failures(self) -> set[str]:
        found = {text for path, where in SOURCES.items() for text in said(path, *where)}
        return found | {kind.why for kind in (*pip_words.KINDS, pip_words.UNKNOWN)}

    def aboutScenes(self) -> set[str]:
        """What is said of a result that was loaded with its scene."""
        recorded = [SimpleNamespace(kept=kept, changes=None) for kept in ("all", "places", "")]
        return {words.notTheSame(), patch_words.loaded(), *(coarse_source.trouble(record) for record in recorded)}

    def test_what_is_said_of_loaded_scenes_has_an_entry(self) -> None:
        self.assertEqual(self.aboutScenes() - self.headings, set())

    def test_every_failure_has_an_entry(self) -> None:
        failures = self.failures()
        self.assertGreater(len(failures), 35)
        self.assertEqual(failures - self.headings, set())

    def test_no_entry_is_about_what_nobody_says(self) -> None:
        ours = {"Shape and spacing.", "Kind of image.", *self.aboutScenes()}
        self.assertEqual(self.headings - self.failures() - ours, set())

    def test_every_subject_of_the_preflight_can_be_found(self) -> None:
        anchors = set(re.findall(r'<a name="(\w+)"', self.page))
        self.assertLessEqual(subjects(BRIDGE / "preflight.py"), anchors)

    def test_its_links_lead_somewhere(self) -> None:
        anchors = set(re.findall(r'<a name="(\w+)"', self.page))
        self.assertLessEqual(set(re.findall(r'href="#(\w+)"', self.page)), anchors)
        self.assertNotIn("http-equiv", self.page)


class TestPipWords(unittest.TestCase):
    SAID = (
        ("OSError: [Errno 28] No space left on device", "The disk is full."),
        (
            "ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied: 'C:\\\\Slicer'",
            "rights",
        ),
        ("PermissionError: [Errno 13] Permission denied: '/opt/Slicer/lib'", "rights"),
        ("[WinError 32] The process cannot access the file because it is being used by another process", "in use"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self signed", "certificate"),
        ("ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy", "proxy"),
        ("ERROR: torch-2.9.0-cp310-cp310-win_amd64.whl is not a supported wheel on this platform.", "fits this Python"),
        ("ERROR: No matching distribution found for torch>=2.2", "fits this Python"),
        ("NewConnectionError: Failed to establish a new connection: [Errno 11001] getaddrinfo failed", "reached"),
        ("zipfile.BadZipFile: File is not a zip file", "damaged"),
        ("ERROR: ResolutionImpossible: for help visit https://pip.pypa.io", "contradict"),
        ("error: externally-managed-environment", "belongs to the system"),
        ("/usr/bin/python3: No module named pip", "has no pip"),
        ("Something new", "ended with an error"),
    )

    def test_each_way_of_failing_is_told_apart(self) -> None:
        for text, reason in self.SAID:
            with self.subTest(text):
                self.assertIn(reason, pip_words.explain(text).why)
                self.assertTrue(pip_words.explain(text).mend)


if __name__ == "__main__":
    unittest.main()
