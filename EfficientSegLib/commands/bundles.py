"""`bundles`: which models are there, whether one works, whether it bears reduced precision; adding and deleting."""

import argparse
import dataclasses
from pathlib import Path

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.commands import bundle_store
from EfficientSegLib.commands.segment import find_bundle
from EfficientSegLib.commands.terminal import show_error
from EfficientSegLib.environment import ROOT
from EfficientSegLib.errors import BundleError, OptionError
from EfficientSegLib.failures import explain
from EfficientSegLib.store.home import user_folder


def run(arguments: argparse.Namespace) -> int:
    """List bundles, or check or measure one; the exit code is 1 where one cannot be used or does not pass.

    Raises:
        EfficientSegError: the bundle to be checked does not work, bfloat16 cannot be measured here, or a bundle cannot
            be installed or deleted.
    """
    if bundle_store.wanted(arguments):
        return bundle_store.run(arguments)
    if arguments.gate:
        return gate(bundles.load(find_bundle(arguments.gate)), arguments.on, arguments.backend)
    if arguments.check:
        bundle = bundles.load(find_bundle(arguments.check))
        check(bundle)
        print(f"{bundle.name} {bundle.version}: manifest, checksum, weights and a pass through the network are right.")
        return 0
    return list_all([Path(folder) for folder in arguments.folders] or [ROOT / "Resources" / "Bundles", user_folder()])


def list_all(folders: list[Path]) -> int:
    """Print one line per bundle; a broken one says why and does not hide the others."""
    found = sorted({*bundles.find(folders), *(folder for folder in folders if (folder / bundles.MANIFEST).is_file())})
    if not found:
        print(f"No bundles in {', '.join(map(str, folders))}.")
        return 0
    code = 0
    rows = [("NAME", "VERSION", "KIND", "LABELS", "STRATEGY", "MB", "TITLE")]
    for folder in found:
        try:
            rows.append(_row(bundles.load(folder)))
        except BundleError as error:
            show_error(explain(error))
            code = 1
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return code


def check(bundle: Bundle) -> None:
    """Load the weights strictly and let the network see one patch.

    Raises:
        EfficientSegError: something does not fit.
    """
    import torch

    from EfficientSegLib import strategies
    from EfficientSegLib.geometry import whole
    from EfficientSegLib.options import read_options
    from EfficientSegLib.segment import load_model

    model = load_model(bundle, "cpu")
    module = strategies.module(bundle.strategy.name)
    options = dict(bundle.strategy.options)
    if "top_k" in module.Options.__dataclass_fields__:
        options["top_k"] = None  # all of the one patch there is
    shape = tuple(getattr(model, "patch_size", None) or options.get("patch_size") or (64, 64, 64))
    with torch.inference_mode():
        volume = torch.zeros(len(bundle.channels), *shape)
        field = module.predict(volume, model, read_options(module.Options, options)).logits
        logits = field.region(whole(shape))
    if tuple(logits.shape) != (bundle.num_labels, *shape) or not bool(torch.isfinite(logits).all()):
        raise BundleError(
            f"The network of bundle {bundle.name!r} gives {tuple(logits.shape)} for a patch of {shape}.",
            why=f"{bundle.num_labels} finite numbers per voxel were expected: background and one per label.",
            mend="Get the bundle again, or ask its author.",
        )


def gate(bundle: Bundle, volumes: list[str], backend: str) -> int:
    """Measure what bfloat16 changes in the bundle's labels, and write it into its manifest, passed or not.

    Raises:
        OptionError: no volume was given.
        EfficientSegError: the measurement cannot be made here, or a volume cannot be read.
    """
    from EfficientSegLib import volume
    from EfficientSegLib.evaluation.gate import measure

    if not volumes:
        raise OptionError(
            "--gate has no volume.", why="Agreement is measured on volumes.", mend="Name some with --on VOLUME ..."
        )
    found = measure(bundle, {Path(path).name: volume.read(path) for path in volumes}, backend)
    others = tuple(old for old in bundle.reduced_precision if old.backend != backend)
    bundles.save(dataclasses.replace(bundle, reduced_precision=(*others, found)), bundle.folder)
    print(
        f"{bundle.name}, bf16 against fp32 ({backend}): {found.agreement:.4%} of the voxels agree, the lowest Dice of "
        f"{len(found.labels)} labels is {found.lowest_dice:.4f}. {'Passed' if found.passed else 'Not passed'}."
    )
    return 0 if found.passed else 1


def _row(bundle: Bundle) -> tuple[str, ...]:
    size = bundle.weights_path.stat().st_size / 1e6
    labels = str(len(bundle.shown_labels))
    return bundle.name, bundle.version, bundle.modality, labels, bundle.strategy.name, f"{size:.1f}", bundle.title
