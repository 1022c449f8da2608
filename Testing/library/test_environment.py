"""The environment that workers are started with, and who lives."""

import os
import subprocess
import sys
import time

from EfficientSegLib.environment import ROOT, cores, is_running, worker_environment


def test_the_library_comes_first_and_the_given_environment_is_not_changed():
    base = {"PYTHONPATH": os.pathsep.join(["/other", str(ROOT)]), "HOME": "/home/ö"}
    made = worker_environment(base)
    assert made["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/other"]
    assert made["HOME"] == "/home/ö" and base["PYTHONPATH"].startswith("/other")


def test_an_external_python_is_not_misled_by_slicers():
    base = {"PYTHONHOME": "/Slicer/lib/Python", "PYTHONPATH": "/Slicer/site-packages", "PYTHONNOUSERSITE": "1"}
    made = worker_environment(base, external=True)
    assert "PYTHONHOME" not in made and "PYTHONNOUSERSITE" not in made
    assert made["PYTHONPATH"] == str(ROOT)


def test_allocator_settings_are_for_linux_and_yield_to_the_users_own():
    assert worker_environment({}, platform="linux")["MALLOC_MMAP_MAX_"] == "0"
    assert worker_environment({"MALLOC_MMAP_MAX_": "9"}, platform="linux")["MALLOC_MMAP_MAX_"] == "9"
    assert not any(name.startswith("MALLOC") for name in worker_environment({}, platform="win32"))


def test_a_started_python_speaks_utf_8_whatever_the_locale_and_finds_the_library(tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('a file of the current folder was imported')")
    code = "import EfficientSegLib, importlib.util as u; print(EfficientSegLib.__file__, 'Ωé'); u.find_spec('torch')"
    environment = worker_environment({**os.environ, "LC_ALL": "C"})
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True)
    assert done.stdout.decode("utf-8").split() == [str(ROOT / "EfficientSegLib" / "__init__.py"), "Ωé"]


def test_the_living_and_the_dead_are_told_apart_even_uncollected():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert is_running(process.pid) and is_running(os.getpid())
    process.kill()
    last = time.monotonic() + 10
    while is_running(process.pid) and time.monotonic() < last:  # nobody has waited for it yet
        time.sleep(0.02)
    assert not is_running(process.pid)
    process.wait()


def test_there_is_a_core():
    assert 1 <= cores() <= (os.cpu_count() or 1)
