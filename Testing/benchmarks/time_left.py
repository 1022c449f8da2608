"""How well the time that is left is told: what `Progress.seconds_left` said, beside what was left in truth.

    python Testing/benchmarks/time_left.py [--bundle demo-ct] [--patches 20] [--repeat 3]
    python Testing/benchmarks/time_left.py --random 256 --patches 10
    python Testing/benchmarks/time_left.py --strategy sliding_window
    python Testing/benchmarks/time_left.py --bundle demo-ct-slices

Runs that go on follow by themselves: patches over one place (Refine here), then as many further ones (More).

With `--random N` the paper's U-Nets with random weights (20 labels, patches of 128 voxels) read N^3 voxels of noise:
the worst case for labels, since no two voxels agree. Every request goes to one warm worker, as the panel's do. On a
machine that others use, how much they take changes faster than anybody could foresee: `--processor` runs in this
process and counts the processor's seconds instead, on one thread.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

if "--processor" in sys.argv:
    time.perf_counter = time.monotonic = time.process_time  # before anything takes it as its clock

import numpy as np
import SimpleITK as sitk
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from worker_client import WorkerClient  # noqa: E402

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib import job, networks, strategies  # noqa: E402
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights  # noqa: E402
from EfficientSegLib.commands.segment import find_bundle, patches_number  # noqa: E402
from EfficientSegLib.geometry import PatchBox  # noqa: E402
from EfficientSegLib.kept import ModelKeeper, RunKeeper  # noqa: E402
from EfficientSegLib.protocol import Event, Failed, Finished, Pace, Progress, Ready, Request  # noqa: E402
from EfficientSegLib.volume import Volume, read, write  # noqa: E402

SAMPLE = ROOT / "Resources" / "SampleData" / "ts_ct_full.nii.gz"
LABELS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="demo-ct")
    parser.add_argument("--input", default=str(SAMPLE))
    parser.add_argument("--random", type=int, metavar="N", help="the paper's networks, random weights, N^3 voxels")
    parser.add_argument("--patches", type=patches_number, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor", action="store_true", help="count the processor's seconds, in this process")
    parser.add_argument("--strategy", help="instead of the bundle's")
    parser.add_argument("--grid", metavar="I,J,K", help="resample the input to so many voxels first")
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.random:
            bundle, image = random_bundle(Path(folder) / "bundle"), Path(folder) / "noise.nrrd"
            write_noise(image, given.random)
        else:
            bundle, image = bundles.load(find_bundle(given.bundle)), Path(given.input)
        if given.grid:
            image = resampled(image, tuple(int(text) for text in given.grid.split(",")), Path(folder) / "large.nrrd")
        strategy = given.strategy or bundle.strategy.name
        chooses = strategies.can_continue(strategy)
        budget = {"top_k": given.patches, "clip_top_k": True, "skip_background": False}
        request = Request(
            input=str(image),
            output_dir=str(Path(folder) / "out"),
            bundle=bundle.folder,
            strategy=strategy,
            options=budget if chooses else {},
            threads=given.threads,
            save_segmentation=False,
            keep=True,
        )
        runner = InProcess() if given.processor else Warm()
        for _ in range(given.repeat):
            end = _run(runner, request)
        if not chooses:
            return
        print("Refine here:")
        shape = read(image).array.shape[1:]
        place = PatchBox((0, 0, 0), tuple(length // 3 for length in shape))
        end = _run(runner, replace(request, continue_from=end.run_id, first=(place,), only_first=True))
        print("More:")
        more = replace(request, options={**budget, "top_k": 2 * end.patches_read})
        _run(runner, replace(more, continue_from=end.run_id))


def resampled(image: Path, shape: tuple[int, int, int], path: Path) -> Path:
    """The image on a finer or coarser grid, written to `path`."""
    scan = sitk.ReadImage(str(image))
    spacing = [length * step / new for length, step, new in zip(scan.GetSize(), scan.GetSpacing(), shape)]
    pose = scan.GetOrigin(), spacing, scan.GetDirection()
    new = sitk.Resample(scan, shape, sitk.Transform(), sitk.sitkLinear, *pose, -1000, scan.GetPixelID())
    sitk.WriteImage(new, str(path))
    return path


class Warm:
    """A worker, as the panel has it."""

    def __init__(self) -> None:
        self._worker = WorkerClient()
        self._worker.until(Ready)

    def ask(self, request: Request) -> list[tuple[float, Event]]:
        """Events with their times."""
        since = len(self._worker.times)
        self._worker.send(request)
        self._worker.until(Finished, Failed)
        return self._worker.times[since:]


class InProcess:
    """The same without a worker."""

    def __init__(self) -> None:
        self._models, self._runs = ModelKeeper(), RunKeeper()

    def ask(self, request: Request) -> list[tuple[float, Event]]:
        """Events with their times."""
        told = []

        def emit(event: Event) -> None:
            told.append((time.monotonic(), event))

        emit(job.run(request, emit, self._models, lambda: False, self._runs).finished)
        return told


def _run(runner: Warm | InProcess, request: Request) -> Finished:
    """One run; prints the error of what was said after each patch, and the paces."""
    told = runner.ask(request)
    ended, end = told[-1]
    if isinstance(end, Failed):
        sys.exit(f"{end.what}\n{end.why}\n{end.mend}")
    print(f"{end.seconds:8.2f} s, {end.patches_read} patches")
    timed = [
        (event.done, event.seconds_left, ended - at)
        for at, event in told
        if isinstance(event, Progress) and event.stage in ("patches", "slices") and event.seconds_left is not None
    ]
    for done, said, truth in timed:
        print(f"  after patch {done:3}: said {said:7.2f} s, were {truth:7.2f} s ({100 * (said / truth - 1):+.0f} %)")
    late = [abs(said / truth - 1) for done, said, truth in timed[2:]]
    if late:
        print(
            f"  from the third on: largest error {100 * max(late):.0f} %, median {100 * float(np.median(late)):.0f} %"
        )
    for at, event in told:
        if isinstance(event, Pace):
            print(f"  {event} {ended - at:.2f} s before the end")
    return end


def random_bundle(folder: Path) -> Bundle:
    """The paper's NMSW with U-Nets, 20 labels, weights as they are drawn before any training."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    model = networks.build("nmsw", {}, 1, LABELS + 1)
    torch.save(model.state_dict(), folder / "weights.pt")
    bundle = Bundle(
        schema=bundles.SCHEMA,
        name="random",
        version="1",
        title="Random weights, for measurements of time",
        modality="CT",
        channels=("CT",),
        labels=tuple(Label(value, f"Label {value}", (value, value, value)) for value in range(1, LABELS + 1)),
        preprocess=Preprocess("RAS", (1.5, 1.5, 1.5), Intensity("window", -1000, 1000)),
        network=Component("nmsw", {}),
        strategy=Component("nmsw", {}),
        weights=Weights("weights.pt", bundles.checksum(folder / "weights.pt")),
        licence=Licence("CC0-1.0", "none", "measurements"),
        folder=str(folder),
    )
    bundles.save(bundle, folder)
    return bundle


def write_noise(path: Path, length: int) -> None:
    """A cube of noise on the bundle's own spacing."""
    values = np.random.default_rng(0).integers(-1000, 1000, (1, length, length, length)).astype(np.int16)
    write(Volume(values, (1.5, 1.5, 1.5), (0.0, 0.0, 0.0), ((-1, 0, 0), (0, -1, 0), (0, 0, 1))), path)


if __name__ == "__main__":
    main()
