"""What Swin SMT costs on a CPU: seconds and peak memory of a patch, of its layers, and of a published kind of volume.

`python Testing/benchmarks/swin_smt.py --parts patch layers windows volume --results rows.jsonl --write speed.md`

Every row is measured in a process of its own and noted at once, so that a run that was broken off goes on. Seconds are
those of the processor with one thread: they do not count waiting, so that other work on the machine spoils little.
Weights are random.
"""

import argparse
import copy
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from monai.networks.nets.swin_unetr import WindowAttention
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks, resources
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights
from EfficientSegLib.networks.inference import for_inference
from EfficientSegLib.networks.soft_moe import RMSNorm, SoftMoE

LABELS = 118
NETWORKS = {
    "Swin UNETR (E = 0)": {"experts": 0},
    "Swin SMT (E = 32)": {"experts": 32},
    "Swin SMT (E = 32), half the slots": {"experts": 32, "slot_divisor": 2},
    "Swin UNETR-B (v2, E = 0)": {"experts": 0, "version": "v2"},
}
FORMS = ("plain", "ours fp32, window attention plain", "ours fp32", "ours bf16")
PATCH_ROWS = [
    *((name, form) for form in FORMS for name in ("Swin SMT (E = 32)", "Swin UNETR (E = 0)")),
    ("Swin SMT (E = 32), half the slots", "ours fp32"),
    ("Swin UNETR-B (v2, E = 0)", "ours fp32"),
]
STAGES = {2: (32**3, 96), 3: (16**3, 192), 4: (8**3, 384)}  # tokens and channels of a patch of 128 voxels
LAYER_ROWS = [
    *((kind, tokens, channels, False) for tokens, channels in STAGES.values() for kind in ("MLP", "fused")),
    *(("direct", tokens, channels, False) for tokens, channels in ((8192, 96), STAGES[3], STAGES[4])),
    *((kind, *STAGES[3], True) for kind in ("MLP", "fused", "direct")),
    ("fused", 8192, 96, True),
    ("direct", 8192, 96, True),
    ("fused", *STAGES[2], True),
]
WINDOWS = 10**3  # of 7³ tokens: the first stage of a patch of 128 voxels
WINDOW_ROWS = [[kind, way] for kind in ("regular", "shifted") for way in ("plain", "fused")]
VOLUME, SPACING = (300, 300, 422), (1.5, 1.5, 1.5)
READ = 24  # patches of the volume, of which the first 16 fill the slab that is held at one time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--parts", nargs="+", default=[], choices=("patch", "layers", "windows", "volume"), help="what to measure"
    )
    parser.add_argument("--size", type=int, default=128, help="voxels of the patch along each axis")
    parser.add_argument("--results", type=Path, required=True, help="JSON lines; rows that are there are not run again")
    parser.add_argument("--write", type=Path, help="Markdown tables of all results")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(json.loads(given.one))))
        return
    for row in wanted(given.parts, given.size):
        if row not in [known["row"] for known in read(given.results)]:
            command = [sys.executable, __file__, "--results", str(given.results), "--one", json.dumps(row)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(row, done.stderr.strip().splitlines()[-1], file=sys.stderr)
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            with given.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"row": row, **found}) + "\n")
            print(row, found, flush=True)
    if given.write:
        given.write.write_text(tables(read(given.results)), encoding="utf-8")


def wanted(parts: list[str], size: int) -> list[list]:
    rows = [["patch", size, *row] for row in PATCH_ROWS] if "patch" in parts else []
    rows += [["layer", *row] for row in LAYER_ROWS] if "layers" in parts else []
    rows += [["window", *row] for row in WINDOW_ROWS] if "windows" in parts else []
    return rows + ([["volume", *VOLUME, "Swin SMT (E = 32)"]] if "volume" in parts else [])


def read(results: Path) -> list[dict]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def measured(row: list) -> dict:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind, *what = row
    return {"patch": patch_cost, "layer": layer_cost, "window": window_cost, "volume": volume_cost}[kind](*what)


def timed(work) -> dict:
    """Processor seconds, and by how much memory grew at most."""
    resources.release_memory()
    resources.forget_peak()
    before, began = resources.current_memory_mb(), time.process_time()
    work()
    return {
        "seconds": time.process_time() - began,
        "grown_mb": resources.peak_memory_mb() - before,
        "peak_mb": resources.peak_memory_mb(),
    }


