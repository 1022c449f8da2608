"""What dropping tokens gains: STP + MTA + UNETR beside the dense UNETR with the same decoder, the paper's full size.

    python Testing/benchmarks/tokens.py [--device cuda] [--threads 1] [--rounds 2] [--repetitions 3]

Every measurement is a process of its own (`--one`), so that its peak memory is its own; dense and sparse take turns, so
that other work on the machine hits both. On a CPU with one thread the seconds are those of the processor, which
other work lengthens little; else those of the clock. In training, which keeps its memory as `train` does, those of the
system are left out: they are page faults and end with the third pass, when the heap has its size. Weights are random:
they change neither time nor memory. The table goes to results/transformers/speed-tokens.md.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
TARGET = ROOT / "Testing" / "benchmarks" / "results" / "transformers" / "speed-tokens.md"

import torch  # noqa: E402
from torch import nn  # noqa: E402

from EfficientSegLib import devices, networks, resources  # noqa: E402
from EfficientSegLib.environment import worker_environment  # noqa: E402
from EfficientSegLib.evaluation.cost import count  # noqa: E402
from EfficientSegLib.networks.inference import for_inference, for_training  # noqa: E402
from EfficientSegLib.training.adamw import adamw  # noqa: E402
from EfficientSegLib.training.losses import SampleLoss  # noqa: E402
from EfficientSegLib.training.precision import Precision, guarded  # noqa: E402

CASES = {  # title, options, channels, labels, target of inference in %
    "btcv": ("96³, r = 0.9, decoder v2", {"preset": "btcv"}, 1, 14, 24),
    "brats": ("128³, r = 0.75, decoder v1", {"preset": "brats"}, 4, 3, 60),
}
KINDS = {"dense": {"selection": "none"}, "sparse": {}}
TASKS = ("inference", "inference bf16", "training", "training bf16")
TRAINING_TARGET = "97 to 120"


def build(case: str, kind: str) -> nn.Module:
    _, options, channels, labels, _ = CASES[case]
    torch.manual_seed(0)
    return networks.build("stp_unetr", {**options, **KINDS[kind]}, channels, labels)


def one(given: argparse.Namespace) -> dict:
    """The best of some passes, and the most memory that this process ever held; seconds and megabytes."""
    torch.set_num_threads(given.threads)
    device, precision = torch.device(given.device), "bf16" if given.task.endswith("bf16") else "fp32"
    if given.task.startswith("training"):
        run = Training(given.case, given.kind, precision, device).step
    else:
        run = _inference(given.case, given.kind, precision, device)
    resources.release_memory()
    before = resources.current_memory_mb()
    resources.forget_peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clock = time.perf_counter
    if device.type == "cpu" and given.threads == 1:
        clock = (lambda: os.times().user) if given.task.startswith("training") else time.process_time
    seconds = []
    for _ in range(given.repetitions + 1):
        began = clock()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - began)
    peak = torch.cuda.max_memory_allocated() / resources.MB if device.type == "cuda" else resources.peak_memory_mb()
    return {"seconds": min(seconds[1:] or seconds), "peak": peak, "before": before}


def _inference(case: str, kind: str, precision: str, device: torch.device) -> Callable[[], None]:
    model = for_inference(build(case, kind), precision).to(device)
    patch = torch.randn(1, CASES[case][2], *model.patch_size).to(device)

    def run() -> None:
        with torch.inference_mode():
            model(patch)

    return run


class Training:
    """Network, optimiser and one patch; `step` is what `train` does with it, see `optimisation.Run.step`."""

    def __init__(self, case: str, kind: str, precision: str, device: torch.device) -> None:
        _, _, channels, labels, _ = CASES[case]
        self.precision = Precision.choose(precision, device)
        self.model = guarded(for_training(build(case, kind)).to(device), self.precision).train()
        self.patch = torch.randn(1, channels, *self.model.patch_size).to(device)
        self.patch = self.patch.contiguous(memory_format=torch.channels_last_3d)
        self.target = torch.randint(labels, self.model.patch_size).to(device)
        self.cost = SampleLoss(torch.ones(labels, dtype=torch.bool, device=device))
        self.optimiser = adamw(list(self.model.parameters()), device, lr=1e-4)

    def step(self, enter: Callable[[str], None] = lambda phase: None) -> None:
        """`enter` is told which phase begins."""
        scaler = self.precision.scaler
        self.optimiser.zero_grad(set_to_none=True)
        enter("forward")
        with self.precision.autocast():
            logits = self.model(self.patch)
            enter("loss")
            loss = self.cost(logits, self.target)
        enter("backward")
        scaler.scale(loss).backward()
        enter("clipping")
        scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        enter("optimiser")
        scaler.step(self.optimiser)
        scaler.update()


def measured(given: argparse.Namespace, task: str, case: str) -> tuple[dict[str, dict], str]:
    """Of each kind the fastest process and the highest peak, and which pass it was.

    What `--rows` has already is not measured again; its "pass" says what the number of its repetitions does not.
    """
    found: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    for known in _rows(given.rows):
        if (known["task"], known["case"]) == (task, case):
            return known["found"], known.get("pass") or which_pass(known.get("repetitions", 1))
    for _ in range(given.rounds):
        for kind, rows in found.items():
            command = [sys.executable, __file__, "--one", "--task", task, "--case", case, "--kind", kind]
            command += ["--device", given.device, "--threads", str(given.threads)]
            command += ["--repetitions", str(given.repetitions)]
            environment = worker_environment(os.environ) if task.startswith("training") else None
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(task, case, kind, rows[-1], flush=True)
    best = {
        kind: {"seconds": min(row["seconds"] for row in rows), "peak": max(row["peak"] for row in rows)}
        for kind, rows in found.items()
    }
    if given.rows:
        with given.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"task": task, "case": case, "repetitions": given.repetitions, "found": best}) + "\n")
    return best, which_pass(given.repetitions)


def which_pass(repetitions: int) -> str:
    return f"best of {repetitions}" if repetitions else "the first"


def _rows(file: Path | None) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file and file.is_file() else []


def row(given: argparse.Namespace, task: str, case: str) -> str:
    title, _, channels, _, target = CASES[case]
    found, chosen = measured(given, task, case)
    dense, sparse = found["dense"], found["sparse"]
    with torch.device("meta"):
        models = [build(case, kind) for kind in KINDS]
    macs = [count(model, model.patch_size, channels).macs for model in models]
    paper = TRAINING_TARGET if task.startswith("training") else str(target)
    cells = [
        task,
        title,
        chosen,
        f"{dense['seconds']:.2f}",
        f"{sparse['seconds']:.2f}",
        f"**{100 * (dense['seconds'] / sparse['seconds'] - 1):+.0f} %**",
        f"+{paper} %",
        f"{100 * (macs[0] / macs[1] - 1):+.0f} %",
        f"{dense['peak'] / 1024:.2f}",
        f"{sparse['peak'] / 1024:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def text(given: argparse.Namespace, rows: list[str]) -> str:
    clock = "by the clock"
    if given.device == "cpu" and given.threads == 1:
        clock = "of the processor (in training without those of the system: page faults, which end with the third pass)"
    options = f"--device {given.device} --threads {given.threads} --rounds {given.rounds}"
    today = datetime.datetime.now(datetime.timezone.utc).date()
    threads = f"{given.threads} thread{'s' * (given.threads > 1)}"
    processes = f"{given.rounds} process{'es' * (given.rounds > 1)}"
    beside = f" Beside it ran: {given.beside}." if given.beside else ""
    held = "on the GPU" if given.device == "cuda" else "by the process, libraries and weights too"
    return f"""# What dropping tokens gains in time and memory

