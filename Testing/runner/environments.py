"""A virtual environment that is made once, reused when whole, and made again when not."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

STAMP = "efficientseg.json"  # inside the environment: which groups are installed


class SetUpError(Exception):
    """The environment cannot be made; the text says why and what to do."""


@dataclass(frozen=True)
class Group:
    """Packages installed together. Of several choices the first that this platform has is taken."""

    name: str
    choices: tuple[tuple[str, ...], ...]
    pip_options: tuple[str, ...] = ()
    optional: str = ""  # what is lost without it; "" for what cannot be missing


# Torch is pinned to what was measured; macOS on Intel and older systems take the newest they have.
TORCH = Group("torch", (("torch==2.13.0",), ("torch>=2.2",), ("torch>=2.2", "numpy<2")))
DEMO = (TORCH, Group("demo", (("numpy>=1.24", "SimpleITK>=2.3", "matplotlib>=3.7", "tqdm>=4.60"),)))
TEST = (
    *DEMO,
    Group("tests", (("pytest>=8", "ruff>=0.6", "psutil>=5.9"),)),
    # monai alone: its newest release would replace an older torch
    Group("comparison", (("monai>=1.5", "einops>=0.6"),), ("--no-deps",)),
    # torchvision of that very torch; timm imports nothing else that is not here already
    Group(
        "encoders",
        (("torchvision==0.28.0", "timm>=1.0.11"),),
        ("--no-deps",),
        optional="the tests of SegMate's larger encoders",
    ),
    Group("cluster", (("distributed>=2024.1",),), optional="the tests of many studies on several machines"),
    Group(
        "panel",
        (("slicer-core>=5.13", "PySide6-Essentials>=6.6"),),
        optional="the tests of the Slicer panel and of rendering",
    ),
    Group("scene", (("trame-slicer>=2.0",),), ("--no-deps",), optional="the rendering tests"),
)


@dataclass
class _State:
    """What the stamp remembers."""

    python: str = ""
    groups: dict[str, list] = field(default_factory=dict)


def prepare(folder: Path, groups: Sequence[Group], pip_arguments: Sequence[str] = ()) -> Path:
    """The Python of an environment that has the groups; says what it does when there is something to do.

    Raises:
        SetUpError: it cannot be made.
    """
    python = interpreter(folder)
    state = _read(folder)
    if state is None or state.python != sys.version or not _works(python):
        _create(folder)
        state = _State(sys.version)
        _write(folder, state)
    for group in groups:
        wanted = [list(map(list, group.choices)), list(group.pip_options)]
        if state.groups.get(group.name) == wanted:
            continue
        if _install(python, group, pip_arguments):
            state.groups[group.name] = wanted
            _write(folder, state)
    return python


def interpreter(folder: Path) -> Path:
    """Where an environment's Python lies."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _create(folder: Path) -> None:
    if folder.exists():
        print(f"{folder.name} is not whole, or of another Python: making it again.", flush=True)
        shutil.rmtree(folder)
    print(f"Making the virtual environment {folder} (once; delete the folder to be rid of it).", flush=True)
    done = _run([sys.executable, "-m", "venv", str(folder)])
    if done.returncode and _run([sys.executable, "-m", "virtualenv", str(folder)]).returncode:
        shutil.rmtree(folder, ignore_errors=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        said = (done.stdout + done.stderr).strip()
        cure = (
            f"This Python comes without ensurepip. On Debian and Ubuntu: sudo apt install python{version}-venv"
            if "ensurepip" in said
            else "Check that this folder may be written to and that the disk has some gigabytes free."
        )
        raise SetUpError(f"The virtual environment {folder} could not be made.\n{said[-600:]}\n{cure}")


def _install(python: Path, group: Group, pip_arguments: Sequence[str]) -> bool:
    """Install the first choice that can be; False where none can and the group is optional."""
    for choice in group.choices:
        print(f"Installing {', '.join(choice)} ({group.name}) …", flush=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        done = _run([*command, *group.pip_options, *pip_arguments, *choice])
        if done.returncode == 0 and _imports_torch(python, group):
            return True
    said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:])
    if group.optional:
        print(f"Without {', '.join(group.choices[-1])}: {group.optional} cannot run here.\n{said}", flush=True)
        return False
    raise SetUpError(
        f"pip could not install {', '.join(group.choices[-1])}.\n{said}\n"
        "Check the network, or how pip is configured (pip config list). --pip-args passes arguments on to pip, "
        'for example --pip-args "--proxy http://…" or --pip-args "--find-links FOLDER".'
    )


def _imports_torch(python: Path, group: Group) -> bool:
    """Whether torch, just installed, really works with the numpy beside it: old ones do not with numpy 2."""
    if group.name != "torch":
        return True
    code = "import torch; torch.zeros(1).numpy() if __import__('importlib.util').util.find_spec('numpy') else 0"
    return _run([str(python), "-c", code]).returncode == 0


def _works(python: Path) -> bool:
    return python.exists() and _run([str(python), "-m", "pip", "--version"]).returncode == 0


def _run(command: list[str]) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _read(folder: Path) -> _State | None:
    try:
        return _State(**json.loads((folder / STAMP).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(folder: Path, state: _State) -> None:
    part = folder / f"{STAMP}.part"
    part.write_text(json.dumps(vars(state)), encoding="utf-8")
    part.replace(folder / STAMP)
