"""What a run costs the application's own process: `python Testing/benchmarks/panel_process.py`.

Measures, never judges, on the stand-in, with a drawn volume of 512 x 512 x 400 and 20 labels: how long each step holds
the main thread, and how much memory the process takes on top of the volume. Views are not rendered here.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "EfficientSeg"), str(ROOT / "Testing"), str(ROOT / "Testing" / "module")]

import standin  # noqa: E402

standin.start()

import numpy as np  # noqa: E402
import slicer  # noqa: E402
from bench import makeBundle, makeVolume  # noqa: E402

from EfficientSegBridge import nodes, preflight  # noqa: E402
from EfficientSegBridge.segments import LiveSegmentation  # noqa: E402
from EfficientSegBridge.torch_probe import TorchState  # noqa: E402
from EfficientSegLib.bundle import Label  # noqa: E402
from EfficientSegLib.geometry import PatchBox, whole  # noqa: E402
from EfficientSegLib.resources import current_memory_mb, peak_memory_mb  # noqa: E402

SHAPE = (512, 512, 400)
LABELS = 20
BOX = PatchBox((128, 128, 128), (256, 256, 256))


def timed(words: str, work: Callable[[], object]) -> object:
    began = time.perf_counter()
    result = work()
    print(f"{words:<46}{time.perf_counter() - began:8.3f} s")
    return result


def drawn_labels() -> np.ndarray:
    """Twenty blocks, label by label, as the worker hands them over: I fastest."""
    labels = np.zeros(SHAPE, np.uint8, order="F")
    for value in range(1, LABELS + 1):
        i, j = divmod(value - 1, 5)
        labels[100 + 70 * i : 160 + 70 * i, 80 + 70 * j : 140 + 70 * j, 40:360] = value
    return labels


def main() -> None:
    bundle = makeBundle(labels=[Label(v, f"Structure {v}", (v * 12, 255 - v * 12, 90)) for v in range(1, LABELS + 1)])
    array = np.random.default_rng(0).integers(-1000, 1000, SHAPE, dtype=np.int16)
    volume = makeVolume(shape=SHAPE, array=array)
    del array
    labels = drawn_labels()
    before = current_memory_mb()
    with tempfile.TemporaryDirectory() as folder:
        timed("write the volume for the worker", lambda: nodes.writeVolume(volume, Path(folder) / "input.nrrd"))
    torch = TorchState("ok", "")
    timed("look at volume, model, memory and disk", lambda: preflight.check(volume, bundle, torch, "cpu"))
    live = LiveSegmentation(volume, bundle)
    timed("first labels, whole volume", lambda: (live.write(labels, whole(SHAPE)), live.show()))
    timed("labels of one patch (128 voxels a side)", lambda: (live.write(labels[BOX.slices()], BOX), live.show()))
    timed("last labels, whole volume", lambda: live.finish(labels))
    print(f"{'memory on top of the volume: now':<46}{current_memory_mb() - before:8.0f} MB")
    print(f"{'memory on top of the volume: at its peak':<46}{peak_memory_mb() - before:8.0f} MB")
    slicer.mrmlScene.Clear(0)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # views and Qt widgets take their time to go, and have nothing to save
