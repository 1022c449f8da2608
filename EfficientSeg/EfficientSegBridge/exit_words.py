"""Why a worker ended, in words: what happened, why, and how to mend it."""

from collections.abc import Sequence

from EfficientSegBridge.translation import _
from EfficientSegLib.protocol import Failed

# Killed by the system for want of memory: the signal as QProcess and as shells tell it, Windows' commit failures, and
# its access violation, which is how torch ends there when an allocation fails.
OUT_OF_MEMORY_CODES = {9, -9, 137, 0xC0000017, 0xC000012D, 0xC0000005}
CRASH_CODES = {6, 11, -6, -11, 134, 139}
# PythonSlicer is a launcher: what it started may be killed or crash; the launcher then ends with code 1 and this line.
LAUNCHER_WORDS = "exit abnormally"
MEMORY_WORDS = ("MemoryError", "not enough memory", "can't allocate memory", "bad_alloc", "out of memory")


def ended(code: int, crashed: bool, log: Sequence[str], memoryMb: float = 0.0) -> Failed:
    """A worker that ended during a run without saying so itself.

    Args:
        code: exit code, or the signal's number where QProcess calls it a crash.
        crashed: QProcess's opinion.
        log: the last lines.
        memoryMb: what its last heartbeat said that it holds; 0 if there was none.
    """
    unsigned = code & 0xFFFFFFFF
    last = next((line.strip() for line in reversed(log) if line.strip()), "")
    saidMemory = any(word.lower() in line.lower() for line in log[-20:] for word in MEMORY_WORDS)
    held = _(" It held {gigabytes:.1f} GB.").format(gigabytes=memoryMb / 1024) if memoryMb else ""
    smaller = _("Close other programs, crop the volume (Crop Volume module), or choose a smaller Effort.")
    if saidMemory or {code, unsigned} & OUT_OF_MEMORY_CODES:
        return Failed(
            _("The worker ran out of memory."),
            _("The system ended it (exit code {code}).").format(code=code) + held,
            smaller,
        )
    if any(LAUNCHER_WORDS in line for line in log[-20:]):
        return Failed(
            _("The worker ran out of memory or crashed."),
            _("The system ended it behind Slicer's launcher, which does not tell why.") + held,
            smaller,
        )
    if crashed or {code, unsigned} & CRASH_CODES:
        return Failed(
            _("The worker crashed."),
            _("It ended with code {code}, most often for want of memory or through a broken PyTorch.").format(
                code=code
            ),
            _("Try again with device cpu (Advanced). The log under Advanced tells more."),
        )
    return Failed(
        _("The worker ended by itself."),
        _("Exit code {code}. Its last words: {last}").format(code=code, last=last or _("none")),
        _("Look at the log under Advanced; reinstalling PyTorch mends most such ends."),
    )


def silent(seconds: float, ready: bool) -> Failed:
    """A worker that was ended by us because it said nothing."""
    if not ready:
        return Failed(
            _("The worker did not start within {seconds:.0f} s.").format(seconds=seconds),
            _("Python or PyTorch could not be loaded in that time."),
            _("Try again: the second start is faster. A virus scanner may be reading PyTorch's files."),
        )
    return Failed(
        _("The worker was silent for {seconds:.0f} s and was ended.").format(seconds=seconds),
        _("It speaks every two seconds when it is well."),
        _("Try again; if it happens again, choose device cpu (Advanced) and look at the log."),
    )


def stopped() -> Failed:
    """A worker that was ended because it did not stop when asked."""
    return Failed(
        _("The run was stopped."),
        _("The worker did not stop by itself and was ended."),
        _("Click Segment to start again."),
    )


def notStarted(program: str, reason: str) -> Failed:
    """A program that could not be started at all."""
    return Failed(
        _("{program} could not be started.").format(program=program),
        f"{reason}.",
        _("Choose another Python under Advanced, or clear that field to use Slicer's own."),
    )
