"""What looking back costs on a large scan.

    python Testing/benchmarks/review_cost.py [--shape 512,512,400] [--labels 20]

Drawn labels (ellipsoids that fill a body), coarse labels that differ from them at every surface, 30 patches of 128
voxels read at 1.5 mm; the processor's seconds of one thread, which neighbours on the machine do not change.
"""

import argparse
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights  # noqa: E402
from EfficientSegLib.geometry import ScoredBox, patch_grid, whole  # noqa: E402
from EfficientSegLib.patches import gaussian_window  # noqa: E402
from EfficientSegLib.preprocess import Prepared, to_source  # noqa: E402
from EfficientSegLib.review import review  # noqa: E402
from EfficientSegLib.strategies.overview import Overview  # noqa: E402
from EfficientSegLib.strategies.reading import Reading  # noqa: E402

PATCH, PATCHES, DOWNSAMPLING, SPACING_MM, VOXEL_MM = (128, 128, 128), 30, 3, 1.5, (0.8, 0.8, 1.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="512,512,400")
    parser.add_argument("--labels", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    shape = tuple(int(text) for text in given.shape.split(","))
    labels, coarse = drawn(shape, given.labels)
    grid = tuple(round(length * step / SPACING_MM) for length, step in zip(shape, VOXEL_MM))
    prepared = Prepared(
        np.empty((1, 0, 0, 0)), (SPACING_MM,) * 3, shape, (0, 1, 2), (True, True, False), grid, whole(grid)
    )
    bundle = named(given.labels)
    with torch.inference_mode():
        reading, adding = read(grid, given.labels + 1)
        patches = [
            ScoredBox(to_source(reading.overview.grid[number], prepared), 1.0, rank)
            for rank, number in enumerate(reading.done, start=1)
        ]
        print(f"{adding / PATCHES * 1000:.0f} ms a patch for the measure of disagreement")
        for name, given_coarse in (("coarse labels at hand", coarse), ("coarse labels made again", None)):
            began = time.process_time()
            found = review(labels, given_coarse, reading, patches, prepared, bundle)
            print(f"{time.process_time() - began:.2f} s, {name}: {len(found.places)} places")
        tracemalloc.start()
        review(labels, coarse, reading, patches, prepared, bundle)
        print(f"{tracemalloc.get_traced_memory()[1] / 2**20:.0f} MB beside the labels ({labels.nbytes / 2**20:.0f} MB)")


def drawn(shape: tuple[int, int, int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Ellipsoids, and the same a little larger: they differ in a shell of one or two voxels."""
    random = np.random.default_rng(0)
    labels, coarse = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for value in range(1, count + 1):
        centre = [random.uniform(0.25, 0.75) * length for length in shape]
        radii = [random.uniform(0.05, 0.15) * length for length in shape]
        for target, more in ((labels, 0.0), (coarse, 1.5)):
            bounds = [(max(int(c - r - more), 0), int(c + r + more) + 1) for c, r in zip(centre, radii)]
            i, j, k = (
                ((np.arange(a, b, dtype=np.float32) - c) / (r + more)) ** 2
                for (a, b), c, r in zip(bounds, centre, radii)
            )
            part = target[tuple(slice(a, b) for a, b in bounds)]
            part[(i[:, None, None] + j[:, None] + k) < 1] = value
    return labels, coarse


def read(grid: tuple[int, int, int], channels: int) -> tuple[Reading, float]:
    """A run of patches in the middle of noise, and the processor's seconds of measuring disagreement in them."""
    cells = tuple(-(-length // DOWNSAMPLING) for length in grid)
    covers = tuple(n * DOWNSAMPLING for n in cells)
    boxes = tuple(patch_grid(grid, PATCH, 0.5))
    logits = torch.randn(channels, *cells, generator=torch.Generator().manual_seed(0))
    overview = Overview(
        torch.zeros(1, *grid), (0, 0, 0), grid, logits, covers, boxes, torch.zeros(len(boxes)), torch.ones(len(boxes))
    )
    order = sorted(range(len(boxes)), key=lambda n: sum(abs(a + 64 - m / 2) for a, m in zip(boxes[n].start, grid)))
    reading = Reading("nmsw", torch.nn.Identity(), overview, order, 2000, {})
    patch, window = torch.randn(channels, *PATCH), gaussian_window(PATCH)
    began = time.process_time()
    for number in order[:PATCHES]:
        reading.disagreement.add(patch, boxes[number], window)
        reading.done.append(number)
    return reading, time.process_time() - began


def named(count: int) -> Bundle:
    return Bundle(
        schema=1,
        name="drawn",
        version="1",
        title="Drawn",
        modality="CT",
        channels=("CT",),
        labels=tuple(Label(value, f"Label {value}", (value, value, value)) for value in range(1, count + 1)),
        preprocess=Preprocess("RAS", (SPACING_MM,) * 3, Intensity("window", -1000, 1000)),
        network=Component("nmsw", {}),
        strategy=Component("nmsw", {}),
        weights=Weights("weights.pt", "0"),
        licence=Licence("none", "none", "measurements"),
    )


if __name__ == "__main__":
    main()
