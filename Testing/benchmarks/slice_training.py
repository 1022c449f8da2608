"""What an iteration of SegMate's training costs: milliseconds to draw a batch, of a whole step, and of its losses.

    python Testing/benchmarks/slice_training.py [--side 64 512] [--encoder light] [--batch 32] [--precision fp32 bf16]

On drawn cases (64: 40 slices at 5 mm, 512: 162 slices) with the default changes, one thread; processor time, which on a
machine that others use too is steadier than the clock. A step includes drawing its batch.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from EfficientSegLib import volume  # noqa: E402
from EfficientSegLib.networks.heads import Heads  # noqa: E402
from EfficientSegLib.options import read_options  # noqa: E402
from EfficientSegLib.training.config import TrainConfig  # noqa: E402
from EfficientSegLib.training.optimisation import Run  # noqa: E402
from EfficientSegLib.training.processes import Place  # noqa: E402

CASES = 3
WIDE_MM = 320.0


def training(folder: Path, side: int, encoder: str, batch: int, precision: str) -> Run:
    """A training on drawn cases of `side` x `side` pixels."""
    shape, spacing = (side, side, 162 if side > 100 else 40), (WIDE_MM / side, WIDE_MM / side, 5.0)
    draws = np.random.default_rng(0)
    for number in range(CASES):
        image = draws.integers(-1000, 500, shape).astype(np.int16)
        labels = np.zeros(shape, dtype=np.uint8)
        labels[side // 4 : side // 2, side // 4 : side // 2, 10:30] = 1
        labels[side // 2 :, side // 2 :, 5:20] = 2
        (folder / str(number)).mkdir()
        for name, array in (("image", image), ("label", labels)):
            volume.write(volume.Volume(array[None], spacing), folder / str(number) / f"{name}.nii.gz")
    network = {"encoder": encoder, "deep_supervision": True, **({"width": 0.5} if encoder == "light" else {})}
    content = {
        "bundle": {
            **{"name": "cost", "version": "1", "title": "Cost", "modality": "CT", "channels": ["CT"]},
            "outputs": "independent",
            "labels": [{"value": v, "name": f"Label {v}", "color": [v, v, v]} for v in (1, 2)],
            "preprocess": {
                **{"orientation": "RAS", "spacing_mm": spacing, "native_slices": True},
                "intensity": {"kind": "window", "low": -1000, "high": 400, "to": [-1, 1]},
            },
            "network": {"name": "segmate", "options": network},
            "strategy": {"name": "slices", "options": {"pad_value": -1.0}},
            "licence": {"weights": "none", "data": "drawn", "use": "measurement"},
        },
        "recipe": {"name": "segmate"},
        "samples": {"name": "slices", "options": {"volumes": batch // 4, "slices_per_volume": 4}},
        "cases": [{"image": f"{number}/image.nii.gz", "label": f"{number}/label.nii.gz"} for number in range(CASES)],
        "iterations": 1000,
        "largest": [side, side, 16 if side > 100 else 40],
        "precision": precision,
    }
    return Run(read_options(TrainConfig, content), folder, Place(0, 1))


def milliseconds(work, times: int) -> float:
    """Median processor time of a call, the first not counted."""
    taken = []
    for _ in range(times + 1):
        start = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - start))
    return median(taken[1:])


def cost_of_losses(run: Run, times: int) -> float:
    """Of the loss terms alone, forward and backward, on logits that are there already."""
    batch = run.source.draw(np.random.default_rng(0))
    shape = (len(batch), run.model.num_outputs, *batch.target.shape[1:])

    class Ready(torch.nn.Module):
        def heads(self, stack, position):
            logits = [torch.zeros(shape, requires_grad=True) for _ in range(5)]
            return Heads(logits[0], logits[1], logits[2].mean((2, 3)), tuple(logits[2:]))

    objective = run.objective
    return milliseconds(
        lambda: sum(objective._recipe.losses(Ready(), batch, objective.options, 0.0, None).values()).backward(), times
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", nargs="+", type=int, default=[64, 512])
    parser.add_argument("--encoder", default="light")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32"])
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| side | batch | encoder | precision | draw ms | step ms | of it losses ms |\n|---|---|---|---|---|---|---|")
    for side in given.side:
        for precision in given.precision:
            with tempfile.TemporaryDirectory() as folder:
                run = training(Path(folder), side, given.encoder, given.batch, precision)
                draw = milliseconds(partial(run.source.draw, np.random.default_rng(0)), given.times)
                step = milliseconds(run.step, given.times)
                losses = cost_of_losses(run, given.times)
            row = (side, given.batch, given.encoder, precision, f"{draw:.0f}", f"{step:.0f}", f"{losses:.0f}")
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
