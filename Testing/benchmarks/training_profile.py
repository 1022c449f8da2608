"""Where the seconds of a training step go: STP + MTA + UNETR beside the dense UNETR, part by part, the paper's size.

    python Testing/benchmarks/training_profile.py [--case btcv] [--precisions fp32 bf16]

One thread, each network and precision in a process of its own (`--one`): a step to warm up, and one in which every
operation of torch is timed by itself, forward and backward, with the processor's own clock, which other work on the
machine lengthens little. An operation of the backward pass belongs to the layer whose forward pass asked for it. Time
that the system spends (page faults: memory touched for the first time) is told apart. What is in no operation
(autograd, Python, the timing itself) is the rest. The table goes to results/transformers/speed-training.md.
"""

import argparse
import bisect
import datetime
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "Testing"):
    sys.path.insert(0, str(folder))
TARGET = ROOT / "Testing" / "benchmarks" / "results" / "transformers" / "speed-training.md"

import torch  # noqa: E402
from benchmarks.tokens import CASES, KINDS, Training  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from EfficientSegLib.environment import worker_environment  # noqa: E402

DIRECTIONS = ("convolutions, gradient of the input", "convolutions, gradient of the weights")
OWNERS = {"encoder.prunings": "score heads", "encoder": "encoder", "completion": "completion (MTA)"}
KINDS_OF_WORK = {  # in the decoder, by what an operation's name contains; the first that fits
    "norms": ("batch_norm",),
    "activations": ("leaky_relu",),
    "convolutions with a kernel of 1": ("mm",),
    "convolutions, forward": ("convolution",),
}
OTHER = "sums, concatenation, layout"
SPARED = ("encoder", "score heads", "completion (MTA)")  # what dropping tokens shortens, and what it adds
PARTS = (
    *SPARED,
    *("convolutions, forward", *DIRECTIONS, "convolutions with a kernel of 1", "norms", "activations", OTHER),
    *("loss", "clipping", "optimiser", "page faults", "rest"),
)


class Spent(NamedTuple):
    """Processor time of this process, in seconds."""

    all: float
    by_system: float


def spent() -> Spent:
    return Spent(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_stime)


def part_of(layer: str, phase: str, operation: str) -> str:
    """The line of the table that an operation of a layer, "" for none, belongs to."""
    if phase in ("clipping", "optimiser"):
        return phase
    if not layer:
        return "loss"
    for prefix, part in OWNERS.items():
        if layer.startswith(prefix):
            return part
    if operation in DIRECTIONS:
        return operation
    if phase == "backward" and "convolution" in operation:
        return DIRECTIONS[0]  # a convolution itself, see `small_convolution`
    return next((part for part, told in KINDS_OF_WORK.items() if any(word in operation for word in told)), OTHER)


