"""The state of a training on disk: written in one step, refused when it belongs to another training."""

import io
import os
from pathlib import Path
from typing import Any

import torch

from EfficientSegLib.errors import TrainingError, VolumeError
from EfficientSegLib.files import replacing

FILE = "checkpoint.pt"


def save(state: dict[str, Any], folder: Path, name: str = FILE) -> None:
    """Replace the checkpoint, or another file of the same kind; a kill or a full disk leaves the one before as it was.

    Raises:
        TrainingError: it cannot be written.
    """
    content = io.BytesIO()
    torch.save(state, content)
    try:
        write(folder / name, content.getbuffer())
    except VolumeError as error:
        raise TrainingError(
            f"The checkpoint of step {state['step']} ({len(content.getbuffer()) / 1e6:.0f} MB) was not written.",
            why=error.why,
            mend=f"{error.mend} Then start the same command again: it goes on from the checkpoint before.",
        ) from error


def write(path: Path, content: bytes | memoryview) -> None:
    """Replace a file in one step, once the new one is on the disk.

    Raises:
        VolumeError: the disk is full, or the folder may not be written.
    """
    with replacing(path) as part, open(part, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def load(folder: Path, fingerprint: str, name: str = FILE) -> dict[str, Any] | None:
    """The state to go on from, or None where there is none.

    Raises:
        TrainingError: it is unreadable, or belongs to a training with other options.
    """
    path = folder / name
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{path} cannot be read.", why=f"{error}"[:200], mend="Remove it, or train without resuming."
        ) from error
    if state.get("fingerprint") != fingerprint:
        raise TrainingError(
            f"{path} belongs to another training.",
            why="Options or cases differ from those it was made with, so going on would mix two trainings.",
            mend="Restore the options, choose another output folder, or train without resuming.",
        )
    return state