def in_form(name: str, form: str) -> nn.Module:
    plain = networks.build("swin_smt", NETWORKS[name], 1, LABELS).eval()
    if form == "plain":
        return plain
    model = for_inference(plain, "bf16" if form == "ours bf16" else "fp32")
    if form.endswith("window attention plain"):
        for layer in model.modules():
            if hasattr(layer, "use_flash_attention"):
                layer.use_flash_attention = False
    return model


@torch.inference_mode()
def patch_cost(size: int, name: str, form: str) -> dict:
    model = in_form(name, form)
    model(torch.rand(1, 1, 64, 32, 32))
    x = torch.rand(1, 1, size, size, size)
    return timed(lambda: model(x))


class Direct(nn.Module):
    """The mixture with its tables written down: what the fused form saves."""

    def __init__(self, moe: SoftMoE) -> None:
        super().__init__()
        self.moe = moe

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.moe.tokens(x)
        table = tokens @ self.moe.slots(tokens).mT
        mixtures = table.softmax(1).mT @ tokens
        return table.softmax(2) @ self.moe.answers(mixtures)


def layer_cost(kind: str, tokens: int, channels: int, training: bool) -> dict:
    moe = SoftMoE(channels, 32)
    mlp = nn.Sequential(
        RMSNorm(channels), nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
    )
    layer = {"MLP": mlp, "fused": moe, "direct": Direct(moe)}[kind]
    layer(torch.rand(1, 256, channels)).sum().backward()

    def work() -> None:
        with torch.set_grad_enabled(training):
            found = layer(torch.randn(1, tokens, channels))
            if training:
                found.sum().backward()

    return timed(work)


@torch.inference_mode()
def window_cost(kind: str, way: str) -> dict:
    """MONAI's attention in windows, 48 channels and 3 heads, its table of pairs made or not."""
    attention = WindowAttention(48, 3, (7, 7, 7), qkv_bias=True, use_flash_attention=way == "fused").eval()
    x, mask = torch.randn(WINDOWS, 7**3, 48), torch.zeros(WINDOWS, 7**3, 7**3) if kind == "shifted" else None
    attention(x[:10], None)
    return timed(lambda: attention(x, mask))


