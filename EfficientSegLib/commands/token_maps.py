"""`--tokens` and `--prune-ratio` of `segment` and `batch`: for networks that drop tokens, and refused with others."""

import argparse
import json
import os
from math import nan
from pathlib import Path

from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.files import replacing
from EfficientSegLib.patch_memory import reader

ENDINGS = (".nii.gz", ".nrrd")


def check_bundle(arguments: argparse.Namespace, bundle: Path) -> None:
    """Refuse what this bundle does not have before anything is computed.

    Raises:
        OptionError: the bundle's network drops no tokens, or at this ratio all of them.
        BundleError: the bundle cannot be read.
    """
    wants_map = arguments.tokens not in (None, False)
    if not wants_map and arguments.prune_ratio is None:
        return
    found = bundles.load(bundle)
    if not found.prunes_tokens:
        given = "--tokens" if wants_map else "--prune-ratio"
        raise OptionError(
            f"{given} does not go with bundle {found.name!r}.",
            why=f"Its network drops no tokens; {' and '.join(bundles.TOKEN_NETWORKS)} does, by itself or in nmsw.",
            mend=f"Leave {given} away.",
        )
    if arguments.prune_ratio is not None:
        network = reader(found.network)
        networks.check(network.name, {**network.options, "prune_ratio": arguments.prune_ratio})


def prune_ratio(text: str) -> float:
    """A value of --prune-ratio; what no strategy would take is refused before anything is loaded."""
    try:
        ratio = float(text)
    except ValueError:
        ratio = nan
    if not 0 < ratio < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not between 0 and 1; give the share of tokens that each stage drops, for example 0.75 or 0.9"
        )
    return ratio


def options(arguments: argparse.Namespace) -> dict:
    """The strategy's options for --prune-ratio; nothing where it is not given."""
    return {} if arguments.prune_ratio is None else {"prune_ratio": arguments.prune_ratio}


def name_in_record(record: str | os.PathLike, file: Path) -> None:
    """Let a copy of a run record name the file that the map was written to, in one step."""
    content = json.loads(Path(record).read_text(encoding="utf-8"))
    content["tokens"]["file"] = str(file)
    with replacing(record) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def check_file(path: Path, source: Path, output: Path) -> None:
    """Refuse a map that cannot be written so, or that would take the place of the scan or of the result.

    Raises:
        VolumeError: it is so.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS) or name.endswith(".seg.nrrd"):
        raise VolumeError(
            f"--tokens cannot be written to {path.name}.",
            why="It is a label map: numbers of stages, no segments.",
            mend=f"Use a name that ends with {' or '.join(ENDINGS)}.",
        )
    if path.is_dir():
        raise VolumeError(f"{path} is a folder.", why="The map is one file.", mend="Choose another name for --tokens.")
    for other, role in ((source, "input"), (output, "result")):
        if path.absolute() == other.absolute() or (path.exists() and other.exists() and path.samefile(other)):
            raise VolumeError(
                f"--tokens {path} is the {role}.", why="One would replace the other.", mend="Choose another name."
            )
