"""What the inference settings gain: plain network, ours, bfloat16 and OpenVINO, one after the other in one run.

`python Testing/benchmarks/inference_settings.py --size 128 --networks unet mednext swin_unetr`

The weights are random: seconds and differences in float32 mean something, the agreement of bfloat16 does not (that is
what `bundles --gate` measures with trained weights). The ways take turns, so that other work on the machine hits all.
"""

import argparse
import copy
import gc
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from EfficientSegLib import devices, networks
from EfficientSegLib.errors import DeviceError
from EfficientSegLib.networks.inference import for_inference
from EfficientSegLib.networks.openvino import for_openvino


def ways(plain: nn.Module, with_openvino: bool) -> dict[str, nn.Module]:
    """The network in every form that this machine can run."""
    found = {"plain": plain, "ours fp32": for_inference(copy.deepcopy(plain))}
    if devices.why_no_bfloat16("cpu") is None:
        found["ours bf16"] = for_inference(copy.deepcopy(plain), "bf16")
    if with_openvino and find_spec("openvino"):
        for precision in ("fp32", "bf16") if "ours bf16" in found else ("fp32",):
            try:
                found[f"openvino {precision}"] = for_openvino(copy.deepcopy(plain), precision)
            except DeviceError as error:
                print(f"openvino {precision}: {error.what} {error.why}")
    return found


def measure(found: dict[str, Callable[[Tensor], Tensor]], x: Tensor, repetitions: int) -> list[tuple]:
    """(way, median seconds, times as fast as plain, largest difference, scale of the logits), one warm-up pass each."""
    seconds: dict[str, list[float]] = {way: [] for way in found}
    differences: dict[str, float] = {}
    with torch.inference_mode():
        expected = found["plain"](x)
        for turn in range(repetitions + 1):
            for way in list(found):
                gc.collect()
                began = time.perf_counter()
                try:
                    logits = found[way](x)
                except DeviceError as error:
                    print(f"{way}: {error.what} {error.why}")
                    del found[way], seconds[way]
                    continue
                if turn:
                    seconds[way].append(time.perf_counter() - began)
                differences[way] = float((logits - expected).abs().max())
    # Turn by turn, since other work slows neighbours alike.
    ratios = {way: statistics.median(a / b for a, b in zip(seconds["plain"], seconds[way])) for way in found}
    scale = float(expected.std())
    return [(way, statistics.median(seconds[way]), ratios[way], differences[way], scale) for way in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["unet", "mednext", "swin_unetr"])
    parser.add_argument("--size", type=int, default=128, help="voxels of the patch along each axis")
    parser.add_argument("--labels", type=int, default=20, help="background included")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--openvino", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads, patch {given.size}³, {given.labels} labels")
    print(f"{'network':12} {'way':14} {'seconds':>8} {'ratio':>6} {'largest difference':>19} {'logits vary by':>15}")
    for name in given.networks:
        torch.manual_seed(0)
        plain = networks.build(name, {}, 1, given.labels).eval()
        x = torch.rand(1, 1, *(given.size,) * 3)
        for way, seconds, ratio, difference, scale in measure(ways(plain, given.openvino), x, given.repetitions):
            print(f"{name:12} {way:14} {seconds:8.2f} {ratio:6.2f} {difference:19.1e} {scale:15.2f}", flush=True)


if __name__ == "__main__":
    main()
