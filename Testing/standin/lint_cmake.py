"""CMake lists against the files on disk, and the Extensions Index rules for the top-level CMakeLists.txt.

Slicer's build stops at a listed file that does not exist, and silently leaves out a file that is not listed. The reader
below knows just enough CMake for that: set(), list(APPEND), file(GLOB), ${variables}, quotes and comments.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

# https://github.com/Slicer/ExtensionsIndex asks for these; the last two must not be computed.
REQUIRED = ("EXTENSION_HOMEPAGE", "EXTENSION_CONTRIBUTORS", "EXTENSION_DESCRIPTION", "EXTENSION_CATEGORY")
LITERAL = ("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS")
CATEGORY = "Segmentation"
KEYWORDS = {
    "SCRIPTS",
    "RESOURCES",
    "NAME",
    "TARGET_NAME",
    "DESTINATION_DIR",
    "INSTALL_DIR",
    "NO_INSTALL_SUBDIR",
    "WITH_GENERIC_TESTS",
    "WITH_SUBDIR",
    "GLOBAL_TARGET",
    "SCRIPT",
    "TESTNAME_PREFIX",
    "SLICER_ARGS",
}
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"()]+)|([()])')


@dataclass
class CMakeFile:
    """The commands of one CMakeLists.txt, and the variables that they set."""

    path: Path
    commands: list[tuple[str, list[str]]] = field(default_factory=list)
    variables: dict[str, list[str]] = field(default_factory=dict)
    raw: dict[str, list[str]] = field(default_factory=dict)  # as written, with ${...} unexpanded
    empty_patterns: list[str] = field(default_factory=list)  # file(GLOB) patterns without any file

    def values(self, command: str, keyword: str) -> list[str]:
        """What follows `keyword` in every call of `command`, expanded, up to the next keyword."""
        found: list[str] = []
        for name, arguments in self.commands:
            taking = False
            for argument in arguments if name == command else ():
                if argument in KEYWORDS:
                    taking = argument == keyword
                elif taking:
                    # an unset variable is empty, as in CMake
                    found += [part for part in argument.split(";") if part and not part.startswith("${")]
        return found

    def arguments(self, command: str) -> list[list[str]]:
        return [arguments for name, arguments in self.commands if name == command]


def read(path: Path, inherited: dict[str, list[str]] | None = None) -> CMakeFile:
    """Parse one file; `inherited` are the variables of the folder above."""
    result = CMakeFile(path, variables=dict(inherited or {}))
    result.variables["CMAKE_CURRENT_SOURCE_DIR"] = [str(path.parent)]
    text = re.sub(r'("(?:[^"\\]|\\.)*")|#[^\n]*', lambda match: match.group(1) or "", path.read_text(encoding="utf-8"))
    for call in re.finditer(r'(\w+)\s*\(((?:"(?:[^"\\]|\\.)*"|[^")(])*)\)', text):
        name = call.group(1).lower()
        written = [quoted or bare for quoted, bare, _ in TOKEN.findall(call.group(2))]
        arguments = [_expand(each, result.variables) for each in written]
        result.commands.append((name, arguments))
        if name == "project" and arguments:
            result.variables["PROJECT_NAME"] = arguments[:1]
        elif name == "set" and arguments:
            result.variables[arguments[0]] = [part for each in arguments[1:] for part in each.split(";") if part]
            result.raw[arguments[0]] = written[1:]
        elif name == "list" and arguments[:1] == ["APPEND"]:
            result.variables.setdefault(arguments[1], []).extend(arguments[2:])
        elif name == "file" and arguments and arguments[0] in ("GLOB", "GLOB_RECURSE"):
            _glob(result, arguments)
    return result


def check(root: Path) -> list[str]:
    """Everything wrong with the extension at `root`, one sentence each; empty if all is well."""
    top_path = root / "CMakeLists.txt"
    if not top_path.is_file():
        return [f"{root.name}: there is no CMakeLists.txt."]
    top = read(top_path)
    projects = top.arguments("project")
    if not projects or "$" in projects[0][0]:
        return ["CMakeLists.txt: project(...) must come with the extension's name, written out."]
    name = projects[0][0]
    findings = _index_findings(root, top)
    for folder in [arguments[0] for arguments in top.arguments("add_subdirectory")]:
        if not (root / folder / "CMakeLists.txt").is_file():
            findings.append(f"CMakeLists.txt: add_subdirectory({folder}) has no CMakeLists.txt.")
    if [name] not in top.arguments("add_subdirectory"):
        findings.append(f"CMakeLists.txt: add_subdirectory({name}) is missing.")
    findings += _top_findings(root, top, name)
    module_path = root / name / "CMakeLists.txt"
    if module_path.is_file():
        findings += _module_findings(read(module_path, top.variables), name)
    test_path = root / "Testing" / "CMakeLists.txt"
    if test_path.is_file():
        tests = read(test_path, top.variables)
        scripts = tests.values("slicer_add_python_unittest", "SCRIPT")
        findings += [
            f"Testing/CMakeLists.txt: {script} does not exist."
            for script in scripts
            if not (test_path.parent / script).is_file()
        ]
    return findings


def _module_findings(module: CMakeFile, name: str) -> list[str]:
    """The module's SCRIPTS against its Python files, both ways."""
    folder, label = module.path.parent, f"{name}/CMakeLists.txt"
    macro = "slicermacrobuildscriptedmodule"
    listed = module.values(macro, "SCRIPTS")
    # The template lists packages' files without their ending as well; the macro adds it.
    scripts = {each if each.endswith(".py") else f"{each}.py" for each in listed}
    findings = _both_ways(label, scripts, _files(folder, "*.py"), folder)
    resources = module.values(macro, "RESOURCES")
    findings += [f"{label}: {each} is listed but does not exist." for each in resources if not (folder / each).exists()]
    if not any("WITH_GENERIC_TESTS" in arguments for arguments in module.arguments(macro)):
        findings.append(f"{label}: WITH_GENERIC_TESTS is missing from slicerMacroBuildScriptedModule.")
    return findings + [f"{label}: pattern {each} matches no file." for each in module.empty_patterns]


