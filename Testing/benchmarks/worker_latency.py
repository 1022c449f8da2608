"""How long a user waits, and what the worker takes: `python Testing/benchmarks/worker_latency.py --bundle demo-ct`.

Measures, never judges: from the click to Ready, to the first labels and to the end, with a new and with a warm worker;
from Cancel to the end of the run; the longest silence; peak memory beside the estimate.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from worker_client import WorkerClient  # noqa: E402

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib.commands.segment import find_bundle, patches_number, strategy_options  # noqa: E402
from EfficientSegLib.protocol import Event, Failed, Finished, Partial, Progress, Ready, Request  # noqa: E402
from EfficientSegLib.resources import estimate_memory_mb  # noqa: E402
from EfficientSegLib.volume import read  # noqa: E402

SAMPLE = ROOT / "Resources" / "SampleData" / "ts_ct_full.nii.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="demo-ct")
    parser.add_argument("--input", default=str(SAMPLE))
    parser.add_argument("--patches", type=patches_number, default=None)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    bundle = bundles.load(find_bundle(given.bundle))
    options = strategy_options(given.patches)
    with tempfile.TemporaryDirectory() as folder:
        request = Request(
            input=given.input,
            output_dir=str(Path(folder) / "out"),
            bundle=bundle.folder,
            options=options,
            threads=given.threads,
            save_segmentation=False,
        )
        began = time.monotonic()
        with WorkerClient() as worker:
            worker.until(Ready)
            ready = time.monotonic() - began
            print(f"{'ready':12}{ready:10.2f} s after the start")
            print(f"{'':12}{'first labels':>14}{'end':>10}{'longest silence':>18}{'peak memory':>14}{'patches':>10}")
            _row("cold", worker, request, began)
            _row("warm", worker, request, time.monotonic())
            _cancel(worker, replace(request, options={**options, "top_k": None}), Path(folder) / "cancel")
    volume = read(given.input)
    estimate = estimate_memory_mb(volume.shape, volume.spacing_mm, bundle, options)
    print(f"{'estimate':12}{estimate:10.0f} MB for {' × '.join(map(str, volume.shape))} voxels, {os.cpu_count()} cores")


def _row(name: str, worker: WorkerClient, request: Request, began: float) -> None:
    """One run, from `began` on."""
    end, times = _run(worker, request, began)
    first = next((at for at, event in times if isinstance(event, Partial)), times[-1][0])
    moments = [began, *(at for at, _ in times)]
    silence = max(later - earlier for earlier, later in pairwise(moments))
    print(
        f"{name:12}{first - began:12.2f} s{times[-1][0] - began:8.2f} s{silence:16.2f} s{end.peak_memory_mb:11.0f} MB"
        f"{end.patches_read:10}"
    )


def _run(worker: WorkerClient, request: Request, began: float) -> tuple[Finished, list[tuple[float, Event]]]:
    worker.send(request)
    end = worker.until(Finished, Failed)[-1]
    if isinstance(end, Failed):
        sys.exit(f"{end.what}\n{end.why}\n{end.mend}")
    return end, [(at, event) for at, event in worker.times if at >= began]


def _cancel(worker: WorkerClient, request: Request, cancel: Path) -> None:
    """Cancel after the first patch of all there are."""
    worker.send(replace(request, cancel_file=str(cancel)))
    while not (isinstance(event := worker.next(), (Progress, Finished)) and getattr(event, "done", 1) >= 1):
        pass
    cancel.touch()
    asked = time.monotonic()
    end = event if isinstance(event, Finished) else worker.until(Finished, Failed)[-1]
    if isinstance(end, Finished):
        waited = time.monotonic() - asked
        print(
            f"{'cancel':12}{waited:10.2f} s until the result so far, {end.patches_read} of {end.patches_total} patches"
        )


if __name__ == "__main__":
    main()