class Watch(TorchDispatchMode):
    """Times every operation of torch that runs inside, and knows to which layer of a model it belongs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self.phase = ""
        self._layers = [""]
        self._first: list[int] = []  # number of the first node of autograd, ascending, ...
        self._whose: list[str] = []  # ... and the layer in which it and the following ones were made
        for name, layer in model.named_modules():
            layer.register_forward_pre_hook(lambda *_, name=name: self._go_to([*self._layers, name]))
            layer.register_forward_hook(lambda *_: self._go_to(self._layers[:-1]))

    def _go_to(self, layers: list[str]) -> None:
        self._layers = layers
        self._first.append(torch._C._autograd._get_sequence_nr())
        self._whose.append(layers[-1])

    def _layer(self) -> str:
        if self.phase != "backward":
            return self._layers[-1]
        node = torch._C._current_autograd_node()
        place = -1 if node is None else bisect.bisect_right(self._first, node._sequence_nr()) - 1
        return self._whose[place] if place >= 0 else ""

    def __torch_dispatch__(self, function: Any, types: Any, given: tuple = (), named: dict | None = None) -> Any:
        name = function._schema.name
        if name == "aten::convolution_backward":
            return self._both_directions(function, given)
        return self._timed(part_of(self._layer(), self.phase, name), function, given, named or {})

    def _both_directions(self, function: Any, given: tuple) -> tuple:
        """The gradients of input and of weight and bias, one after the other, as oneDNN calculates them anyway."""
        *rest, (of_input, of_weight, of_bias) = given
        found = [None, None, None]
        wanted = ((of_input, False, False), (False, of_weight, of_bias))
        for direction, mask in zip(DIRECTIONS, wanted):
            if any(mask):
                part = part_of(self._layer(), self.phase, direction)
                results = self._timed(part, function, (*rest, list(mask)), {})
                found = [new if asked else old for new, old, asked in zip(results, found, mask)]
        return tuple(found)

    def _timed(self, part: str, function: Any, given: tuple, named: dict) -> Any:
        before = spent()
        result = function(*given, **named)
        after = spent()
        by_system = after.by_system - before.by_system
        self.seconds[part] += after.all - before.all - by_system
        self.seconds["page faults"] += by_system
        return result


def one(given: argparse.Namespace) -> dict[str, float]:
    """Seconds of each part in the step behind the first one, and of the whole step."""
    torch.set_num_threads(1)
    training = Training(given.case, given.kind, given.precision, torch.device("cpu"))
    training.step()
    watch = Watch(training.model)
    before = time.process_time()
    with watch:
        training.step(lambda phase: setattr(watch, "phase", phase))
    whole = time.process_time() - before
    return {**watch.seconds, "rest": whole - sum(watch.seconds.values()), "whole": whole}


def measured(case: str, precision: str, kind: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", "--case", case, "--precision", precision, "--kind", kind]
    environment = worker_environment(os.environ)
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def table(case: str, precision: str, dense: dict[str, float], sparse: dict[str, float]) -> str:
    """One table of parts, and what would be gained if what is the same in both cost less."""
    lines = [f"## {CASES[case][0]}, {precision}\n", "| part | dense, s | sparse, s |", "| --- | --- | --- |"]
    for part in PARTS:
        lines.append(f"| {part} | {dense.get(part, 0):.2f} | {sparse.get(part, 0):.2f} |")
    lines.append(f"| **whole step** | **{dense['whole']:.2f}** | **{sparse['whole']:.2f}** |")

    def gain(without: tuple[str, ...]) -> str:
        left = [each["whole"] - sum(each.get(part, 0) for part in without) for each in (dense, sparse)]
        return f"{100 * (left[0] / left[1] - 1):+.0f} %"

    convolutions = tuple(part for part in PARTS if part.startswith("convolutions"))
    around = tuple(part for part in PARTS if part not in (*SPARED, *convolutions))
    return "\n".join(lines) + (
        f"\n\nGain: **{gain(())}**; without page faults, of which there are none once the heap has its size, "
        f"{gain(('page faults',))}. Were all but transformer and convolutions free, {gain(around)}; were the "
        f"convolutions free too, {gain((*around, *convolutions))}.\n"
    )


def text(tables: list[str], given: argparse.Namespace) -> str:
    command = f"python Testing/benchmarks/training_profile.py --case {given.case}"
    today = datetime.datetime.now(datetime.timezone.utc).date()
    beside = f" Beside it ran: {given.beside}." if given.beside else ""
    return f"""# Where the seconds of a training step go

`{command}`, {today}, torch {torch.__version__}, cpu, one thread. One step of `train` on one patch (see \
`speed-tokens.md`), the second of its process, every operation timed by itself, in seconds of the processor.{beside} \
Convolutions, norms, activations and sums are the decoder's. Page faults are the time in which the system gives \
memory; the rest is what is in no operation of torch.

""" + "\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="btcv", choices=list(CASES))
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--beside", default="", help="what else the machine did, for the text")
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=("fp32", "bf16"), help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=tuple(KINDS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given)))
        return
    tables = []
    for precision in given.precisions:
        found = {kind: measured(given.case, precision, kind) for kind in KINDS}
        tables.append(table(given.case, precision, found["dense"], found["sparse"]))
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text(tables, given), encoding="utf-8")
    print(given.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
