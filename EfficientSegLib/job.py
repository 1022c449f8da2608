"""One request from its input file to its result files. The worker and the command line both run this."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices, loading, overlaps, record, resources
from EfficientSegLib.bundle import Bundle, Component
from EfficientSegLib.environment import cores
from EfficientSegLib.errors import ContinuationError, OptionError, VolumeError
from EfficientSegLib.files import replacing
from EfficientSegLib.kept import ModelKeeper, RunKeeper
from EfficientSegLib.patch_memory import patch_size
from EfficientSegLib.protocol import Finished, Request, Started
from EfficientSegLib.reporter import TOKENS, Emit, Reporter, write_labels

if TYPE_CHECKING:
    import numpy as np

    from EfficientSegLib.segment import Segmentation
    from EfficientSegLib.volume import Volume
    from EfficientSegLib.wishes import Wishes

LABELS, SEGMENTATION, RECORD = "labels.npy", "segmentation.seg.nrrd", "run.json"


@dataclass(frozen=True)
class Outcome:
    """What a run leaves, for a caller in the same process."""

    finished: Finished
    volume: "Volume"
    bundle: Bundle
    segmentation: "Segmentation"
    device: str


def run(
    request: Request,
    emit: Emit,
    models: ModelKeeper,
    should_stop: Callable[[], bool],
    runs: RunKeeper | None = None,
) -> Outcome:
    """Segment what the request names; its files lie in `output_dir` when this returns.

    Events go to `emit`, all but the last: the caller says Finished or Failed. With `runs`, a run that asked to be kept
    can be continued; where it cannot, everything is read anew, with a warning and the same result.

    Raises:
        Stopped: asked to stop before there were any labels. Later, labels as far as they came are written.
        EfficientSegError: the request cannot be met.
    """
    began = time.perf_counter()
    runs = runs or RunKeeper()
    resources.forget_peak()
    reporter = Reporter(emit, Path(request.output_dir), should_stop, request.save_segmentation)
    reporter.stop_if_asked()
    bundle = bundles.load(request.bundle)
    if request.overlapping:
        overlaps.check(bundle)
    _check_folder(Path(request.output_dir))
    threads = _threads(request.threads)
    _check_header(request, bundle)
    device = devices.choose(devices.check_backend(request.backend, request.device), reporter.warn)
    precision = devices.choose_precision(request.precision, device, bundle, request.backend)
    wishes = _wishes(request)
    runs.begin(request.continue_from)  # from here on memory is needed; a request refused before has cost nothing
    device, precision = runs.instead or (device, precision)
    reporter.started(Started(os.getpid(), device, threads, precision))

    reporter.progress("read", 0.0)
    seconds = {}
    volume, seconds["read"] = _timed(lambda: _read(request, bundle, reporter))
    reporter.rehearse = lambda labels: _rehearse_record(labels, volume, bundle)
    reporter.progress("load", 0.02)
    (model, instead), seconds["load"] = _timed(
        lambda: loading.load(bundle, device, precision, request.backend, models, runs, reporter)
    )
    reporter.stop_if_asked()
    segmentation = _continue(request, wishes, volume, bundle, model, reporter, threads, runs)
    if not segmentation.labels.any():
        reporter.warn("No structure of this bundle was found in the volume.")

    reporter.progress("write", 0.98)
    labels, seconds["write"] = _timed(lambda: _write(request, volume, bundle, segmentation))
    path = Path(request.output_dir) / RECORD
    strategy = bundle.run_strategy(request.strategy, request.options)
    description = record.build(
        request.input,
        volume,
        bundle,
        segmentation,
        strategy=strategy.name,
        options=_all_options(strategy),
        device=reporter.devices[-1]["device"],
        devices=reporter.devices,
        precision=reporter.devices[-1]["precision"],
        backend=request.backend,
        threads=threads,
        seconds={**seconds, **segmentation.seconds},
        peak_memory_mb=resources.peak_memory_mb(),
        warnings=reporter.warnings,
        wishes=asdict(wishes),
        review=reporter.review,
        pace=reporter.last_pace,
        tokens=TOKENS,
    )
    record.write(description, path)
    finished = Finished(
        labels=str(labels),
        segmentation=str(Path(request.output_dir) / SEGMENTATION) if request.save_segmentation else "",
        record=str(path),
        seconds=round(time.perf_counter() - began, 3),
        peak_memory_mb=round(resources.peak_memory_mb(), 1),
        complete=segmentation.complete,
        patches_read=segmentation.patches_read,
        patches_total=segmentation.patches_total,
        run_id=runs.keep(segmentation, instead) if request.keep else runs.forget(),
        unit=segmentation.unit,
    )
    return Outcome(finished, volume, bundle, segmentation, reporter.devices[-1]["device"])


def remove_files(folder: str | os.PathLike) -> None:
    """Remove what a run that came to nothing has written; nothing else is touched."""
    folder = Path(folder)
    for pattern in (LABELS, SEGMENTATION, RECORD, TOKENS, "partial_*.npy", ".*.part*"):
        for path in folder.glob(pattern):
            try:
                path.unlink()
            except OSError:
                continue  # open elsewhere (Windows), or gone already


def _check_folder(folder: Path) -> None:
    with replacing(folder / LABELS) as part:
        part.write_bytes(b"")
    remove_files(folder)  # also what an earlier run has left there


def _threads(wanted: int | None) -> int:
    if wanted is not None and wanted < 1:
        raise OptionError(f"threads is {wanted}.", why="At least one is needed.", mend="Use 1 or more, or null.")
    return wanted or max(cores() - 1, 1)


def _check_header(request: Request, bundle: Bundle) -> None:
    """Refuse a volume that is too large before it is read; what the header does not tell is found out by reading."""
    import SimpleITK as sitk

    if not Path(request.input).exists():
        raise VolumeError(f"{request.input} does not exist.", why="There is no such file or folder.", mend="Check it.")
    resources.check_disk(request.output_dir, resources.result_mb((1, 1, 1)))
    if Path(request.input).is_dir():
        return  # a DICOM folder; asked about it, the image library fills the log with complaints
    reader = sitk.ImageFileReader()
    reader.SetFileName(request.input)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return  # no image: `volume.read` knows the words
    if reader.GetDimension() == 3:
        _check_size(request, bundle, tuple(reader.GetSize()), tuple(reader.GetSpacing()))


def _check_size(request: Request, bundle: Bundle, shape: tuple, spacing_mm: tuple) -> None:
    from EfficientSegLib.suitability import LARGEST_SPACING_MM

    if max(spacing_mm) <= LARGEST_SPACING_MM:  # otherwise the spacing is what is wrong, and said so
        asked = {"strategy": request.strategy, "overlapping": request.overlapping}
        resources.check_memory(shape, spacing_mm, bundle, request.options, **asked)
    resources.check_disk(request.output_dir, resources.result_mb(shape))


def _wishes(request: Request) -> "Wishes":
    from EfficientSegLib.wishes import Wishes

    return Wishes(request.first, request.only_first, request.structures, request.region)


def _read(request: Request, bundle: Bundle, reporter: Reporter) -> "Volume":
    from EfficientSegLib import suitability, volume

    image = volume.read(request.input, request.files)
    _check_size(request, bundle, image.shape, image.spacing_mm)
    suitability.check_grid(image.shape, image.spacing_mm, image.direction)
    suitability.check_intensities(image.array, bundle.modality, image.modality)
    patch = patch_size(bundle.network, bundle.strategy.options)
    odd = suitability.warnings(
        image.array, image.spacing_mm, bundle.modality, bundle.preprocess, patch, image.modality, image.direction
    )
    for text in (*image.warnings, *odd):
        reporter.warn(text)
    return image


def _continue(
    request: Request, wishes: "Wishes", volume, bundle, model, reporter: Reporter, threads: int, runs: RunKeeper
) -> "Segmentation":
    """Segment on top of the kept run, or from the beginning where that cannot be; the result is the same.

    The kept run stays kept until there is a result, so that nothing is lost to a stop or to an error.
    """
    if runs.kept is not None:
        try:
            return _segment(request, wishes, volume, bundle, model, reporter, threads, runs.kept)
        except ContinuationError as error:
            reporter.warn(f"Everything is computed anew. {error.what} {error.why}")
    elif request.continue_from:
        reporter.warn("Everything is computed anew. The earlier run is not in memory any more.")
    runs.forget()  # its memory is needed now
    if request.continue_from:
        wishes = replace(wishes, only_first=False)  # what was read before is wanted too
    return _segment(request, wishes, volume, bundle, model, reporter, threads)


def _segment(
    request: Request,
    wishes: "Wishes",
    volume,
    bundle,
    model,
    reporter: Reporter,
    threads: int,
    earlier: "Segmentation | None" = None,
) -> "Segmentation":
    import SimpleITK as sitk
    import torch

    from EfficientSegLib.segment import segment

    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    return segment(
        volume,
        bundle,
        model,
        strategy=request.strategy,
        options=request.options,
        listener=reporter.listener(),
        earlier=earlier,
        wishes=wishes,
        overlapping=request.overlapping,
        tokens=request.tokens,
    )


def _rehearse_record(labels: "np.ndarray", volume: "Volume", bundle: Bundle) -> float:
    from EfficientSegLib import ending

    return ending.recording(labels, volume.array, bundle)


def _all_options(strategy: Component) -> dict:
    from EfficientSegLib import strategies
    from EfficientSegLib.options import read_options

    return asdict(read_options(strategies.module(strategy.name).Options, strategy.options))


def _write(request: Request, volume, bundle, segmentation) -> Path:
    from EfficientSegLib.volume import write_overlapping, write_segmentation

    path = Path(request.output_dir) / LABELS
    write_labels(segmentation.labels, path)
    if request.save_segmentation and segmentation.masks is not None:
        write_overlapping(segmentation.masks, volume, bundle.labels, path.with_name(SEGMENTATION))
    elif request.save_segmentation:
        write_segmentation(segmentation.labels, volume, bundle.shown_labels, path.with_name(SEGMENTATION))
    return path


def _timed(work: Callable) -> tuple:
    began = time.perf_counter()
    return work(), time.perf_counter() - began
