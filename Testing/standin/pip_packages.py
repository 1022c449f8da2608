"""`slicer.packaging`: answers what is installed; never installs, but keeps in `requests` what was asked for."""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path

import slicer
from packaging.requirements import Requirement

requests: list[tuple[str, list[str]]] = []


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def pip_check(requirements: str | Requirement | list[str | Requirement]) -> bool:
    """True if every requirement is met by what is installed."""
    return not _missing(requirements)


def pip_ensure(
    requirements,
    constraints=None,
    prompt_install=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
    prompt_restart=True,
    skip_packages=None,
) -> list[str] | None:
    """Note what is missing; RuntimeError if the user, asked outside testing mode, declines."""
    missing = [str(requirement) for requirement in _missing(requirements)]
    if not missing:
        return None
    if skip_in_testing and slicer.app.testingEnabled():
        logging.info("Testing mode: pip_ensure skipped for %s", missing)
        return None
    if prompt_install and not slicer.util.confirmOkCancelDisplay(f"Install {', '.join(missing)}?"):
        raise RuntimeError("User declined package installation")
    requests.append(("pip_ensure", missing))
    return None


def pip_install(
    requirements,
    constraints=None,
    no_deps_requirements=None,
    skip_packages=None,
    blocking=True,
    show_progress=True,
    requester=None,
    parent=None,
    logCallback=None,
    completedCallback=None,
) -> None:
    requests.append(("pip_install", [requirements] if isinstance(requirements, str) else list(requirements)))
    if completedCallback and not blocking:
        completedCallback(0)


def pip_uninstall(requirements, **kwargs: object) -> None:
    requests.append(("pip_uninstall", [requirements] if isinstance(requirements, str) else list(requirements)))


def _missing(requirements: str | Requirement | list[str | Requirement]) -> list[Requirement]:
    given = [requirements] if isinstance(requirements, str | Requirement) else requirements
    wanted = [item if isinstance(item, Requirement) else Requirement(item) for item in given]
    return [item for item in wanted if not _met(item)]


def _met(requirement: Requirement) -> bool:
    if requirement.marker and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False
