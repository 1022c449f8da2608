"""`segment`: a volume in, a segmentation out, on the same path as the panel takes."""

import argparse
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from EfficientSegLib import bundle as bundles
from EfficientSegLib import job, protocol
from EfficientSegLib.commands import token_maps
from EfficientSegLib.commands.terminal import ProgressBar, time_text
from EfficientSegLib.errors import BundleError, OptionError, VolumeError
from EfficientSegLib.failures import Stopped
from EfficientSegLib.files import replacing, scratch_in
from EfficientSegLib.kept import ModelKeeper
from EfficientSegLib.store.home import user_folder
from EfficientSegLib.store.keeping import SHIPPED, is_named, named

INTERRUPTED = 130  # what shells call a command ended by Ctrl-C
SEGMENTATION_ENDING = ".seg.nrrd"


def run(arguments: argparse.Namespace) -> int:
    """Segment; Ctrl-C and SIGTERM keep what is done. Files appear whole at the end, or not at all.

    Raises:
        EfficientSegError: it cannot be done.
    """
    source = Path(arguments.input)
    output = _output_path(source, arguments.output)
    _check_overlapping(output, arguments.overlapping)
    bundle = find_bundle(arguments.bundle)
    check_patches(arguments, bundle)
    token_maps.check_bundle(arguments, bundle)
    if arguments.tokens is not None:
        token_maps.check_file(Path(arguments.tokens), source, output)
    stop = threading.Event()
    for extra in filter(None, (arguments.record, arguments.picture, arguments.tokens)):
        with scratch_in(Path(extra).parent):
            pass  # it can be written there: better known now than after the run
    with scratch_in(output.parent) as scratch, stopping_on_interrupt(stop):
        bar = ProgressBar()  # not before: a refusal would stand behind it on its line
        request = protocol.Request(
            input=str(source),
            output_dir=str(scratch),
            bundle=str(bundle),
            strategy=arguments.strategy,
            options={**strategy_options(arguments.patches), **token_maps.options(arguments)},
            device=arguments.device,
            precision=arguments.precision,
            backend=arguments.backend,
            threads=arguments.threads,
            save_segmentation=output.name.lower().endswith(SEGMENTATION_ENDING),
            overlapping=arguments.overlapping,
            tokens=arguments.tokens is not None,
        )
        try:
            outcome = job.run(request, bar, ModelKeeper(), stop.is_set)
        except Stopped as error:
            bar.close()
            print(error.what)
            return INTERRUPTED
        finally:
            bar.close()
        _hand_over(outcome, output, arguments)
    _tell(outcome, output, arguments)
    return 0 if outcome.segmentation.complete else INTERRUPTED


def find_bundle(name: str) -> Path:
    """A bundle's folder, given as a path, or by its name among the shipped ones and the user's own.

    Raises:
        BundleError: there is none, or several of the user's have this name.
    """
    if Path(name).exists():
        return Path(name)
    if (SHIPPED / name).is_dir():
        return SHIPPED / name
    if is_named(name):
        return named(name)
    known = dict.fromkeys(folder.name for folder in (*bundles.find([SHIPPED]), *bundles.find([user_folder()])))
    raise BundleError(
        f"{name} is not a bundle.",
        why=f"No such folder is here, and the names that are known are: {', '.join(known) or 'none'}.",
        mend="Give one of these names, or a bundle's folder.",
    )


def patches_number(text: str) -> int | str:
    """A value of --patches: a number, "all" or "coarse"."""
    if text in ("all", "coarse"):
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of patches; give 0 or more, all, or coarse")
    return int(text)


def strategy_options(patches: int | str | None) -> dict:
    """The strategy's options for a value of --patches; None changes nothing."""
    if patches is None:
        return {}
    return {"top_k": {"all": None, "coarse": 0}.get(patches, patches), "clip_top_k": False}


