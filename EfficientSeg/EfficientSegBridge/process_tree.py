"""Processes by number: whose child is whose, and ending one with all its children.

PythonSlicer is a launcher: ending it alone would leave the worker behind. psutil is not in Slicer's Python.
"""

import os
import signal
import subprocess
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, nearest first. On Windows empty: `endTree` leaves it to taskkill."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    found, waiting = [], [pid]
    while waiting:
        for child in children.get(waiting.pop(0), []):
            if child not in found:
                found.append(child)
                waiting.append(child)
    return found


def endTree(*pids: int) -> None:
    """End these processes and all their children, at once and without asking them."""
    if os.name == "nt":
        for pid in pids:
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(pid)],
                capture_output=True,
                check=False,
                creationflags=subprocess.CREATE_NO_WINDOW,
            )
        return
    # All are found before the first is ended: an orphan's parent can no longer be told.
    everyone = [pid for root in pids for pid in (root, *descendants(root))]
    for pid in dict.fromkeys(everyone):
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _parents() -> dict[int, int]:
    """Parent of each process."""
    if os.name == "nt":
        return {}
    if Path("/proc/self/stat").exists():
        parents = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    parents[int(folder.name)] = int(_stat(int(folder.name))[1])
                except (OSError, IndexError, ValueError):
                    continue  # it ended while we looked
        return parents
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    return {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines() if line.strip())}


def _stat(pid: int) -> list[str]:
    """State, parent and the rest of Linux's /proc/pid/stat; the name before them may hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
