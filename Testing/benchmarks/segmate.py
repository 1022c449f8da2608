"""What the inference settings gain for SegMate: plain eager network, ours, bfloat16 and OpenVINO, on one slice.

    python Testing/benchmarks/segmate.py --encoders efficientnetv2 mambaout fastvit light --repetitions 5 --threads 1

The ways take turns in one process, so that other work on the machine hits all. Wall seconds and, with one thread, the
processor's seconds are shown: where others use the machine the second say more. Ratios are medians of turn by turn.
Weights are random and norms have seen random images: differences in float32 mean something, those of bfloat16 only
their size (agreement with trained weights is measured by `bundles --gate`). Memory for a whole scan is measured by
`slices_memory.py`, each run in a process of its own.
"""

import argparse
import copy
import os
import statistics
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "Testing"):
    sys.path.insert(0, str(folder))

import timm_here  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from EfficientSegLib import devices, networks  # noqa: E402
from EfficientSegLib.networks.inference import for_inference  # noqa: E402
from EfficientSegLib.networks.openvino import for_openvino  # noqa: E402

LABELS = 9


def build(encoder: str, network: str) -> nn.Module:
    """A plain network whose norms have seen images, in evaluation mode."""
    torch.manual_seed(0)
    model = networks.build(network, {"encoder": encoder}, 1, LABELS).train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.rand(2, model.slices, 64, 64))
    return model.eval()


def ways(plain: nn.Module, with_openvino: bool) -> dict[str, nn.Module]:
    """The network in every form that this machine can run."""
    precisions = ("fp32", "bf16") if devices.why_no_bfloat16("cpu") is None else ("fp32",)
    found = {"plain fp32": plain}
    found |= {f"ours {precision}": for_inference(copy.deepcopy(plain), precision) for precision in precisions}
    if with_openvino and find_spec("openvino"):
        found |= {f"OpenVINO {precision}": for_openvino(copy.deepcopy(plain), precision) for precision in precisions}
    return found


def measure(encoder: str, given: argparse.Namespace) -> list[str]:
    """Lines of the table for one encoder."""
    plain = build(encoder, given.network)
    x, z = torch.rand(given.batch, plain.slices, given.size, given.size), torch.full((given.batch,), 0.4)
    found = ways(plain, given.openvino)
    wall: dict[str, list[float]] = {way: [] for way in found}
    cpu: dict[str, list[float]] = {way: [] for way in found}
    differences = {}
    with torch.inference_mode():
        expected = plain(x, z)
        for turn in range(given.repetitions + 1):  # the first warms up
            for way, model in found.items():
                began, began_cpu = time.perf_counter(), time.process_time()
                logits = model(x, z)
                spent, spent_cpu = time.perf_counter() - began, time.process_time() - began_cpu
                if turn:
                    wall[way].append(spent / given.batch)
                    cpu[way].append(spent_cpu / given.batch)
                else:
                    differences[way] = float((logits - expected).abs().max()), logits
    lines = []
    for way in found:
        ratio, ratio_cpu = (
            statistics.median(a / b for a, b in zip(times["plain fp32"], times[way])) for times in (wall, cpu)
        )
        difference, logits = differences[way]
        same = float(((logits > 0) == (expected > 0)).float().mean())
        lines.append(
            f"| {encoder} | {way} | {min(wall[way]):.3f} | {statistics.median(wall[way]):.3f} | {ratio:.2f} | "
            f"{statistics.median(cpu[way]):.3f} | {ratio_cpu:.2f} | {difference:.1e} | {same:.4%} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", default=["efficientnetv2", "mambaout", "fastvit", "light"])
    parser.add_argument("--network", default="segmate", choices=("segmate", "segmate_vanilla"))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--openvino", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--output", type=Path, help="Markdown file to which the table is added")
    given = parser.parse_args()
    if any(encoder != "light" for encoder in given.encoders) and timm_here.why_not():
        parser.error(timm_here.why_not())
    torch.set_num_threads(given.threads)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    lines = [
        f"### {given.network}, {given.batch} × {given.size}², torch {torch.__version__}, threads: {given.threads}, "
        f"{given.repetitions} turns, load of the machine at the start {load:.1f}\n",
        "| encoder | way | least s | median s | × plain | processor s | × plain | largest difference | pixels alike |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for encoder in given.encoders:
        lines += measure(encoder, given)
    if given.output:
        with open(given.output, "a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()
