"""One core works through a list of jobs; start one such process per core, all on the same list.

    python Testing/benchmarks/evidence/train_all.py --jobs FOLDER/jobs.txt --core 0

Each line of the list is `NAME: command`, run without a shell. The list is read again before each job, so it may grow
while it is worked on. A job leaves `NAME.log` and, once it succeeded, `NAME.done` beside the list; `NAME.claim` says
who works on it. After a kill the same command goes on: jobs of dead workers are free again, and trainings resume.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

IDLE_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", required=True, type=Path)
    parser.add_argument("--core", required=True, type=int)
    parser.add_argument("--nice", type=int, default=0, help="added to the priority; negative where the system permits")
    parser.add_argument("--wait", action="store_true", help="do not end with the list, but wait for new lines")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {given.core})
    os.nice(given.nice)
    while True:
        job = next((job for job in _jobs(given.jobs) if _claim(given.jobs.parent / f"{job[0]}.claim")), None)
        if job:
            _run(*job, given.jobs.parent)
        elif not given.wait:
            return
        else:
            time.sleep(IDLE_SECONDS)


def _jobs(path: Path) -> Iterator[tuple[str, list[str]]]:
    """What is neither done nor failed, in order."""
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, command = line.partition(":")
        ended = any((path.parent / f"{name}.{how}").exists() for how in ("done", "failed"))
        if command.strip() and not line.startswith("#") and not ended:
            yield name.strip(), shlex.split(command)


def _claim(path: Path) -> bool:
    """Whether the job is ours from now on."""
    if path.exists() and not _alive(path):
        path.unlink(missing_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(str(os.getpid()))
        return True
    except FileExistsError:
        return False


def _alive(path: Path) -> bool:
    try:
        os.kill(int(path.read_text(encoding="utf-8") or 0), 0)
        return True
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True  # another's process, or the file is just being written


def _run(name: str, command: list[str], folder: Path) -> None:
    started = time.monotonic()
    with open(folder / f"{name}.log", "ab") as log:
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        code = subprocess.run(command, stdout=log, stderr=log, env={**os.environ, **threads}, check=False).returncode
    how = "failed" if code else "done"
    (folder / f"{name}.{how}").write_text(f"{code} {time.monotonic() - started:.0f} s\n", encoding="utf-8")
    (folder / f"{name}.claim").unlink(missing_ok=True)
    print(f"{time.strftime('%H:%M:%S')} {name}: {how}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
