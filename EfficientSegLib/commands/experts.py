"""`experts`: which voxels of a volume feed which expert of a Swin SMT network, as maps on the volume's grid."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.commands.segment import find_bundle
from EfficientSegLib.commands.terminal import ProgressBar
from EfficientSegLib.environment import cores
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.files import appearing, replacing
from EfficientSegLib.protocol import Progress

if TYPE_CHECKING:
    from EfficientSegLib.expert_maps import ExpertMaps
    from EfficientSegLib.volume import Volume

DESCRIPTION, LARGEST = "experts.json", "largest"
ENDING = ".nii.gz"
MEANING = (
    "How much a voxel's token gives to the slots of this expert: the dispatch weights (softmax over all tokens of a "
    "patch, one for each slot) added up over the expert's slots. Over the tokens of a patch a map adds to "
    "slots_per_expert; a token that gave evenly would have even_share. 0 where nothing was read."
)
OVERLAPS = (
    "Each patch is a mixture of its own; where patches overlap, their values are averaged, weighted by the sliding "
    "window's Gaussian."
)


def run(arguments: argparse.Namespace) -> int:
    """Write a folder of maps; it appears whole, or not at all.

    Raises:
        EfficientSegError: the network has no experts, or the volume, the layer or the folder cannot be used.
    """
    output = Path(arguments.output)
    _check_output(output)
    if arguments.threads is not None and arguments.threads < 1:
        raise OptionError(f"threads is {arguments.threads}.", why="At least one is needed.", mend="Use 1 or more.")
    bundle = bundles.load(find_bundle(arguments.bundle))
    with appearing(output) as folder:
        volume, maps = _find(arguments, bundle)
        described = write(maps, volume, folder)
        described = {**_describe(maps, bundle, arguments.input), **described}
        text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
        with replacing(folder / DESCRIPTION) as part:
            part.write_text(text, encoding="utf-8")
    print(
        f"{output}: {len(maps.shares)} experts of stage {maps.stage}, block {maps.block}; {maps.patches} "
        f"patch{'es' if maps.patches > 1 else ''} read. What the values mean is in {DESCRIPTION}. Research only."
    )
    return 0


def write(maps: "ExpertMaps", volume: "Volume", folder: Path) -> dict[str, Any]:
    """Write one image per expert and one of the largest share; which file is which, and what it holds."""
    from EfficientSegLib.volume import Volume
    from EfficientSegLib.volume import write as write_volume

    digits, files = len(str(len(maps.shares))), []
    for expert in range(len(maps.shares)):
        values = maps.of_expert(expert)
        name = f"expert-{expert + 1:0{digits}}{ENDING}"
        write_volume(Volume(values[None], volume.spacing_mm, volume.origin_mm, volume.direction), folder / name)
        seen = maps.shares[expert]
        files.append({"file": name, "expert": expert + 1, "mean": float(seen.mean()), "highest": float(seen.max())})
    largest = Volume(maps.largest()[None], volume.spacing_mm, volume.origin_mm, volume.direction)
    write_volume(largest, folder / f"{LARGEST}{ENDING}")
    meaning = "The expert, counted from 1, to which a voxel's token gives most; 0 where nothing was read."
    return {"maps": files, "largest": {"file": f"{LARGEST}{ENDING}", "meaning": meaning}}


def _find(arguments: argparse.Namespace, bundle: Bundle) -> tuple["Volume", "ExpertMaps"]:
    import torch

    from EfficientSegLib.expert_maps import Chosen, find_maps
    from EfficientSegLib.segment import load_model
    from EfficientSegLib.volume import read

    torch.set_num_threads(arguments.threads or max(cores() - 1, 1))
    volume = read(arguments.input)
    model = load_model(bundle, devices.choose(arguments.device))
    bar = ProgressBar()

    def report(done: int, total: int) -> None:
        bar(Progress("patches", done / total, done, total))

    try:
        chosen = Chosen(arguments.stage, arguments.block)
        return volume, find_maps(volume, bundle, model, chosen, arguments.centre, report)
    finally:
        bar.close()


def _describe(maps: "ExpertMaps", bundle: Bundle, source: str) -> dict[str, Any]:
    return {
        "bundle": {"name": bundle.name, "version": bundle.version, "weights_sha256": bundle.weights.sha256},
        "input": source,
        "stage": maps.stage,
        "block": maps.block,
        "experts": len(maps.shares),
        "meaning": MEANING,
        "slots_per_expert": maps.slots,
        "tokens_per_patch": maps.tokens,
        "even_share": maps.even_share,
        "token_mm": [maps.token_voxels * step for step in maps.prepared.spacing_mm],
        "patches": maps.patches,
        "overlaps": OVERLAPS if maps.region is None else "One patch only.",
        "region": None if maps.region is None else {"start": maps.region.start, "stop": maps.region.stop},
    }


def _check_output(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise VolumeError(
            f"{output} is there, and is not an empty folder.",
            why="The maps are a folder of their own; nothing is overwritten.",
            mend="Remove it, or use another name.",
        )
