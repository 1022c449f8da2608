"""The one pipeline: volume in, labels on the volume's own grid out. The worker and the command line both take it."""

import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from EfficientSegLib import networks, strategies
from EfficientSegLib.bundle import Bundle, verify_weights
from EfficientSegLib.errors import BundleError, ContinuationError, OptionError
from EfficientSegLib.geometry import Index, PatchBox, ScoredBox, whole
from EfficientSegLib.networks.compact import unpack
from EfficientSegLib.networks.inference import for_inference
from EfficientSegLib.options import read_options
from EfficientSegLib.postprocess import clean
from EfficientSegLib.preprocess import Prepared, prepare, to_source
from EfficientSegLib.restore import restore_labels
from EfficientSegLib.strategies import PatchLogits, Watcher
from EfficientSegLib.suitability import check_grid, check_intensities
from EfficientSegLib.volume import Volume

if TYPE_CHECKING:
    from EfficientSegLib.strategies.reading import Reading

PARTIAL_SHARE = 0.15  # of the time that partial labels may cost
PARTIAL_SECONDS = 0.5  # between two of them, at least


class Listener:
    """Told what happens during a run; does nothing by itself. Boxes and labels are those of the input volume."""

    def progress(
        self, stage: str, fraction: float, done: int = 0, total: int = 0, seconds_left: float | None = None
    ) -> None:
        """A stage goes on; `fraction` is of the whole run."""

    def patches(self, boxes: tuple[ScoredBox, ...], candidates: int) -> None:
        """The patches to be read, best first."""

    def class_weights(self, weights: dict[int, float]) -> None:
        """How far each label (by value) trusts the patches."""

    def partial(self, labels: np.ndarray, box: PatchBox, patches_read: int, patches_total: int) -> None:
        """Labels so far, of one box; the first box is the whole volume."""

    def warn(self, text: str) -> None:
        """Something odd that does not stop the run."""

    def should_stop(self) -> bool:
        """Asked before every patch; after True the work so far is returned."""
        return False


@dataclass(frozen=True)
class Segmentation:
    """Labels on the input's grid, and how they came about."""

    labels: np.ndarray  # (I, J, K), uint8 or uint16
    patches: tuple[ScoredBox, ...]  # chosen, best first, in voxels of the input
    class_weights: dict[int, float] | None  # by label value
    complete: bool  # False after a stop
    patches_read: int
    patches_total: int  # chosen
    candidates: int  # of which they were chosen
    seconds: dict[str, float] = field(default_factory=dict)  # by stage
    prepared_shape: Index | None = None  # voxels that the network's costs count from
    reading: "Reading | None" = field(default=None, repr=False, compare=False)  # what `segment(earlier=)` goes on from


def _why_unread(error: Exception) -> str:
    """In words of our own: torch's would advise to load the file without protection."""
    if isinstance(error, pickle.UnpicklingError):
        return "Only plain tensors are accepted, never code, and the file holds something else."
    return "The file is cut off or broken; only plain tensors are accepted, never code."


def load_model(bundle: Bundle, device: str, precision: str = "fp32", backend: str = "torch") -> nn.Module:
    """The bundle's network with its weights, ready for inference.

    Args:
        precision: "fp32" or "bf16", as `devices.choose_precision` says.
        backend: "torch", or "openvino" on the CPU.

    Raises:
        DeviceError: the backend is not installed or cannot run this network.
        OptionError: the network or the strategy is unknown or refuses its options.
        BundleError: the weights are broken, hold code, are missing or left over.
    """
    networks.check(bundle.network.name, bundle.network.options)
    strategies.check(bundle.strategy.name, bundle.strategy.options)
    model = networks.build(bundle.network.name, bundle.network.options, len(bundle.channels), bundle.num_outputs)
    read_weights(bundle, model)
    if backend == "openvino":
        from EfficientSegLib.networks.openvino import for_openvino

        return for_openvino(model.float(), precision, len(bundle.channels))
    return for_inference(model.float(), precision).to(device)


