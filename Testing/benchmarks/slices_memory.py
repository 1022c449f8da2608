"""Peak memory and time of segmenting one CT slice by slice, in a process of its own, above what it starts with.

    python Testing/benchmarks/slices_memory.py --encoder light --shape 512 512 162 [--batch 1] [--threads 2]

Weights are random. What is counted is the most that the process holds during `segment`, less what it holds before: the
libraries, the network, and the volume as read. In it are then the network's activations, the prepared volume (float32)
and the labels; the last two are told apart, since every method needs them.
"""

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "Testing"):
    sys.path.insert(0, str(folder))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from EfficientSegLib import networks, resources  # noqa: E402
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights  # noqa: E402
from EfficientSegLib.networks.inference import for_inference  # noqa: E402
from EfficientSegLib.segment import segment  # noqa: E402
from EfficientSegLib.volume import Volume  # noqa: E402

LABELS = (
    "left lung",
    "right lung",
    "spinal cord",
    "esophagus",
    "liver",
    "left kidney",
    "right kidney",
    "aorta",
    "trachea",
)


def bundle(encoder: str, spacing_mm: tuple[float, float, float]) -> Bundle:
    """As the paper's: nine labels, slices as they are."""
    return Bundle(
        schema=1,
        name="benchmark",
        version="1",
        title="Random weights",
        modality="CT",
        channels=("CT",),
        labels=tuple(Label(value, name, (value, value, value)) for value, name in enumerate(LABELS, 1)),
        preprocess=Preprocess("RAS", spacing_mm, Intensity("window", -1000.0, 400.0, (-1.0, 1.0)), native_slices=True),
        network=Component("segmate", {"encoder": encoder}),
        strategy=Component("slices", {"pad_value": -1.0}),
        weights=Weights("weights.pt", ""),
        licence=Licence("none", "none", "benchmark"),
        outputs="independent",
    )


def measure(arguments: argparse.Namespace) -> dict:
    """One run; megabytes and seconds."""
    if arguments.encoder != "light":
        import timm_here

        if (reason := timm_here.why_not()) is not None:
            raise SystemExit(reason)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    spacing = (arguments.spacing, arguments.spacing, 3.0)
    what = bundle(arguments.encoder, (arguments.trained_at or arguments.spacing,) * 2 + (3.0,))
    model = networks.build("segmate", what.network.options, 1, what.num_outputs)
    weights = sum(parameter.nbytes for parameter in model.parameters()) / resources.MB
    model = for_inference(model, arguments.precision)
    array = np.random.default_rng(0).integers(-1000, 400, (1, *arguments.shape), dtype=np.int16)
    volume = Volume(array, spacing, direction=((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)))
    options = {"batch": arguments.batch, "position": arguments.position}
    resources.release_memory()
    before = resources.current_memory_mb()
    resources.forget_peak()
    began = time.perf_counter()
    done = segment(volume, what, model, options=options)
    seconds = time.perf_counter() - began
    above = resources.peak_memory_mb() - before
    prepared = 4 * float(np.prod(done.prepared_shape)) / resources.MB
    labels = done.labels.nbytes / resources.MB
    return {
        "encoder": arguments.encoder,
        "shape": list(arguments.shape),
        "prepared": list(done.prepared_shape),
        "batch": arguments.batch,
        "precision": arguments.precision,
        "threads": arguments.threads,
        "weights_mb": round(weights, 1),
        "before_mb": round(before, 1),
        "above_mb": round(above, 1),
        "prepared_volume_mb": round(prepared, 1),
        "labels_mb": round(labels, 1),
        "above_volumes_mb": round(above - prepared - labels, 1),
        "seconds": round(seconds, 1),
        "seconds_by_stage": {stage: round(spent, 1) for stage, spent in done.seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="light")
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 162))
    parser.add_argument("--spacing", type=float, default=0.8, help="mm, in the plane")
    parser.add_argument("--trained-at", type=float, help="mm, in the plane; the scan is resampled to it")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--position", default="volume", choices=("volume", "found"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--threads", type=int, default=2)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
