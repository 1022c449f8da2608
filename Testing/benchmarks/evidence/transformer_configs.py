"""Trainings that show what STP + MTA + UNETR and Swin SMT are worth, and every patch model under two strategies.

    python Testing/benchmarks/evidence/transformer_configs.py --splits Testing/benchmarks/results/splits.json \\
        --output FOLDER

Four comparisons, each with equal minutes and one schedule: tokens (hippocampus; a patch holds the whole volume),
experts (hippocampus; patches of 32 x 64 x 32), the registry (sarcoma; patches of 64 x 32 x 32), in which every network
is trained as the local one of NMSW beside the same global U-Net, and once more alone for the sliding window, and the
sweep: those trained alone, over the prune ratios, the parts of STP + MTA and the numbers of experts.
The networks are smaller than the papers'; `TOKENS` and `WINDOWS` say how.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Testing" / "benchmarks"))

from evidence.configs import (  # noqa: E402
    HIPPOCAMPUS,
    METHODS,
    SEEDS,
    STS_MR,
    UNET,
    DataSet,
    Method,
    case_of,
    training,
)

MINUTES = {"tokens": 2.0, "experts": 2.0, "registry": 2.0}
# The parts of STP + MTA are compared at equal iterations, those of the same seed's usual network: trained later, beside
# other work, they would have come to fewer in equal minutes.
PARTS_ITERATIONS = {0: 323, 1: 344, 2: 314}
RATIOS = (0.25, 0.5, 0.75, 0.9)
TWICE = 0.9  # from this ratio on two prunings: a third would leave none of 288 tokens, and the network refuses it
USUAL_RATIO = 0.75
EXPERTS = (0, 4, 8, 16, 32)
USUAL_EXPERTS = 8
HELD_OUT = 8  # pilots: every eighth training case is validated on, and not trained on

# A quarter of ViT-B's width; the STPs lie after blocks 3, 6 and 9 as in the paper. The decoder is half as wide as its:
# with 288 tokens instead of 1728 the encoder would otherwise be too small a part of the cost for a ratio to show.
TOKENS = {"decoder": "v2", "width": 192, "depth": 12, "heads": 6, "prune_after": [3, 6, 9], "feature_size": 8}
WINDOWS = {"feature_size": 12, "window": 4}  # the paper's are 48 and 7
MEDNEXT = {"channels": 8, "expansion": [2, 3, 4, 4, 4, 3, 2], "blocks": [1, 1, 2, 2, 2, 1, 1]}

TOKEN_DATA = HIPPOCAMPUS  # patches of 48 x 64 x 48: 6 x 8 x 6 tokens
WINDOW_DATA = replace(HIPPOCAMPUS, patch_size=(32, 64, 32), smallest=(32, 64, 32), largest=(64, 64, 64))
REGISTRY_DATA = replace(STS_MR, patch_size=(64, 32, 32))  # 8 x 4 x 4 tokens
GLOBAL = replace(METHODS["nmsw"], options={"sampled_patches": 1})  # of three: two local passes an iteration
ALONE = replace(METHODS["sw"], options={**METHODS["sw"].options, "patches": 2})
INSIDE = replace(METHODS["sw"], options={"patches": 2, "foreground": 0.5})  # samples of small volumes are half air
LEARNING_RATE = {"unet": 2e-3, "mednext": 2e-3, "swin_unetr": 3e-3, "swin_smt": 3e-3, "stp_unetr": 3e-3}


@dataclass(frozen=True)
class Net:
    """A line of a table."""

    name: str
    title: str
    network: str
    options: dict[str, Any] = field(default_factory=dict)


def tokens(patch_size: tuple[int, int, int], name: str, title: str, **options: Any) -> Net:
    """A network with UNETR's decoder."""
    return Net(name, title, "stp_unetr", {"patch_size": list(patch_size), **TOKENS, **options})


def stp(patch_size: tuple[int, int, int], ratio: float) -> Net:
    """STP + MTA + UNETR."""
    title, options = f"STP + MTA, r = {ratio:g}", {"prune_ratio": ratio}
    if ratio >= TWICE:
        title, options = f"{title}, two STPs", {**options, "prune_after": TOKENS["prune_after"][:2]}
    return tokens(patch_size, f"stp{round(100 * ratio)}", title, **options)


def token_nets() -> list[Net]:
    """The dense network and the prune ratios."""
    patch = TOKEN_DATA.patch_size
    return [tokens(patch, "unetr", "UNETR, dense", selection="none"), *(stp(patch, ratio) for ratio in RATIOS)]


def ablations() -> list[Net]:
    """What the paper compares its parts with, at one ratio."""
    patch, given = TOKEN_DATA.patch_size, {"prune_ratio": USUAL_RATIO}
    return [
        tokens(patch, "mim", "STP + MIM", completion="mim", **given),
        tokens(patch, "quiet", "STP + MTA, no noise", noise=False, **given),
        tokens(patch, "evit", "EViT + MTA", selection="evit", **given),
        tokens(patch, "dynamic", "DynamicViT + MTA", selection="dynamic_vit", **given),
    ]