def _top_findings(root: Path, top: CMakeFile, name: str) -> list[str]:
    """What the top level installs against library, resources and in-Slicer tests, both ways."""
    macro = "ctkmacrocompilepythonscript"
    scripts = set(top.values(macro, "SCRIPTS"))
    resources = set(top.values(macro, "RESOURCES"))
    label = "CMakeLists.txt"
    folders = (f"{name}Lib", "Testing/module")
    wanted = {f"{folder}/{each}" for folder in folders for each in _files(root / folder, "*.py")}
    findings = _both_ways(label, scripts, wanted, root)
    findings += _both_ways(label, resources, {f"Resources/{each}" for each in _files(root / "Resources", "*")}, root)
    return findings + [f"{label}: pattern {each} matches no file." for each in top.empty_patterns]


def _index_findings(root: Path, top: CMakeFile) -> list[str]:
    label = "CMakeLists.txt"
    findings = [f"{label}: {variable} is not set." for variable in (*REQUIRED, *LITERAL) if not top.raw.get(variable)]
    if top.raw.get("EXTENSION_CATEGORY") not in (None, [CATEGORY]):
        findings.append(f'{label}: EXTENSION_CATEGORY must be "{CATEGORY}".')
    for variable in LITERAL:
        for url in " ".join(top.raw.get(variable, [])).split():
            if "$" in url:
                findings.append(f"{label}: {variable} must be written out, without variables.")
            elif not url.startswith("https://"):
                findings.append(f"{label}: {variable}: {url} is not an https address.")
            # .../<owner>/<repository>/<branch>/<file>; a file of this repository must exist in it
            elif url.startswith("https://raw.githubusercontent.com/") and not (root / url.split("/", 6)[-1]).is_file():
                findings.append(f"{label}: {variable}: there is no file {url.split('/', 6)[-1]}.")
    if not any((root / each).is_file() for each in ("LICENSE", "LICENSE.txt", "LICENSE.md")):
        findings.append("There is no LICENSE file.")
    if not any("Slicer" in arguments for arguments in top.arguments("find_package")):
        findings.append(f"{label}: find_package(Slicer REQUIRED) is missing.")
    return findings


def _both_ways(label: str, listed: set[str], on_disk: set[str], root: Path) -> list[str]:
    absent = sorted(each for each in listed if not (root / each).is_file())
    unlisted = sorted(on_disk - listed)
    return [f"{label}: {each} is listed but does not exist." for each in absent] + [
        f"{label}: {each} is on disk but not listed, so it would not be installed." for each in unlisted
    ]


def _files(folder: Path, pattern: str) -> set[str]:
    """Files below a folder, relative to it; what Python and git leave there is not meant to be installed."""
    found = (each for each in folder.rglob(pattern) if each.is_file())
    return {
        each.relative_to(folder).as_posix()
        for each in found
        if "__pycache__" not in each.parts and not each.name.startswith(".")
    }


def _expand(text: str, variables: dict[str, list[str]]) -> str:
    """Replace each known ${variable}; an unknown one, being Slicer's, stays."""
    return re.sub(r"\$\{(\w+)\}", lambda match: ";".join(variables.get(match.group(1), [match.group(0)])), text)


def _glob(result: CMakeFile, arguments: list[str]) -> None:
    """file(GLOB|GLOB_RECURSE variable [RELATIVE folder] [CONFIGURE_DEPENDS] patterns...)"""
    recursive, variable, rest = arguments[0] == "GLOB_RECURSE", arguments[1], list(arguments[2:])
    folder = result.path.parent
    if rest[:1] == ["RELATIVE"]:
        folder = Path(rest[1])
        rest = rest[2:]
    found: set[str] = set()
    for pattern in (each for each in rest if each != "CONFIGURE_DEPENDS"):
        start = folder / Path(pattern).parent
        paths = start.rglob(Path(pattern).name) if recursive else start.glob(Path(pattern).name)
        files = {each.relative_to(folder).as_posix() for each in paths if each.is_file()}
        files = {each for each in files if "__pycache__" not in each}
        if not files:
            result.empty_patterns.append(pattern)
        found |= files
    result.variables[variable] = sorted(found)


if __name__ == "__main__":
    problems = check(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    print("\n".join(problems) or "The CMake lists agree with the files.")
    sys.exit(bool(problems))