`python Testing/benchmarks/tokens.py {options}`, {today}, torch {torch.__version__}, {given.device}, {threads}. \
Batches of one patch, the paper's ViT-B (width 768, 12 blocks), random weights. Dense is the UNETR with tokens of 8 \
voxels and the same decoder. Seconds are {clock}, of the first pass or the best of those behind it (column *pass*; \
`--repetitions`), in {processes} of each kind, dense and sparse by turns. GB are all that was held {held}, at the \
highest. Training is one whole step as `train` takes it, with its memory: forward, Dice and cross-entropy, backward, \
clipping, AdamW. The gain is in patches per second; beside it are the paper's, measured on a GPU (training there in \
half precision), and what the multiply-adds would allow.{beside}

| task | patch | pass | dense, s | sparse, s | gain | paper | multiply-adds | dense, GB | sparse, GB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
""" + "".join(f"{row}\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="processes of each kind")
    parser.add_argument("--repetitions", type=int, default=1, help="passes behind the first one")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    tasks = ["inference", "training"]
    if torch.cuda.is_available():
        tasks.append("training bf16")
    elif devices.why_no_bfloat16("cpu") is None:
        tasks += ["inference bf16", "training bf16"]
    parser.add_argument("--tasks", nargs="+", default=tasks, choices=tasks)
    parser.add_argument(
        "--rows", type=Path, help="JSON lines of what is measured: so that a table can be made in parts"
    )
    parser.add_argument("--beside", default="", help="what else the machine did, for the table")
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    for name, choices in (("task", TASKS), ("case", CASES), ("kind", KINDS)):
        parser.add_argument(f"--{name}", choices=tuple(choices), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given)))
        return
    rows = []
    for task in given.tasks:
        for case in given.cases:
            rows.append(row(given, task, case))
            given.output.parent.mkdir(parents=True, exist_ok=True)
            given.output.write_text(text(given, rows), encoding="utf-8")
    print(given.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
