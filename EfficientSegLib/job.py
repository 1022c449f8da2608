"""One request from its input file to its result files. The worker and the command line both run this."""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices, record, resources
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.environment import cores
from EfficientSegLib.errors import ContinuationError, OptionError, VolumeError
from EfficientSegLib.failures import Stopped
from EfficientSegLib.files import replacing
from EfficientSegLib.geometry import PatchBox, ScoredBox
from EfficientSegLib.protocol import ClassWeights, Event, Finished, Partial, Patches, Progress, Request, Started, Warned

if TYPE_CHECKING:
    from torch import nn

    from EfficientSegLib.segment import Segmentation
    from EfficientSegLib.volume import Volume

LABELS, SEGMENTATION, RECORD = "labels.npy", "segmentation.seg.nrrd", "run.json"
KEPT_PARTIALS = 32  # a reader that lags further behind waits for the final labels

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Outcome:
    """What a run leaves, for a caller in the same process."""

    finished: Finished
    volume: "Volume"
    bundle: Bundle
    segmentation: "Segmentation"
    device: str


class ModelKeeper:
    """Keeps the model used last: the next run with the same weights, network and device begins at once."""

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._model: nn.Module | None = None

    def get(self, bundle: Bundle, device: str, precision: str = "fp32", backend: str = "torch") -> "nn.Module":
        """The bundle's model on the device, loaded only if it is another one than last time."""
        from EfficientSegLib.segment import load_model

        key = (bundle.weights.sha256, repr(bundle.network), bundle.num_labels, device, precision, backend)
        if key != self._key:
            self._key, self._model = None, None  # the old one goes before the new one comes
            self._model = load_model(bundle, device, precision, backend)
            self._key = key
        return self._model


class RunKeeper:
    """Keeps what the last run has read, so that the next one can read on; gone once any other run begins.

    It holds the prepared volume, the coarse logits and the patch logits (see `strategies.reading.Reading`), in memory
    up to the strategy's `memory_mb`, beyond that in a file that goes with the process.
    """

    def __init__(self) -> None:
        self._run_id = ""
        self._segmentation: Segmentation | None = None

    def begin(self, run_id: str) -> None:
        """A run begins that goes on from `run_id` ("": from nothing); whatever else is kept goes."""
        if run_id != self._run_id:
            self._run_id, self._segmentation = "", None

    def take(self) -> "Segmentation | None":
        """The kept run that the present one goes on from, if there is one; nothing is kept afterwards."""
        kept, self._run_id, self._segmentation = self._segmentation, "", None
        return kept

    def keep(self, segmentation: "Segmentation") -> str:
        """Keep a run, without its labels; its new identity, "" where the strategy left nothing to go on from."""
        if segmentation.reading is None:
            return ""
        self._run_id = uuid.uuid4().hex
        self._segmentation = replace(segmentation, labels=np.empty((0, 0, 0), segmentation.labels.dtype))
        return self._run_id


def run(
    request: Request,
    emit: Emit,
    models: ModelKeeper,
    should_stop: Callable[[], bool],
    runs: RunKeeper | None = None,
) -> Outcome:
    """Segment what the request names; its files lie in `output_dir` when this returns.

    Events go to `emit`, all but the last: the caller says Finished or Failed. With `runs`, the last run can be
    continued; where it cannot, everything is read anew, with a warning and the same result.

    Raises:
        Stopped: asked to stop before there were any labels. Later, labels as far as they came are written.
        EfficientSegError: the request cannot be met.
    """
    began = time.perf_counter()
    runs = runs or RunKeeper()
    runs.begin(request.continue_from)
    resources.forget_peak()
    reporter = _Reporter(emit, Path(request.output_dir), should_stop)
    reporter.stop_if_asked()
    bundle = bundles.load(request.bundle)
    _check_folder(Path(request.output_dir))
    threads = _threads(request.threads)
    _check_header(request, bundle)
    device = devices.choose(devices.check_backend(request.backend, request.device))
    precision = devices.choose_precision(request.precision, device, bundle, request.backend)
    emit(Started(os.getpid(), device, threads, precision))

    reporter.progress("read", 0.0)
    seconds = {}
    volume, seconds["read"] = _timed(lambda: _read(request, bundle, reporter))
    reporter.progress("load", 0.02)
    model, seconds["load"] = _timed(lambda: models.get(bundle, device, precision, request.backend))
    reporter.stop_if_asked()
    segmentation = _continue(request, volume, bundle, model, reporter, threads, runs)
    if not segmentation.labels.any():
        reporter.warn("No structure of this bundle was found in the volume.")

    reporter.progress("write", 0.98)
    labels, seconds["write"] = _timed(lambda: _write(request, volume, bundle, segmentation))
    path = Path(request.output_dir) / RECORD
    strategy = request.strategy or bundle.strategy.name
    description = record.build(
        request.input,
        volume,
        bundle,
        segmentation,
        strategy=strategy,
        options=_all_options(strategy, bundle, request),
        device=device,
        precision=precision,
        backend=request.backend,
        threads=threads,
        seconds={**seconds, **segmentation.seconds},
        peak_memory_mb=resources.peak_memory_mb(),
        warnings=reporter.warnings,
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
        run_id=runs.keep(segmentation),
    )
    return Outcome(finished, volume, bundle, segmentation, device)


