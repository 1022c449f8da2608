"""Testing/run.py: environments that are made once and only half trusted, and skips that do not read as passes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct

TESTING = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTING))

from runner import environments, outcome, system_libraries  # noqa: E402
from runner.environments import Group, SetUpError  # noqa: E402


@pytest.fixture
def pip(monkeypatch):
    """Real environments, and a pip that only notes what it is asked for and fails for names with "absent"."""
    asked = []
    run = environments._run

    def pretending(command):
        if command[1:4] == ["-m", "pip", "install"]:
            names = [part for part in command[4:] if not part.startswith("--")]
            asked.append(names)
            failed = any("absent" in name for name in names)
            return subprocess.CompletedProcess(command, int(failed), "", "No matching distribution" if failed else "")
        if command[1:2] == ["-c"] or command[1:4] == ["-m", "pip", "--version"]:
            return subprocess.CompletedProcess(command, 0, "", "")
        return run([*command, "--without-pip"] if command[1:3] == ["-m", "venv"] else command)  # pip takes seconds

    monkeypatch.setattr(environments, "_run", pretending)
    return asked


ONE = (Group("one", (("first", "second"),)),)


def test_an_environment_is_made_once_and_reused(pip, tmp_path, capsys):
    python = environments.prepare(tmp_path / "venv", ONE)
    assert subprocess.run([python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"]).returncode == 0
    assert pip == [["first", "second"]] and "Making the virtual environment" in capsys.readouterr().out
    assert environments.prepare(tmp_path / "venv", ONE) == python
    assert len(pip) == 1 and capsys.readouterr().out == ""


def test_new_needs_are_added_and_a_half_made_environment_is_made_again(pip, tmp_path, capsys):
    folder = tmp_path / "venv"
    environments.prepare(folder, ONE)
    environments.prepare(folder, (*ONE, Group("two", (("third",),))))
    assert pip == [["first", "second"], ["third"]]
    (folder / environments.STAMP).unlink()
    (folder / "rest").touch()
    environments.prepare(folder, ONE)
    assert not (folder / "rest").exists() and "making it again" in capsys.readouterr().out


def test_the_next_choice_is_taken_where_the_first_is_absent(pip, tmp_path):
    environments.prepare(tmp_path / "venv", (Group("torch", (("absent==2",), ("torch>=1",))),))
    assert pip == [["absent==2"], ["torch>=1"]]


def test_what_cannot_be_missing_stops_the_set_up_with_a_way_out(pip, tmp_path):
    with pytest.raises(SetUpError, match="(?s)could not install absent.*No matching distribution.*--pip-args"):
        environments.prepare(tmp_path / "venv", (Group("one", (("absent",),)),))


def test_what_is_optional_is_said_to_be_missing_and_tried_again_next_time(pip, tmp_path, capsys):
    groups = (Group("panel", (("absent",),), optional="the panel's tests"),)
    for _ in range(2):
        environments.prepare(tmp_path / "venv", groups)
        assert "the panel's tests cannot run here" in capsys.readouterr().out
    assert pip == [["absent"], ["absent"]]


def test_pip_arguments_are_passed_on(monkeypatch, pip, tmp_path):
    environments.prepare(tmp_path / "venv", ONE, ["--no-index", "wheel.whl"])
    assert pip == [["wheel.whl", "first", "second"]]


def test_a_python_without_ensurepip_is_told_the_package_to_install(monkeypatch, tmp_path):
    failed = subprocess.CompletedProcess([], 1, "The virtual environment was not created: ensurepip is not there", "")
    monkeypatch.setattr(environments, "_run", lambda command: failed)
    with pytest.raises(SetUpError, match=rf"apt install python{sys.version_info.major}\.{sys.version_info.minor}-venv"):
        environments.prepare(tmp_path / "venv", ONE)
    assert not (tmp_path / "venv").exists()


def test_torch_is_pinned_first_and_old_platforms_find_one_too():
    assert environments.TORCH.choices[0] == ("torch==2.13.0",)
    assert all(choice[0].startswith("torch") for choice in environments.TORCH.choices)
    assert environments.TEST[0] is environments.DEMO[0] is environments.TORCH


def report(tmp_path, *cases):
    """A JUnit report; a case is (class name, skipped)."""
    body = "".join(
        f'<testcase classname="{name}" name="t">{"<skipped/>" if skipped else ""}</testcase>' for name, skipped in cases
    )
    path = tmp_path / "tests.xml"
    path.write_text(f"<testsuites><testsuite>{body}</testsuite></testsuites>")
    return path


PANEL, SCENE = "Testing.module.test_widget.TestWidget", "Testing.standin_tests.test_views"


def test_a_run_counts_when_every_panel_and_rendering_test_ran(tmp_path):
    assert outcome.panel_trouble([report(tmp_path, (PANEL, False), (SCENE, False), ("Testing.library.t", True))]) == ""


@pytest.mark.parametrize(
    "cases, words",
    [
        ([(PANEL, True), (PANEL, False), (SCENE, False)], "1 of the panel's tests .* were skipped: t"),
        ([(PANEL, False)], "rendering and stand-in tests .* were not run"),
        ([(SCENE, False)], "the panel's tests .* were not run"),
        ([(PANEL, False), (SCENE, True)], "1 of the rendering"),
    ],
)
def test_a_skipped_or_absent_panel_test_is_trouble(tmp_path, cases, words):
    import re

    assert re.search(words, outcome.panel_trouble([report(tmp_path, *cases)]))


def test_no_report_is_trouble(tmp_path):
    assert "nothing ran" in outcome.panel_trouble([tmp_path / "none.xml"])


def test_missing_system_libraries_come_with_the_line_that_installs_them():
    found = system_libraries.missing("linux", loads=lambda name: "EGL" not in name)
    assert found == [("libEGL.so.1", "libegl1"), ("libEGL_mesa.so.0", "libegl-mesa0")]
    assert "sudo apt install libegl1 libegl-mesa0" in system_libraries.advice(found)
    assert system_libraries.missing("linux", loads=lambda name: True) == []
    assert system_libraries.missing("darwin", loads=lambda name: False) == []


@pytest.mark.parametrize("command, words", [("demo", "--bundle"), ("test", "--require-panel")])
def test_help_needs_no_environment(command, words):
    done = subprocess.run(
        [sys.executable, TESTING / "run.py", command, "--help"], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0 and words in done.stdout


def test_the_demo_leaves_a_segmentation_a_picture_and_a_record_and_nothing_else(tmp_path):
    write_tiny_ct(tmp_path / "scan.nii.gz")
    write_tiny_bundle(tmp_path / "tiny")
    output = tmp_path / "out"
    command = [sys.executable, TESTING / "runner" / "demo.py", "--input", tmp_path / "scan.nii.gz"]
    command += ["--bundle", tmp_path / "tiny", "--output", output]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, env=environment, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in output.iterdir()) == ["overview.png", "run.json", "scan.seg.nrrd"]
    assert "Patches read: 4 of 80" in done.stdout
    assert all(words in done.stdout for words in ("cold worker", "warm worker", "first labels", "peak memory"))


@pytest.mark.parametrize("codes, expected", [([0, 0, 0], 0), ([0, 5, 0], 0), ([5, 5], 5), ([0, 1, 5], 1), ([2, 1], 2)])
def test_several_runs_of_pytest_have_one_exit_code(codes, expected):
    assert outcome.exit_code(codes) == expected