def swin_smt(experts: int) -> Net:
    """Swin SMT; without experts it is Swin UNETR, built by the same file."""
    title = f"Swin SMT, E = {experts}" if experts else "Swin UNETR (E = 0)"
    return Net(f"experts{experts}", title, "swin_smt", {"experts": experts, **WINDOWS})


def registry() -> list[Net]:
    """Every patch model."""
    patch = REGISTRY_DATA.patch_size
    return [
        Net("unet", "U-Net", "unet", UNET),
        Net("mednext", "MedNeXt", "mednext", MEDNEXT),
        Net("swin", "Swin UNETR", "swin_unetr", WINDOWS),
        tokens(patch, "unetr", "UNETR, dense", selection="none"),
        stp(patch, USUAL_RATIO),
        swin_smt(USUAL_EXPERTS),
    ]


def sweep() -> list[Net]:
    """Prune ratios, numbers of experts and parts of STP + MTA, beyond what the registry has of them."""
    patch, given = REGISTRY_DATA.patch_size, {"prune_ratio": USUAL_RATIO}
    return [
        *(stp(patch, ratio) for ratio in RATIOS if ratio != USUAL_RATIO),
        *(swin_smt(number) for number in EXPERTS if number != USUAL_EXPERTS),
        tokens(patch, "mim", "STP + MIM", completion="mim", **given),
        tokens(patch, "quiet", "STP + MTA, no noise", noise=False, **given),
    ]


def net_training(
    data: DataSet, method: Method, net: Net, name: str, cases: list[str], seed: int, minutes: float
) -> dict[str, Any]:
    """A `TrainConfig` as JSON: `net` instead of the U-Net of `configs.training`, in NMSW instead of its local one."""
    content = training(data, method, cases, seed, minutes, learning_rate=LEARNING_RATE[net.network])
    bundle = content["bundle"]
    bundle["name"], bundle["title"] = f"{name}-{seed}", f"{data.folder}, {net.title}, seed {seed} (for measurements)"
    if method.network == "nmsw":
        bundle["network"]["options"] |= {"local_backbone": net.network, "local_options": net.options}
    else:
        bundle["network"] = {"name": net.network, "options": net.options}
    return content


def trainings(splits: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All trainings by name, in the order in which they are worth having."""
    result = {}

    def add(
        data: DataSet, method: Method, prefix: str, nets: list[Net], minutes: float, seeds: tuple[int, ...] = SEEDS
    ) -> None:
        cases = splits[data.folder]["train"]
        for seed in seeds:
            for net in nets:
                name = f"{prefix}-{net.name}"
                content = net_training(data, method, net, name, cases, seed, minutes)
                if prefix == "parts":
                    content |= {"minutes": None, "iterations": PARTS_ITERATIONS[seed]}
                result[f"{name}-{seed}"] = content

    add(TOKEN_DATA, METHODS["whole"], "tokens", token_nets(), MINUTES["tokens"])
    add(REGISTRY_DATA, GLOBAL, "nmsw", registry(), MINUTES["registry"])
    add(WINDOW_DATA, INSIDE, "experts", [swin_smt(number) for number in EXPERTS], MINUTES["experts"])
    add(TOKEN_DATA, METHODS["whole"], "parts", ablations()[:2], MINUTES["tokens"])
    add(TOKEN_DATA, METHODS["whole"], "parts", ablations()[2:], MINUTES["tokens"])
    add(REGISTRY_DATA, ALONE, "alone", [*registry(), *sweep()], MINUTES["registry"])
    return result


def pilot(content: dict[str, Any], minutes: float, learning_rate: float) -> dict[str, Any]:
    """The same on seven eighths of its cases, with Dice on the others at the end: to choose a learning rate by."""
    cases = content["cases"]
    held_out = cases[::HELD_OUT]
    return content | {
        "cases": [case for case in cases if case not in held_out],
        "validation": held_out,
        "validation_cases": len(held_out),
        "validation_every": minutes,
        "validation_dice": True,
        "bundle_from": "last",
        "minutes": minutes,
        "learning_rate": learning_rate,
    }


def test_cases(splits: dict[str, Any], data: DataSet) -> list[dict[str, Any]]:
    """The unseen cases, as `EfficientSegLib.evaluation.cases.read_list` wants them."""
    return [{"name": name, **case_of(data, name)} for name in splits[data.folder]["test"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path, help="folder of the configurations")
    parser.add_argument("--pilots", nargs="*", default=(), metavar="NAME=RATE", help="only these, on fewer cases")
    parser.add_argument("--pilot-minutes", type=float, default=1.0)
    given = parser.parse_args()
    contents = trainings(json.loads(given.splits.read_text(encoding="utf-8")))
    if given.pilots:
        wanted = [text.split("=") for text in given.pilots]
        contents = {
            f"pilot-{name}-{rate}": pilot(contents[name], given.pilot_minutes, float(rate)) for name, rate in wanted
        }
    given.output.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (given.output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