class FirstOnly(nn.Module):
    """Meets `PatchModel`: reads one patch, and says of all others what it said of that one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seconds, self.answer, self.read = network, 0.0, None, 0
        self.size_multiple, self.num_labels = network.size_multiple, network.num_labels

    def forward(self, x: Tensor) -> Tensor:
        if self.answer is None:
            began = time.process_time()
            self.answer = self.network(x)
            self.seconds = time.process_time() - began
        self.read += 1
        return self.answer


def volume_cost(i: int, j: int, k: int, name: str) -> dict:
    """The first patches of a run, as if it were stopped then: memory is that of a true one, which holds one slab."""
    import numpy as np

    from EfficientSegLib.listener import Listener
    from EfficientSegLib.segment import segment
    from EfficientSegLib.volume import Volume

    bundle = totalsegmentator_like(name)
    estimate = resources.estimate_memory_mb((i, j, k), SPACING, bundle)
    model = FirstOnly(in_form(name, "ours fp32"))

    class Stopping(Listener):
        def should_stop(self) -> bool:
            return model.read >= READ

    values = np.random.default_rng(0).normal(0, 100, (1, i, j, k)).astype(np.int16)
    done: list = []
    cost = timed(lambda: done.append(segment(Volume(values, SPACING), bundle, model, listener=Stopping())))
    return {
        **cost,
        "estimate_mb": estimate,
        "patches": done[0].patches_total,
        "read": done[0].patches_read,
        "patch_seconds": model.seconds,
        "other_seconds": cost["seconds"] - model.seconds,
        "weights_mb": sum(parameter.numel() for parameter in model.parameters()) * 4 / 2**20,
    }


def totalsegmentator_like(name: str) -> Bundle:
    options = {"patch_size": [128, 128, 128], "overlap": 0.5, "memory_mb": 2000.0}
    return Bundle(
        schema=bundles.SCHEMA,
        name="swin-smt",
        version="1",
        title="Random weights",
        modality="CT",
        channels=("CT",),
        labels=tuple(Label(n, f"Structure {n}", (n, 255 - n, n)) for n in range(1, LABELS)),
        preprocess=Preprocess("RAS", SPACING, Intensity("window", -1024, 1024, to=(0, 1))),
        network=Component("swin_smt", copy.deepcopy(NETWORKS[name])),
        strategy=Component("sliding_window", options),
        weights=Weights("weights.pt", "0" * 64),
        licence=Licence("CC0-1.0", "none", "measurements"),
        folder="nowhere",
    )


def tables(found: list[dict]) -> str:
    parts = [
        "# Swin SMT on a CPU",
        "Command: `python Testing/benchmarks/swin_smt.py --parts patch layers windows volume --results FILE "
        "--write FILE`. "
        "Seconds of one processor thread (waiting is not counted; other work ran on the machine), each row in a "
        f"process of its own. torch {torch.__version__}, random weights. Memory: what the process held at most, and by "
        "how much that is more than before the pass.",
    ]
    patch = [each for each in found if each["row"][0] == "patch"]
    if patch:
        parts.append(f"## One patch of {patch[0]['row'][1]}³, {LABELS} outputs\n\n" + patch_table(patch))
    layers = [each for each in found if each["row"][0] == "layer"]
    if layers:
        parts.append("## One feed-forward layer, E = 32\n\n" + layer_table(layers))
    windows = [each for each in found if each["row"][0] == "window"]
    if windows:
        parts.append("## Window attention of the first stage, 1000 windows of 343 tokens\n\n" + window_table(windows))
    volumes = [volume_text(each) for each in found if each["row"][0] == "volume"]
    parts += volumes or [estimate_text("Swin SMT (E = 32)")]
    return "\n\n".join(parts) + "\n"


def patch_table(found: list[dict]) -> str:
    plain = {each["row"][2]: each["seconds"] for each in found if each["row"][3] == "plain"}
    lines = [
        "| network | form | seconds | plain is this many times slower | peak MB | grown MB |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for each in found:
        _, _, name, form = each["row"]
        ratio = f"{plain[name] / each['seconds']:.2f}" if name in plain else ""
        lines.append(
            f"| {name} | {form} | {each['seconds']:.1f} | {ratio} | {each['peak_mb']:.0f} | {each['grown_mb']:.0f} |"
        )
    return "\n".join(lines)


def layer_table(found: list[dict]) -> str:
    lines = [
        "| layer | tokens x channels | pass | seconds | grown MB | tables of the direct form, MB |",
        "|---|---|---|--:|--:|--:|",
    ]
    for each in found:
        _, kind, tokens, channels, training = each["row"]
        size = "" if kind == "MLP" else f"{3 * tokens**2 * 4 / 2**20:.0f}"
        way = "forward and back" if training else "forward"
        lines.append(
            f"| {kind} | {tokens} x {channels} | {way} | {each['seconds']:.2f} | {each['grown_mb']:.0f} | {size} |"
        )
    return "\n".join(lines)


def window_table(found: list[dict]) -> str:
    lines = ["| windows | way | seconds | grown MB |", "|---|---|--:|--:|"]
    for each in found:
        _, kind, way = each["row"]
        lines.append(f"| {kind} | {way} | {each['seconds']:.2f} | {each['grown_mb']:.0f} |")
    return "\n".join(lines)


def estimate_text(name: str) -> str:
    estimate = resources.estimate_memory_mb(VOLUME, SPACING, totalsegmentator_like(name))
    i, j, k = VOLUME
    return (
        f"## A volume of {i} x {j} x {k} voxels at 1.5 mm, {LABELS} labels, sliding window 128³, overlap 0.5\n\n"
        f"{name}: `resources.estimate_memory_mb` says {estimate:.0f} MB, without the weights; not measured. All logits "
        f"in float32 at once would be {LABELS * i * j * k * 4 / 2**20:.0f} MB."
    )


def volume_text(each: dict) -> str:
    _, i, j, k, name = each["row"]
    network = each["patches"] * each["patch_seconds"]
    return (
        f"## A volume of {i} x {j} x {k} voxels at 1.5 mm, {LABELS} labels, sliding window 128³, overlap 0.5\n\n"
        f"{name}, {each['read']} of {each['patches']} patches read (the first truly, the others answered as it did), "
        "then stopped and written: the slab of patches that is held at one time is full by then. "
        f"Peak {each['peak_mb']:.0f} MB, weights of {each['weights_mb']:.0f} MB included; "
        f"`resources.estimate_memory_mb` says {each['estimate_mb']:.0f} MB without them. "
        f"All else than the network took {each['other_seconds']:.0f} s; the network {each['patch_seconds']:.1f} s for "
        f"a patch, so about {network:.0f} s for all {each['patches']} (a product, not a measurement). "
        "All logits in float32 at once would be "
        f"{LABELS * i * j * k * 4 / 2**20:.0f} MB."
    )


if __name__ == "__main__":
    main()