def check_patches(arguments: argparse.Namespace, bundle: Path) -> None:
    """A strategy that reads everything has no number of patches, be it asked for or the bundle's own.

    Raises:
        OptionError: the number was given, and the strategy has none.
        BundleError: the bundle cannot be read.
    """
    from EfficientSegLib import strategies

    if arguments.patches is None:
        return
    given = arguments.strategy
    strategy = given or bundles.load(bundle).strategy.name
    if not strategies.knows(strategy, "top_k"):
        raise OptionError(
            f"--patches does not go with {f'--strategy {given}' if given else f'the strategy of {arguments.bundle}'}.",
            why=f"{strategy} reads the whole volume, patch after patch or slice after slice.",
            mend="Leave one of the two away." if given else "Leave --patches away.",
        )


def _check_overlapping(output: Path, wanted: bool) -> None:
    """Only a segmentation file has room for more than one label per voxel.

    Raises:
        OptionError: the output is a plain image.
    """
    if wanted and not output.name.lower().endswith(SEGMENTATION_ENDING):
        raise OptionError(
            f"--overlapping does not go with {output.name}.",
            why="An image holds one label per voxel.",
            mend=f"Write a segmentation: a name that ends with {SEGMENTATION_ENDING}.",
        )


def _output_path(source: Path, given: str | None) -> Path:
    """Where the result goes; checked before anything is computed.

    Raises:
        VolumeError: the format cannot be written, or the input would be overwritten.
    """
    from EfficientSegLib.volume import WRITABLE

    stem = source.name
    for ending in (*WRITABLE, source.suffix):
        stem = stem.removesuffix(ending)
    output = Path(given) if given else Path(f"{stem}{SEGMENTATION_ENDING}")
    if not output.name.lower().endswith(WRITABLE):
        raise VolumeError(
            f"{output.name} cannot be written.",
            why="Its ending names no format that is known here.",
            mend=f"Use {SEGMENTATION_ENDING} (names and colours included) or {', '.join(WRITABLE)}.",
        )
    if output.exists() and source.exists() and output.samefile(source):
        raise VolumeError(f"{output} is the input.", why="The scan would be lost.", mend="Choose another name with -o.")
    if output.is_dir():
        raise VolumeError(f"{output} is a folder.", why="The result is one file.", mend="Choose another name with -o.")
    return output


@contextmanager
def stopping_on_interrupt(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C or a polite kill asks for an early end, the second one ends at once."""

    def interrupt(*_) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hand_over(outcome: job.Outcome, output: Path, arguments: argparse.Namespace) -> None:
    from EfficientSegLib.volume import Volume, write

    if outcome.finished.segmentation:
        os.replace(outcome.finished.segmentation, output)
    else:
        volume = outcome.volume
        labels = outcome.segmentation.labels[None]
        write(Volume(labels, volume.spacing_mm, volume.origin_mm, volume.direction), output)
    if arguments.tokens:
        outcome.segmentation.tokens.write(outcome.volume, arguments.tokens)
        token_maps.name_in_record(outcome.finished.record, Path(arguments.tokens))
    if arguments.record:
        with replacing(arguments.record) as part:
            shutil.copyfile(outcome.finished.record, part)
    if arguments.picture:
        from EfficientSegLib.evaluation.figures import overview_from_record

        record = json.loads(Path(outcome.finished.record).read_text(encoding="utf-8"))
        labels = outcome.segmentation.labels
        overview_from_record(outcome.volume, labels, outcome.bundle, record, arguments.picture)


def _tell(outcome: job.Outcome, output: Path, arguments: argparse.Namespace) -> None:
    from EfficientSegLib.record import segments_ml

    finished, done = outcome.finished, outcome.segmentation
    for name, millilitres in segments_ml(done, outcome.volume.spacing_mm, outcome.bundle).items():
        print(f"{name:32} {millilitres:10.1f} ml" if millilitres else f"{name:32}   not found")
    if outcome.bundle.outputs == "independent" and not arguments.overlapping:
        print("Each voxel counts for its likeliest label; where labels overlap, --overlapping keeps them whole.")
    patches = f"{done.patches_read} of {done.candidates} {done.unit} read" if done.candidates else "no patches"
    kept = "" if done.complete else "Stopped early; what was done is kept. "
    print(f"{kept}{time_text(finished.seconds)}, {patches}, at most {finished.peak_memory_mb:.0f} MB. Research only.")
    for path in (output, arguments.tokens, arguments.record, arguments.picture):
        if path:
            print(f"Written: {path}")
