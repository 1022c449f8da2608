"""What the map of dropped tokens adds to a run on a large CT: seconds of one processor core, and memory.

    OMP_NUM_THREADS=1 python Testing/benchmarks/token_map_cost.py

The map alone is made: depths are drawn at random, since the network's own time is another matter. Processor seconds,
so that other programs do not count.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from EfficientSegLib import resources
from EfficientSegLib.geometry import patch_grid, whole
from EfficientSegLib.orientation import axis_order
from EfficientSegLib.preprocess import Prepared
from EfficientSegLib.reporter import write_labels
from EfficientSegLib.restore import restore_nearest
from EfficientSegLib.strategies.tokens import TokenDepths

SHAPE, SPACING = (512, 512, 400), (0.7, 0.7, 1.0)
PATCH = (96, 96, 96)


def measure(spacing_mm: tuple[float, float, float]) -> str:
    """One line of figures for a bundle's spacing."""
    grid = tuple(round(n * have / want) for n, have, want in zip(SHAPE, SPACING, spacing_mm))
    axes, flips = axis_order(np.diag([1.0, 1.0, 1.0]), "RAS")
    array = np.empty((1, *grid), dtype=np.float32)  # never touched: it takes no memory
    prepared = Prepared(array, spacing_mm, SHAPE, axes, flips, grid, whole(grid))
    boxes = patch_grid(grid, PATCH, 0.5)
    depths = TokenDepths(3)
    generator = torch.Generator().manual_seed(0)
    for box in boxes:
        depths.add(box, torch.randint(0, 4, (12, 12, 12), generator=generator, dtype=torch.uint8))
    before = resources.current_memory_mb()
    resources.forget_peak()
    began = time.process_time()
    painted = depths.painted(whole(grid))
    after_painting = time.process_time()
    found = restore_nearest(painted, prepared)
    restored = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        peak = resources.peak_memory_mb()
        write_labels(found, Path(folder) / "tokens.npy")
        written = time.process_time()
    peak_writing = resources.peak_memory_mb()
    return (
        f"{grid} cells, {len(boxes)} patches: painted in {after_painting - began:.2f} s, to the input's grid in "
        f"{restored - after_painting:.2f} s, written in {written - restored:.2f} s; {peak - before:.0f} MB more, "
        f"{peak_writing - before:.0f} MB while it is written"
    )


if __name__ == "__main__":
    for spacing in ((1.5, 1.5, 2.0), (1.5, 1.5, 1.5), SPACING):
        print(measure(spacing))
