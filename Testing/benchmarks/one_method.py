"""One method on one volume in a process of its own, so that its peak memory is its own; started by `methods.py`.

Writes a JSON object (`Measured`) and, if asked, the labels. With `--every m` the network runs on every m-th patch only
and its answer is used again for those between: stitching, memory and all else stay whole, and the network's seconds are
scaled up. Labels then mean nothing.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib import networks, resources  # noqa: E402
from EfficientSegLib.preprocess import prepare  # noqa: E402
from EfficientSegLib.segment import Listener, load_model, read_weights, segment  # noqa: E402
from EfficientSegLib.volume import Volume, read, write  # noqa: E402


@dataclass
class Measured:
    """What one run took."""

    seconds: dict[str, float] = field(default_factory=dict)  # read, load, prepare, network, selection, stitching, write
    peak_mb: float = 0.0  # of the whole process
    baseline_mb: float = 0.0  # of the process with volume and model loaded
    patches: int = 0
    candidates: int = 0
    timed_patches: int = 0

    @property
    def total(self) -> float:
        return sum(seconds for stage, seconds in self.seconds.items() if stage != "load")


class Thinned:
    """A network of which every m-th call is real."""

    def __init__(self, network: Callable, every: int) -> None:
        self._network, self._every = network, every
        self._last: torch.Tensor | None = None
        self.calls = self.timed = 0
        self.seconds = 0.0

    def __call__(self, patch: torch.Tensor) -> torch.Tensor:
        if self._last is None or self.calls % self._every == 0:
            began = time.perf_counter()
            self._last = self._network(patch)
            self.seconds += time.perf_counter() - began
            self.timed += 1
        self.calls += 1
        return self._last

    @property
    def all_seconds(self) -> float:
        """As if every call had been real."""
        return self.seconds / max(self.timed, 1) * self.calls


class _Selection(Listener):
    """Notes when the first patch may be read."""

    def __init__(self) -> None:
        self.ready = 0.0

    def patches(self, boxes: tuple, candidates: int) -> None:
        self.ready = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--result", required=True, type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--strategy", required=True, help="a strategy, or monai (plain) or monai-fast (our settings)")
    parser.add_argument("--options", default="{}", type=json.loads)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    measured = Measured()
    with _lap(measured, "read"):
        volume = read(given.input)
    bundle = bundles.load(given.bundle)
    with _lap(measured, "load"):
        model = _plain(bundle) if given.strategy == "monai" else load_model(bundle, "cpu")
    measured.baseline_mb = resources.peak_memory_mb()
    resources.forget_peak()
    run = _monai if given.strategy.startswith("monai") else _ours
    labels = run(volume, bundle, model, given, measured)
    if given.labels:
        np.save(given.labels, labels)
    with _lap(measured, "write"):
        write(
            Volume(labels[None], volume.spacing_mm, volume.origin_mm, volume.direction),
            given.result.with_suffix(".mha"),
        )
    measured.peak_mb = resources.peak_memory_mb()
    given.result.write_text(json.dumps({**asdict(measured), "total": measured.total}), encoding="utf-8")


def _ours(volume: Volume, bundle, model, given, measured: Measured) -> np.ndarray:
    network = Thinned(model.local, given.every)
    model.local = network
    selection = _Selection()
    began = time.perf_counter()
    done = segment(volume, bundle, model, strategy=given.strategy, options=given.options, listener=selection)
    whole = time.perf_counter() - began
    prepared = done.seconds["prepare"]
    chosen = max(selection.ready - began - prepared, 0.0) if done.patches else 0.0
    measured.seconds |= {
        "prepare": prepared,
        "selection": chosen,
        "network": network.all_seconds,
        "stitching": whole - prepared - chosen - network.seconds,
    }
    measured.patches, measured.candidates, measured.timed_patches = network.calls, done.candidates, network.timed
    return done.labels


def _monai(volume: Volume, bundle, model, given, measured: Measured) -> np.ndarray:
    from monai.inferers import SlidingWindowInferer

    with _lap(measured, "prepare"):
        image = torch.from_numpy(prepare(volume, bundle.preprocess).array)[None]
    network = Thinned(model.local, given.every)
    began = time.perf_counter()
    with torch.inference_mode():
        inferer = SlidingWindowInferer(model.patch_size, 1, model.overlap, mode="gaussian", sigma_scale=0.125)
        labels = inferer(image, network).argmax(1)[0].to(torch.uint8).numpy()
    measured.seconds |= {
        "network": network.all_seconds,
        "stitching": time.perf_counter() - began - network.seconds,
    }
    measured.patches = measured.candidates = network.calls
    measured.timed_patches = network.timed
    return labels


def _plain(bundle) -> torch.nn.Module:
    """The network as its author would run it: eager, in torch's own layout."""
    model = networks.build(bundle.network.name, bundle.network.options, len(bundle.channels), bundle.num_labels)
    read_weights(bundle, model)
    return model.float().eval()


@contextmanager
def _lap(measured: Measured, stage: str):
    began = time.perf_counter()
    yield
    measured.seconds[stage] = time.perf_counter() - began


if __name__ == "__main__":
    main()