def remove_files(folder: str | os.PathLike) -> None:
    """Remove what a run that came to nothing has written; nothing else is touched."""
    folder = Path(folder)
    for pattern in (LABELS, SEGMENTATION, RECORD, "partial_*.npy", ".*.part*"):
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
        resources.check_memory(shape, spacing_mm, bundle, request.options, strategy=request.strategy)
    resources.check_disk(request.output_dir, resources.result_mb(shape))


def _read(request: Request, bundle: Bundle, reporter: "_Reporter") -> "Volume":
    from EfficientSegLib import suitability, volume

    image = volume.read(request.input)
    _check_size(request, bundle, image.shape, image.spacing_mm)
    suitability.check_grid(image.shape, image.spacing_mm, image.direction)
    suitability.check_intensities(image.array, bundle.modality, image.modality)
    patch = bundle.network.options.get("patch_size")
    odd = suitability.warnings(image.array, image.spacing_mm, bundle.modality, bundle.preprocess, patch, image.modality)
    for text in (*image.warnings, *odd):
        reporter.warn(text)
    return image


def _continue(
    request: Request, volume, bundle, model, reporter: "_Reporter", threads: int, runs: RunKeeper
) -> "Segmentation":
    """Segment on top of the kept run, or from the beginning where that cannot be; the result is the same."""
    earlier = runs.take()
    if earlier is not None:
        try:
            return _segment(request, volume, bundle, model, reporter, threads, earlier)
        except ContinuationError as error:
            reporter.warn(f"Everything is computed anew. {error.what} {error.why}")
    elif request.continue_from:
        reporter.warn("Everything is computed anew. The earlier run is not in memory any more.")
    earlier = None  # its memory is needed now
    return _segment(request, volume, bundle, model, reporter, threads)


def _segment(
    request: Request,
    volume,
    bundle,
    model,
    reporter: "_Reporter",
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
    )


def _all_options(strategy: str, bundle: Bundle, request: Request) -> dict:
    from EfficientSegLib import strategies
    from EfficientSegLib.options import read_options

    own = bundle.strategy.options if strategy == bundle.strategy.name else {}
    return asdict(read_options(strategies.module(strategy).Options, {**own, **request.options}))


def _write(request: Request, volume, bundle, segmentation) -> Path:
    from EfficientSegLib.volume import write_segmentation

    path = Path(request.output_dir) / LABELS
    _write_array(segmentation.labels, path)
    if request.save_segmentation:
        write_segmentation(segmentation.labels, volume, bundle.shown_labels, path.with_name(SEGMENTATION))
    return path


def _write_array(array: np.ndarray, path: Path) -> None:
    with replacing(path) as part, open(part, "wb") as file:
        # I fastest, as in the application's image: it then copies five times as fast.
        np.save(file, np.asfortranarray(array), allow_pickle=False)


def _timed(work: Callable) -> tuple:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


class _Reporter:
    """Turns what the pipeline tells into events, and a wish to stop into the right end."""

    def __init__(self, emit: Emit, folder: Path, should_stop: Callable[[], bool]) -> None:
        self._emit = emit
        self._folder = folder
        self._should_stop = should_stop
        self._has_labels = False
        self._fraction = 0.0
        self._partials: list[Path] = []
        self.warnings: list[str] = []

    def listener(self):
        """A `segment.Listener` that speaks for this reporter."""
        from EfficientSegLib.segment import Listener

        reporter = self

        class Speaking(Listener):
            progress = staticmethod(reporter.progress)
            patches = staticmethod(reporter.patches)
            class_weights = staticmethod(reporter.class_weights)
            partial = staticmethod(reporter.partial)
            warn = staticmethod(reporter.warn)
            should_stop = staticmethod(reporter.stop_if_asked)

        return Speaking()

    def stop_if_asked(self) -> bool:
        """Whether to stop with what there is; without any labels there is nothing to stop with."""
        if not self._should_stop():
            return False
        if not self._has_labels:
            raise Stopped
        return True

    def progress(self, stage: str, fraction: float, done: int = 0, total: int = 0, seconds_left=None) -> None:
        self._has_labels = self._has_labels or (stage == "patches" and done > 0)
        if stage in ("read", "load", "prepare", "coarse"):
            self.stop_if_asked()
        self._fraction = max(self._fraction, round(fraction, 4))  # never back
        self._emit(Progress(stage, self._fraction, done, total, seconds_left))

    def patches(self, boxes: tuple[ScoredBox, ...], candidates: int) -> None:
        self.stop_if_asked()
        self._emit(Patches(tuple(boxes), candidates))

    def class_weights(self, weights: dict[int, float]) -> None:
        self._emit(ClassWeights({str(value): round(float(weight), 6) for value, weight in weights.items()}))

    def partial(self, labels: np.ndarray, box: PatchBox, patches_read: int, patches_total: int) -> None:
        path = self._folder / f"partial_{len(self._partials):04d}.npy"
        _write_array(labels, path)
        self._partials.append(path)
        if len(self._partials) > KEPT_PARTIALS:
            self._partials[-KEPT_PARTIALS - 1].unlink(missing_ok=True)
        self._has_labels = True
        self._emit(Partial(str(path), box, patches_read, patches_total))

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            self._emit(Warned(text))
