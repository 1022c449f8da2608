"""The command line: `python -m EfficientSegLib COMMAND`; `commands` has a file for each."""

import argparse
import logging
import sys
from importlib import import_module

from EfficientSegLib import __version__
from EfficientSegLib.commands.plan import three
from EfficientSegLib.commands.segment import INTERRUPTED, patches_number
from EfficientSegLib.commands.terminal import show_error
from EfficientSegLib.commands.token_maps import prune_ratio
from EfficientSegLib.devices import BACKENDS, DEVICES, PRECISIONS
from EfficientSegLib.errors import EfficientSegError
from EfficientSegLib.failures import explain
from EfficientSegLib.studies.place import ENDINGS


def parser() -> argparse.ArgumentParser:
    """All sub-commands and their arguments."""
    top = argparse.ArgumentParser(
        prog="python -m EfficientSegLib",
        description="Segments CT and MR volumes on the machine people have. Research only, not for diagnosis.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _segment(commands.add_parser("segment", help="segment one volume"))
    _batch(commands.add_parser("batch", help="segment all volumes of a folder tree"))
    _bundles(commands.add_parser("bundles", help="list, add, delete or check models"))
    _devices(commands.add_parser("devices", help="what this machine can calculate on, and how fast"))
    _plan(commands.add_parser("plan", help="make a training's configuration from a data set"))
    _train(commands.add_parser("train", help="train a model and write it as a bundle"))
    _evaluate(commands.add_parser("evaluate", help="score models, and other tools' label files, on annotated cases"))
    _experts(commands.add_parser("experts", help="map which voxels feed which expert of a Swin SMT model"))
    return top


def _segment(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("input", help="image file (NIfTI, NRRD, MetaImage), or a folder with one DICOM series")
    add("--bundle", required=True, help="the model: a bundle's folder, or the name of a shipped one")
    add("-o", "--output", help=".seg.nrrd for Slicer, or .nii.gz, .nrrd, .mha; default: INPUT's name, here")
    add("--patches", type=patches_number, metavar="K|all|coarse", help="patches read in detail; default: the bundle's")
    add("--strategy", help="how the volume is read; default: the bundle's")
    add("--overlapping", action="store_true", help="let segments share voxels, if the model's labels are independent")
    _prune_ratio(command)
    add(
        "--tokens",
        metavar="MAP.NRRD",
        help="where tokens were dropped: 1 first stage, 2 ..., last value kept, 0 unread",
    )
    add("--device", choices=DEVICES, default="auto", help="default: the GPU if there is one that works")
    add("--precision", choices=PRECISIONS, default="auto", help="auto: bf16 if processor and model were tested for it")
    add("--backend", choices=BACKENDS, default="torch", help="openvino: on the CPU, needs pip install openvino")
    add("--threads", type=int, help="default: all cores but one")
    add("--record", metavar="RUN.JSON", help="write down what was done, with what, and what came out")
    add("--picture", metavar="OVERVIEW.PNG", help="draw slices, patches and class weights (needs matplotlib)")


def _prune_ratio(command: argparse.ArgumentParser) -> None:
    meaning = "share of tokens dropped at each stage; default: the bundle's"
    command.add_argument("--prune-ratio", type=prune_ratio, metavar="R", help=meaning)


def _batch(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("input", help="folder tree of image files (NIfTI, NRRD, MetaImage) and DICOM series")
    add("--bundle", required=True, help="the model: a bundle's folder, or the name of a shipped one")
    add("-o", "--output", required=True, help="folder of the results, a mirror of the tree; what is done there is kept")
    add("--format", choices=ENDINGS, default="seg.nrrd", help="seg.nrrd for Slicer (default), or nii.gz")
    add("--include", action="append", default=[], metavar="PATTERN", help="only paths or series like '*thorax*'")
    add("--exclude", action="append", default=[], metavar="PATTERN", help="none of these; both may be repeated")
    add("--limit", type=int, metavar="N", help="run at most N cases this time")
    add("--again", action="store_true", help="run also what was done in the same way before")
    add("--list", action="store_true", help="only say what would be done")
    add("--json", action="store_true", help="with --list: a JSON object per line")
    add("--scheduler", metavar="ADDRESS", help="of Dask: its workers do the cases (needs distributed)")
    add("--patches", type=patches_number, metavar="K|all|coarse", help="patches read in detail; default: the bundle's")
    add("--strategy", help="how volumes are read; default: the bundle's")
    _prune_ratio(command)
    add(
        "--tokens",
        action="store_true",
        help="beside each result, CASE.tokens.nrrd (.tokens.nii.gz with --format nii.gz): where tokens were dropped, "
        "1 first stage, 2 ..., last value kept, 0 unread",
    )
    add("--device", choices=DEVICES, default="auto", help="default: the GPU if there is one that works")
    add("--precision", choices=PRECISIONS, default="auto", help="auto: bf16 if processor and model were tested for it")
    add("--backend", choices=BACKENDS, default="torch", help="openvino: on the CPU, needs pip install openvino")
    add("--threads", type=int, help="default: all cores but one; with --scheduler, a worker's share of its machine")


def _bundles(command: argparse.ArgumentParser) -> None:
    command.add_argument("folders", nargs="*", help="folders that hold bundles; default: the shipped ones, yours")
    add = command.add_argument
    add("--install", metavar="FILE|FOLDER|URL", help="check this bundle and copy it into your folder; .zip for a file")
    add("--replace", action="store_true", help="with --install: take the place of the same name and version")
    add("--delete", metavar="NAME", help="remove this bundle from your folder")
    add("--where", action="store_true", help="say which folder holds your bundles")
    add("--check", metavar="BUNDLE", help="load this one, checksum and weights included, and try it")
    add("--gate", metavar="BUNDLE", help="compare its labels in bf16 and fp32 on volumes, and write down the result")
    add("--on", nargs="+", default=[], metavar="VOLUME", help="the volumes for --gate")
    add("--backend", choices=BACKENDS, default="torch", help="what calculates for --gate")


def _devices(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--measure", action="store_true", help="time a patch on each, after a check that it calculates rightly")
    add("--bundle", default="demo-ct", help="whose patches, for --measure: a folder, or the name of a shipped one")
    add("--threads", type=int, help="of the processor; default: all cores but one")
    add("--json", action="store_true", help="a JSON object per line")


def _plan(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("dataset", help="a folder in the form of the Decathlon, of nnU-Net v2 raw, or CASE/image.nii.gz + label.nii.gz")
    add(
        "--network",
        default="nmsw",
        help="nmsw (default), mednext, segmate, segmate_vanilla, stp_unetr, swin_smt, swin_unetr or unet",
    )
    add(
        "--local",
        default="unet",
        help="network that reads nmsw's patches: unet (default), mednext, stp_unetr, swin_smt or swin_unetr",
    )
    add("--encoder", default="light", help="segmate's: light (default); efficientnetv2, fastvit, mambaout need timm")
    add("-o", "--output", required=True, help="configuration to write, JSON")
    add("--modality", choices=("CT", "MR"), help="default: as the data set says, or as its values look")
    add(
        "--spacing",
        type=three(float),
        metavar="I,J,K",
        help="voxel in mm, axes to the right, front, top; default: median",
    )
    add("--patch", type=three(int), metavar="I,J,K", help="voxels of a patch; default: by the median size")
    add(
        "--downsampling",
        type=three(int),
        metavar="I,J,K",
        help="of nmsw's overview; default: 3, less where it is small",
    )
    add("--largest", type=three(int), metavar="I,J,K", help="voxels of a sample at most; default: the largest case")
    add("--iterations", type=int, help="default: 20000, or as many as --minutes allow")
    add("--minutes", type=float, help="end of the training by time")
    add("--fold", type=int, default=0, help="which part of the cases is for validation, from 0")
    add("--folds", type=int, help="number of parts; 1: train on all cases; default: 5, or one for each of fewer cases")
    add("--seed", type=int, default=0, help="of the folds and of the training")


def _train(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "config",
        help="the training's configuration, JSON, as plan writes it; the map of a case takes values of its label file "
        'to labels: {"3": 1}, or {"3": [1, 2]} where labels overlap (outputs "independent"); null: ignored',
    )
    add("--data", required=True, help="folder that the configuration's paths begin at")
    add("-o", "--output", required=True, help="folder of the new bundle and the checkpoints")
    add("--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from the last checkpoint")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one that works")
    add(
        "--pretrained-encoder",
        nargs="?",
        const=True,
        default=False,
        metavar="FILE",
        help="begin with an encoder that others trained, from this file or downloaded; shows its licence (segmate)",
    )
    add("--tensorboard", action="store_true", help="write TensorBoard's event files too (needs tensorboard)")
    add(
        "--processes", type=int, help="processes that share the work; must be the configuration's, which is the default"
    )


def _evaluate(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--bundle", action="append", default=[], metavar="[NAME[#SEED]=]FOLDER", help="a model; may be repeated")
    add("--strategy", action="append", metavar="NAME[:OPTION=VALUE,...]", help="how volumes are read; may be repeated")
    add("--patches", type=patches_number, nargs="+", metavar="K", help="numbers of patches to try: 0 5 30 all")
    add("--predictions", action="append", default=[], metavar="[NAME=]FOLDER", help="label files another tool has left")
    add("--bundle-labels", metavar="BUNDLE|DATASET.JSON", help="which labels those hold; default: the first bundle's")
    add(
        "--cases",
        metavar="CASES.JSON|DATASET",
        help="list of cases, or a folder of the Decathlon or of nnU-Net (raw); where a case's map lists labels, such "
        'as {"3": [1, 2]}, each is scored by itself',
    )
    add("--images", metavar="FOLDER", help="instead of --cases: images")
    add("--labels", metavar="FOLDER", help="and their references, under the same names")
    add("--data", metavar="FOLDER", help="what the paths in CASES.JSON begin at; default: its own folder")
    add("--split", help="only cases of this split, such as validation")
    add("--splits", metavar="SPLITS.JSON", help="nnU-Net's splits_final.json, with --fold")
    add("--fold", type=int, help="validation cases of this fold, from 0")
    add(
        "-o",
        "--output",
        required=True,
        metavar="FOLDER",
        help="of the results; finished runs found there are not run again",
    )
    add("--tolerance", type=float, default=2.0, metavar="MM", help="surface distance that counts as agreement (NSD)")
    add("--device", choices=DEVICES, default="auto", help="default: the GPU if there is one that works")
    add("--threads", type=int, help="default: all cores but one")
    add("--plots", action="store_true", help="draw Dice by number of patches and by label (needs matplotlib)")


def _experts(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("bundle", help="the model, with network swin_smt: a bundle's folder, or the name of one that is installed")
    add("input", help="image file (NIfTI, NRRD, MetaImage), or a folder with one DICOM series")
    add("-o", "--output", required=True, metavar="FOLDER", help="new folder: a map per expert, and what they mean")
    add("--stage", type=int, help="1 has the smallest tokens, 4 the largest; default: the first with experts")
    add("--block", type=int, help="layer of that stage, from 1; default: 1")
    add(
        "--centre", type=three(int), metavar="I,J,K", help="read one patch around this voxel; default: the whole volume"
    )
    add("--device", choices=DEVICES, default="auto", help="default: the GPU if there is one that works")
    add("--threads", type=int, help="default: all cores but one")


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; 0 is well, 1 an error told in three lines, 2 wrong usage, 130 Ctrl-C."""
    given = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    try:
        return import_module(f"EfficientSegLib.commands.{given.command}").run(given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if not isinstance(error, EfficientSegError):
            logging.getLogger(__name__).debug("The command failed.", exc_info=True)
        show_error(explain(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
