"""The packages that the worker needs in Slicer's Python: which are missing, and installing them after asking.

Nothing is imported to find out, and nothing is installed without a yes. torch comes through the PyTorch extension,
which picks the build for the GPU's driver; a plain pip install would not.
"""

import importlib.metadata
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import slicer

from EfficientSegBridge import pip_words
from EfficientSegBridge.translation import _
from EfficientSegLib.environment import ROOT
from EfficientSegLib.errors import EfficientSegError

REQUIREMENTS = ROOT / "Resources" / "requirements.txt"
MODULES = {"simpleitk": "SimpleITK"}  # where a package's module has another name


class InstallError(EfficientSegError):
    """A package could not be installed."""


def requirements(path: Path = REQUIREMENTS) -> list[str]:
    """The lines of requirements.txt that name a package."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def packageName(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()


def missing() -> list[str]:
    """Requirements without metadata or without a module in Slicer's own Python; nothing is imported."""
    found = []
    for requirement in requirements():
        name = packageName(requirement)
        try:
            importlib.metadata.version(name)
            present = importlib.util.find_spec(MODULES.get(name, name)) is not None
        except importlib.metadata.PackageNotFoundError:
            present = False
        if not present:
            found.append(requirement)
    return found


def install(ask: Callable[[str], bool], wanted: list[str] | None = None) -> bool:
    """Install what is missing, after asking once.

    Args:
        ask: shown what will be installed; True to go on.
        wanted: requirements to install; None: those of `missing`.

    Returns:
        False if the answer was no.

    Raises:
        InstallError: the PyTorch extension is missing, or an installation failed.
    """
    wanted = missing() if wanted is None else wanted
    if not wanted:
        return True
    names = ", ".join(packageName(requirement) for requirement in wanted)
    question = _(
        "EfficientSeg needs {names} in Slicer's Python. They are downloaded from their package index (PyTorch: 0.2 to "
        "3 GB, several minutes). Nothing about your data is sent.\n\nInstall now?"
    ).format(names=names)
    if not ask(question):
        return False
    for requirement in wanted:
        if packageName(requirement) == "torch":
            _installTorch(requirement)
    others = [requirement for requirement in wanted if packageName(requirement) != "torch"]
    if others:
        _installOthers(others)
    importlib.invalidate_caches()
    return True


def _installTorch(requirement: str) -> None:
    try:
        import PyTorchUtils
    except ImportError as error:
        raise InstallError(
            _("PyTorch cannot be installed yet."),
            why=_("It is installed by the PyTorch extension, which is not here."),
            mend=_(
                "Install PyTorch in the Extensions Manager and restart Slicer, or choose another Python under Advanced."
            ),
        ) from error
    version = requirement[len("torch") :].strip() or None
    try:
        installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=False, torchVersionRequirement=version
        )
    except Exception as error:  # pip's failures have no common type
        raise failed("PyTorch", error) from error
    if installed is None:
        raise failed("PyTorch", RuntimeError(_("the PyTorch extension gave up")))


def _installOthers(others: list[str]) -> None:
    try:
        if importlib.util.find_spec("slicer.packaging"):  # from Slicer 5.12; does nothing in testing mode
            from slicer.packaging import pip_ensure

            pip_ensure(others, requester="EfficientSeg", prompt_install=False)
        else:
            slicer.util.pip_install(others)
    except Exception as error:  # pip's failures have no common type
        raise failed(", ".join(packageName(requirement) for requirement in others), error) from error


def failed(names: str, error: object) -> InstallError:
    """An installation that failed, with the reason as far as pip's words tell it."""
    kind = pip_words.explain(str(error))
    last = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
    return InstallError(
        _("{names} could not be installed.").format(names=names),
        why=f"{kind.why} ({last.rstrip('.')}.)" if last else kind.why,
        mend=kind.mend,
    )
