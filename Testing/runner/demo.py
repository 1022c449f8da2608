"""The demo: the sample CT through the background worker, twice, with a picture. Run.py starts it in its environment."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib import protocol  # noqa: E402
from EfficientSegLib.commands.terminal import ProgressBar, show_error  # noqa: E402
from EfficientSegLib.environment import worker_environment  # noqa: E402

SAMPLE = ROOT / "Resources" / "SampleData" / "ts_ct_full.nii.gz"
BUNDLE = ROOT / "Resources" / "Bundles" / "demo-ct"


@dataclass
class Run:
    """One request: its end, and the seconds from the click."""

    end: protocol.Finished | protocol.Failed | None = None
    first_labels: float = 0.0
    total: float = 0.0


def main() -> int:
    """Segment the CT with a cold and a warm worker, and say how long it took; the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", type=Path, default=SAMPLE)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".run-", dir=given.output))
    request = protocol.Request(
        input=str(given.input),
        output_dir=str(scratch),
        bundle=str(given.bundle),
        cancel_file=str(scratch.with_suffix(".cancel")),
        parent_pid=os.getpid(),
        temporary=True,
    )
    print(f"{given.input.name} with the bundle {given.bundle.name}, through the background worker.")
    try:
        began = time.perf_counter()
        with _worker() as worker:
            print("Cold: the worker starts, loads its libraries and the model.")
            cold = _ask(worker, request, began)
            warm = _second(worker, request, cold)
        code = _leave(warm if isinstance(warm.end, protocol.Finished) else cold, given)
        if code == 0:
            _tell(cold, warm)
        return code
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        Path(request.cancel_file).unlink(missing_ok=True)


@contextmanager
def _worker() -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "EfficientSegLib.worker"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=worker_environment(os.environ),
        encoding="utf-8",
        errors="replace",
    )
    try:
        yield process
        if process.poll() is None:
            _say(process, protocol.Shutdown())
            process.wait(10)
    finally:
        process.kill()
        process.wait()


def _say(worker: subprocess.Popen, message: protocol.Request | protocol.Shutdown) -> None:
    worker.stdin.write(protocol.encode_request(message) + "\n")
    worker.stdin.flush()


def _second(worker: subprocess.Popen, request: protocol.Request, cold: Run) -> Run:
    if not isinstance(cold.end, protocol.Finished) or not cold.end.complete:
        return Run()
    print("Warm: the same worker again.")
    return _ask(worker, request, time.perf_counter())


def _ask(worker: subprocess.Popen, request: protocol.Request, began: float) -> Run:
    """Send a request and follow it to its end; Ctrl-C asks for an early one."""
    _say(worker, request)
    run, bar = Run(), ProgressBar()
    while run.end is None:
        try:
            line = worker.stdout.readline()
        except KeyboardInterrupt:
            Path(request.cancel_file).touch()
            continue
        if not line:
            run.end = protocol.Failed(
                f"The worker ended with code {worker.wait()} and without a word.",
                "It was killed, or ran out of memory.",
                "Look at its messages above.",
            )
            break
        event = protocol.decode(line.rstrip("\n"))
        if event is None:
            continue
        bar(event)
        if isinstance(event, protocol.Partial) and not run.first_labels:
            run.first_labels = time.perf_counter() - began
        if isinstance(event, (protocol.Finished, protocol.Failed)):
            run.end = event
            run.total = time.perf_counter() - began
    bar.close()
    return run


def _leave(run: Run, given: argparse.Namespace) -> int:
    """Put the results where they stay, and draw the picture."""
    if isinstance(run.end, protocol.Failed):
        show_error(run.end)
        return 1
    import numpy as np

    from EfficientSegLib.evaluation.figures import overview_from_record
    from EfficientSegLib.volume import read

    stem = given.input.name.split(".")[0]
    volume, bundle = read(given.input), bundles.load(given.bundle)
    record = json.loads(Path(run.end.record).read_text(encoding="utf-8"))
    overview_from_record(volume, np.load(run.end.labels), bundle, record, given.output / "overview.png")
    os.replace(run.end.segmentation, given.output / f"{stem}.seg.nrrd")
    os.replace(run.end.record, given.output / "run.json")
    for name, millilitres in record["volumes_ml"].items():
        print(f"  {name:28} {millilitres:9.1f} ml" if millilitres else f"  {name:28}  not found")
    patches = record["patches"]
    read = f"{patches['unit'].capitalize()} read: {patches['read']} of {patches['candidates']}."
    print(f"{read} Research only, not for diagnosis.")
    print(f"Written to {given.output}: {stem}.seg.nrrd (drag it into 3D Slicer), overview.png, run.json")
    return 0


def _tell(cold: Run, warm: Run) -> None:
    print(f"{'':14}{'first labels':>14}{'end':>10}{'peak memory':>14}")
    for name, run in (("cold worker", cold), ("warm worker", warm)):
        if isinstance(run.end, protocol.Finished):
            print(f"{name:14}{run.first_labels:12.1f} s{run.total:8.1f} s{run.end.peak_memory_mb:11.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
