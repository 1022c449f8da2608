"""`batch`: a folder tree in, a mirrored tree of segmentations and a table out."""

import argparse
import json
import sys
import threading
from pathlib import Path

from EfficientSegLib import batch
from EfficientSegLib.commands import token_maps
from EfficientSegLib.commands.segment import (
    INTERRUPTED,
    check_patches,
    find_bundle,
    stopping_on_interrupt,
    strategy_options,
)
from EfficientSegLib.commands.terminal import ProgressBar, time_text
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.protocol import Event, Request
from EfficientSegLib.studies import results
from EfficientSegLib.studies.case import Entry
from EfficientSegLib.studies.place import ENDINGS
from EfficientSegLib.studies.queue_file import NAME


def run(arguments: argparse.Namespace) -> int:
    """Segment the tree; 0: every case is done or was not asked for, 1: some failed, 130: stopped, the rest waits.

    Raises:
        EfficientSegError: it cannot begin.
    """
    wanted = _batch(arguments)
    if arguments.list:
        return _list(batch.plan(wanted), arguments.json)
    stop = threading.Event()
    teller = Teller(follow=not arguments.scheduler)
    with stopping_on_interrupt(stop):
        if arguments.scheduler:
            from EfficientSegLib.cluster import Cluster

            with Cluster(arguments.scheduler, teller.said) as cluster:
                entries = batch.run(wanted, teller, stop.is_set, cluster.do_all)
        else:
            entries = batch.run(wanted, teller, stop.is_set)
    if not entries:
        raise VolumeError(
            f"{wanted.input} holds no image that fits.",
            why="Neither an image file nor a DICOM series of the bundle's modality was found, or none was asked for.",
            mend="Look at what is there with --list.",
        )
    print(results.summary(entries))
    for name in (results.CSV, results.MARKDOWN, NAME):
        print(f"Written: {wanted.output / name}")
    if stop.is_set():
        return INTERRUPTED
    return 1 if any(entry.state == "failed" for entry in entries) else 0


def _batch(arguments: argparse.Namespace) -> batch.Batch:
    if arguments.limit is not None and arguments.limit < 1:
        raise OptionError(f"--limit is {arguments.limit}.", why="Nothing would be run.", mend="Use 1 or more.")
    if arguments.threads is not None and arguments.threads < 1:
        raise OptionError(f"threads is {arguments.threads}.", why="At least one is needed.", mend="Use 1 or more.")
    bundle = find_bundle(arguments.bundle)
    check_patches(arguments, bundle)
    token_maps.check_bundle(arguments, bundle)
    request = Request(
        input="",
        output_dir="",
        bundle=str(bundle.absolute()),  # other machines have other current folders
        strategy=arguments.strategy,
        options={**strategy_options(arguments.patches), **token_maps.options(arguments)},
        device=arguments.device,
        precision=arguments.precision,
        backend=arguments.backend,
        threads=arguments.threads,
        tokens=arguments.tokens,
    )
    return batch.Batch(
        Path(arguments.input).absolute(),
        Path(arguments.output).absolute(),
        request,
        ENDINGS[arguments.format],
        tuple(arguments.include),
        tuple(arguments.exclude),
        arguments.limit,
        arguments.again,
    )


def _list(planned: batch.Plan, as_json: bool) -> int:
    """Say what a run would find; 1 where it would find nothing."""
    if as_json:
        for case, entry in zip(planned.cases, planned.entries, strict=True):
            said = {"case": case.name, "input": case.input, "files": case.files, "title": case.title}
            print(json.dumps({**said, "state": entry.state, "volumes_ml": entry.volumes_ml, "seconds": entry.seconds}))
        for item in planned.left_out:
            print(json.dumps({"left_out": item.path, "why": item.why}))
        return 0 if planned.cases else 1
    for case, entry in zip(planned.cases, planned.entries, strict=True):
        series = f" ({len(case.files)} files)" if case.files else ""
        print(f"{entry.state:8} {case.name}  <-  {case.input}{series}")
    for item in planned.left_out:
        print(f"left out {item.path}: {item.why}")
    print(results.summary(planned.entries))
    return 0 if planned.cases else 1


class Teller(batch.Listener):
    """Says on standard error how the queue goes.

    Args:
        follow: show the run under way; several at once would overwrite each other.
    """

    def __init__(self, follow: bool) -> None:
        self._follow = follow
        self._bar: ProgressBar | None = None

    def began(self, entry: Entry, number: int, total: int) -> None:
        self.said(f"{number} of {total}: {entry.case}" + (f" on {entry.machine}" if entry.machine else ""))
        self._bar = ProgressBar() if self._follow else None

    def heard(self, event: Event) -> None:
        if self._bar is not None:
            self._bar(event)

    def ended(self, entry: Entry, number: int, total: int) -> None:
        if self._bar is not None:
            self._bar.close()
        took = f" after {time_text(entry.seconds)}" if entry.seconds is not None else ""
        self.said(f"{entry.case}: {entry.state}{took}. {entry.error}".rstrip())

    def said(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
