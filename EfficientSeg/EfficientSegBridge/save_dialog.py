"""Asks where to save a file; begins where the last one was saved."""

from pathlib import Path

import qt
import slicer

FOLDER = "EfficientSeg/SaveFolder"  # application setting


def askPath(title: str, name: str, ending: str, kind: str) -> str:
    """The path that the user chooses, with its ending; empty if he changes his mind.

    Args:
        title: of the dialog.
        name: proposed file name, without ending.
        ending: such as ".csv".
        kind: what such files are called.
    """
    folder = qt.QSettings().value(FOLDER) or str(Path.home())
    proposed = str(Path(folder) / f"{fileName(name)}{ending}")
    path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, proposed, f"{kind} (*{ending})")
    if not path:
        return ""
    path = path if path.lower().endswith(ending) else path + ending
    qt.QSettings().setValue(FOLDER, str(Path(path).parent))
    return path


def fileName(name: str) -> str:
    """A name without what file systems do not bear."""
    return "".join(" " if letter in '/\\:*?"<>|' else letter for letter in name).strip() or "EfficientSeg"