def read_weights(bundle: Bundle, model: nn.Module) -> None:
    """Give a plain network, as `networks.build` makes it, the weights of a bundle, in place.

    Raises:
        BundleError: the weights are broken, hold code, are missing or left over.
    """
    verify_weights(bundle)
    mend = "Get the bundle again, or ask its author."
    try:
        state = torch.load(bundle.weights_path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here; each means that the file is not plain weights
        raise BundleError(
            f"The weights of bundle {bundle.name!r} cannot be read.",
            why=_why_unread(error),
            mend=mend,
        ) from error
    try:
        model.load_state_dict(unpack(state), strict=True)
    except (RuntimeError, AttributeError, TypeError, KeyError) as error:
        raise BundleError(
            f"The weights of bundle {bundle.name!r} do not fit its network {bundle.network.name!r}.",
            why=" ".join(str(error).split())[:400],
            mend=mend,
        ) from error


def segment(
    volume: Volume,
    bundle: Bundle,
    model: nn.Module,
    *,
    strategy: str | None = None,
    options: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
    earlier: Segmentation | None = None,
) -> Segmentation:
    """Segment a volume.

    Args:
        volume: one channel.
        bundle: says how to prepare the volume and what the labels are.
        model: from `load_model`; it stays on its device.
        strategy: None is the bundle's.
        options: replace the bundle's strategy options one by one.
        listener: told what happens, and asked whether to stop.
        earlier: of the same volume, bundle, model and strategy, with fewer patches or stopped: only what it has not
            read is read, and the result is that of a run without it.

    Raises:
        VolumeError: the volume does not suit the bundle.
        ContinuationError: the earlier run is not the beginning of this one.
        OptionError: the strategy or its options are wrong, or do not fit the network or the volume.
    """
    listener = listener or Listener()
    name = strategy or bundle.strategy.name
    module = strategies.module(name)
    own = bundle.strategy.options if name == bundle.strategy.name else {}
    chosen_options = read_options(module.Options, {**own, **(options or {})})
    _check(volume, bundle)
    going_on = {} if earlier is None else {"earlier": _reading(earlier, name)}
    clock = _Clock()
    listener.progress("prepare", 0.0)
    prepared = prepare(volume, bundle.preprocess)
    clock.lap("prepare")
    run = _Run(bundle, prepared, listener, clock)
    with torch.inference_mode():
        prediction = module.predict(torch.from_numpy(prepared.array), model, chosen_options, run, **going_on)
        clock.lap("patches")
        if prediction.logits.patches_read or not prediction.planned:
            listener.progress("restore", 0.95)  # otherwise the patches are read only now
        labels = np.ascontiguousarray(restore_labels(prediction.logits, prepared, bundle.channel_values))
    clean(labels, bundle.postprocess)
    clock.lap("restore")
    return Segmentation(
        labels=labels,
        patches=tuple(_to_source(patch, prepared) for patch in prediction.patches),
        class_weights=_by_label(prediction.class_weights, bundle),
        complete=prediction.logits.patches_read >= prediction.planned,
        patches_read=prediction.logits.patches_read,
        patches_total=prediction.planned,
        candidates=prediction.candidates,
        reading=prediction.reading,
        seconds=clock.seconds,
        prepared_shape=tuple(prepared.array.shape[1:]),
    )


def _reading(earlier: Segmentation, strategy: str) -> "Reading":
    """What an earlier run has left for this strategy."""
    if earlier.reading is None or not strategies.can_continue(strategy):
        raise ContinuationError(
            "The earlier run cannot be continued.",
            why="It has left nothing to go on from."
            if earlier.reading is None
            else f"{strategy!r} begins anew always.",
            mend="Run anew, without the earlier one.",
        )
    return earlier.reading


def _check(volume: Volume, bundle: Bundle) -> None:
    if volume.array.shape[0] != len(bundle.channels):
        raise OptionError(
            f"The volume has {volume.array.shape[0]} channels.",
            why=f"Bundle {bundle.name!r} was trained on {len(bundle.channels)} ({', '.join(bundle.channels)}).",
            mend="Choose a volume of that kind.",
        )
    check_grid(volume.array.shape[1:], volume.spacing_mm, volume.direction)
    check_intensities(volume.array, bundle.modality, volume.modality)


def _to_source(patch: ScoredBox, prepared: Prepared) -> ScoredBox:
    return ScoredBox(to_source(patch.box, prepared), patch.score, patch.rank)


def _by_label(class_weights: tuple[float, ...] | None, bundle: Bundle) -> dict[int, float] | None:
    if class_weights is None:
        return None
    return {
        label.value: weight
        for label, weight in zip(bundle.labels, class_weights[1:], strict=True)
        if not label.auxiliary
    }


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


class _Run(Watcher):
    """Translates what a strategy reports into the input volume's terms."""

    def __init__(self, bundle: Bundle, prepared: Prepared, listener: Listener, clock: _Clock) -> None:
        self._bundle = bundle
        self._prepared = prepared
        self._listener = listener
        self._clock = clock
        self._first_patch = time.perf_counter()
        self._read_before = 0
        self._partial_cost = 0.0
        self._partial_end = 0.0
        self._pending: list[PatchBox] = []
        # Where nobody looks, labels on the way are not made: they would be counted among the seconds of the patches.
        self._has_viewer = type(listener).partial is not Listener.partial

    def should_stop(self) -> bool:
        return self._listener.should_stop()

    def chosen(self, patches: tuple[ScoredBox, ...], candidates: int, class_weights: tuple[float, ...] | None) -> None:
        self._listener.patches(tuple(_to_source(patch, self._prepared) for patch in patches), candidates)
        weights = _by_label(class_weights, self._bundle)
        if weights is not None:
            self._listener.class_weights(weights)

    def refined(self, logits: PatchLogits | None, box: PatchBox | None, read: int, total: int) -> None:
        now = time.perf_counter()
        is_first = logits is not None and box is None
        if is_first:
            self._clock.lap("coarse")
            self._read_before = read
        here = read - self._read_before
        per_patch = (now - self._first_patch) / here if here else None
        left = per_patch * (total - read) if per_patch is not None else None
        self._listener.progress("patches", 0.1 + 0.85 * read / max(total, 1), read, total, left)
        if logits is None:
            return
        # Labels are interpolated between voxels of the prepared grid: they change up to one voxel outside the box.
        everything = whole(self._prepared.source_shape)
        self._pending.append(everything if box is None else to_source(box.grown(1), self._prepared))
        wait = max(PARTIAL_SECONDS, self._partial_cost * (1 / PARTIAL_SHARE - 1))
        if self._has_viewer and (is_first or (read < total and now - self._partial_end >= wait)):
            self._send_partials(logits, read, total)
        if is_first:
            self._first_patch = time.perf_counter()  # the first labels are large; patches must not be blamed for them

    def _send_partials(self, logits: PatchLogits, read: int, total: int) -> None:
        started = time.perf_counter()
        for box in self._pending:
            labels = restore_labels(logits, self._prepared, self._bundle.channel_values, box)
            self._listener.partial(np.ascontiguousarray(labels), box, read, total)
        self._pending = []
        self._partial_end = time.perf_counter()
        self._partial_cost = self._partial_end - started
