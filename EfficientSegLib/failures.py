"""Any exception in words: what a worker or a command says when something ends badly."""

import errno

from EfficientSegLib.errors import EfficientSegError
from EfficientSegLib.protocol import Failed
from EfficientSegLib.resources import available_memory_mb, size_text

_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate", "bad_alloc", "unable to allocate")
_MEMORY_WORDS += ("alloc_failed",)  # CUDNN_STATUS_ALLOC_FAILED and its like


class Stopped(EfficientSegError):
    """Asked to stop before there was anything to keep."""

    def __init__(self) -> None:
        super().__init__(
            "Stopped before there was a result.",
            why="The overview of the whole volume was not finished.",
            mend="Nothing was changed. Start again when you like.",
        )


def explain(error: BaseException) -> Failed:
    """What, why and how to mend, for every exception."""
    if isinstance(error, EfficientSegError):
        return Failed(error.what, error.why, error.mend, cancelled=isinstance(error, Stopped))
    text = str(error).strip()
    first_line = text.splitlines()[0] if text else "no reason given"
    if is_memory(error):
        return Failed(
            "The memory did not suffice.",
            f"{size_text(available_memory_mb())} are free now. {type(error).__name__}: {first_line}",
            "Close other programs, crop the volume, read fewer patches, or choose another device.",
        )
    if isinstance(error, ImportError) or (isinstance(error, OSError) and "torch" in text):
        return _explain_import(error, first_line)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Failed("The disk is full.", f"{first_line}.", "Free some space, or choose another folder.")
    if isinstance(error, OSError):
        return Failed(
            f"A file cannot be used: {error.filename or first_line}.",
            f"{error.strerror or first_line}.",
            "Check that the folder exists and may be written to.",
        )
    return Failed(
        f"Something unexpected happened: {first_line}",
        f"{type(error).__name__}, in EfficientSeg or a library it uses.",
        "Look at the log; if it happens again, please report it with the log.",
    )


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the CPU or on a GPU."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _MEMORY_WORDS)


def _explain_import(error: BaseException, first_line: str) -> Failed:
    name = getattr(error, "name", None) or "torch"
    if isinstance(error, ModuleNotFoundError):
        return Failed(
            f"The Python package {name} is missing.",
            "The background process's Python does not have it.",
            "Install it: in Slicer through the panel's set-up button, elsewhere with pip.",
        )
    return Failed(
        f"The Python package {name} is there, and cannot be loaded.",
        f"{type(error).__name__}: {first_line}",
        "Install it again; a download that was cut off or versions that do not match are the usual reasons.",
    )
