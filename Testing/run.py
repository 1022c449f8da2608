"""Two commands that need nothing but Python 3.10 to 3.13: `python3 Testing/run.py demo` and `... test`.

Each makes a virtual environment of its own in the project's folder on first use (.venv-demo, .venv-test), installs what
it needs there with pip, as pip is configured on this machine, and leaves everything else as it is.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036  (an older one must be told, not left to a syntax error)
    sys.exit(f"This is Python {sys.version.split()[0]}; use 3.10 to 3.13, for example: python3.12 Testing/run.py demo")

from runner import environments, outcome, system_libraries

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "Testing" / "output"
FOLDERS = ("library", "module", "standin_tests")
NEWEST = (3, 13)


def main(arguments: list[str] | None = None) -> int:
    """Make or reuse the environment, then run the demo or the tests in it; the exit code."""
    given, rest = _parser().parse_known_args(arguments)
    if rest and given.command == "demo":
        _parser().error(f"unknown arguments: {' '.join(rest)}")
    try:
        _check_python()
        return _demo(given) if given.command == "demo" else _test(given, rest)
    except environments.SetUpError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python3 Testing/run.py", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="segment the sample CT in a background process and draw the result")
    demo.add_argument("--input", help="another CT instead of the sample")
    demo.add_argument("--bundle", help="another model instead of demo-ct")
    test = commands.add_parser("test", help="run the tests; further arguments go to pytest")
    test.add_argument(
        "--require-panel", action="store_true", help="fail unless the panel and rendering tests really ran"
    )
    for command in (demo, test):
        command.add_argument("--pip-args", default="", help='passed on to pip, for example "--index-url https://…"')
    return top


def _check_python() -> None:
    if sys.version_info[:2] > NEWEST:
        print(f"Python {sys.version.split()[0]} is newer than what was tried (3.10 to 3.13). Going on.")


def _demo(given: argparse.Namespace) -> int:
    python = environments.prepare(ROOT / ".venv-demo", environments.DEMO, shlex.split(given.pip_args))
    command = [str(python), str(ROOT / "Testing" / "runner" / "demo.py"), "--output", str(OUTPUT / "demo")]
    for name in ("input", "bundle"):
        if getattr(given, name):
            command += [f"--{name}", getattr(given, name)]
    return _call(command, dict(os.environ))


def _test(given: argparse.Namespace, pytest_arguments: list[str]) -> int:
    missing = system_libraries.missing()
    if missing:
        print(system_libraries.advice(missing))
    python = environments.prepare(ROOT / ".venv-test", environments.TEST, shlex.split(given.pip_args))
    environment = {"MPLBACKEND": "Agg", **os.environ}
    if sys.platform.startswith("linux"):
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")  # no display is needed, and no window pops up
    codes = [_run_folder(folder, python, pytest_arguments, environment) for folder in FOLDERS]
    trouble = outcome.panel_trouble([_report(folder) for folder in FOLDERS]) if given.require_panel else ""
    if trouble:
        print(f"\n--require-panel: {trouble}", file=sys.stderr)
        if missing:
            print(system_libraries.advice(missing), file=sys.stderr)
    return outcome.exit_code(codes) or (1 if trouble else 0)


def _run_folder(folder: str, python: Path, pytest_arguments: list[str], environment: dict[str, str]) -> int:
    """Each folder has a process of its own: a crash in the application's libraries costs no other folder its tests."""
    print(f"\n== Testing/{folder}", flush=True)
    report = _report(folder)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    tests = str(ROOT / "Testing" / folder)
    return _call([str(python), "-m", "pytest", tests, f"--junitxml={report}", *pytest_arguments], environment)


def _report(folder: str) -> Path:
    return OUTPUT / f"tests-{folder}.xml"


def _call(command: list[str], environment: dict[str, str]) -> int:
    """Run a command to its end, also after Ctrl-C, which reaches it by itself."""
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


if __name__ == "__main__":
    sys.exit(main())
