"""The one pipeline: volume in, labels on the volume's own grid out. The worker and the command line both take it."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from EfficientSegLib import networks, strategies
from EfficientSegLib.bundle import Bundle, verify_weights
from EfficientSegLib.errors import BundleError, ContinuationError, OptionError
from EfficientSegLib.geometry import Index, PatchBox, ScoredBox
from EfficientSegLib.listener import Listener
from EfficientSegLib.live import Clock, Live, by_label, scored_in_source
from EfficientSegLib.live_slabs import LiveSlabs
from EfficientSegLib.networks.compact import unpack
from EfficientSegLib.networks.independent import with_background
from EfficientSegLib.networks.inference import for_inference
from EfficientSegLib.options import read_options
from EfficientSegLib.overlaps import Masks
from EfficientSegLib.overlaps import check as check_overlapping
from EfficientSegLib.postprocess import clean, clean_masks
from EfficientSegLib.preprocess import prepare
from EfficientSegLib.review import review
from EfficientSegLib.strategies.preference import refuse_order
from EfficientSegLib.suitability import check_grid, check_intensities
from EfficientSegLib.token_map import TokenMap, token_map
from EfficientSegLib.volume import Volume
from EfficientSegLib.wishes import Wishes

if TYPE_CHECKING:
    from EfficientSegLib.strategies.reading import Reading


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
    unit: str = "patches"  # what was read one by one: "patches", or "slices"
    masks: Masks | None = field(default=None, repr=False, compare=False)  # overlapping labels, where they were wanted
    prepared_shape: Index | None = None  # voxels that the network's costs count from
    region: PatchBox | None = None  # of the input volume; outside it labels are 0
    coarse_labels: np.ndarray | None = field(default=None, repr=False, compare=False)  # for the review of what goes on
    reading: "Reading | None" = field(default=None, repr=False, compare=False)  # what `segment(earlier=)` goes on from
    tokens: TokenMap | None = field(default=None, repr=False, compare=False)  # where it was wanted and there are any


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
        OptionError: the network or the strategy is unknown or refuses its options, or the strategy the network.
        BundleError: the network does not fit the bundle's outputs or strategy, or the weights are broken, hold code,
            are missing or left over.
    """
    networks.check(bundle.network.name, bundle.network.options)
    strategies.check(bundle.strategy.name, bundle.strategy.options, bundle.network)
    model = networks.build(bundle.network.name, bundle.network.options, len(bundle.channels), bundle.num_outputs)
    _check_kind(bundle, model)
    strategies.check_model(bundle.strategy.name, bundle.strategy.options, model)
    read_weights(bundle, model)
    if backend == "openvino":
        from EfficientSegLib.networks.openvino import for_openvino

        ready = for_openvino(model.float(), precision, len(bundle.channels))
    else:
        ready = for_inference(model.float(), precision).to(device)
    is_independent = bundle.outputs == "independent" and not isinstance(model, networks.SliceModel)
    return with_background(ready) if is_independent else ready


def _check_kind(bundle: Bundle, model: nn.Module) -> None:
    """Which outputs a network has, and what reads it: of slices independent ones, of an overview exclusive ones."""
    reads_slices = isinstance(model, networks.SliceModel)
    network = (
        f"Network {bundle.network.name!r} of bundle {bundle.name!r} reads {'slices' if reads_slices else 'volumes'}"
    )
    wanted = "independent" if reads_slices else "exclusive"
    if bundle.outputs != wanted and (reads_slices or isinstance(model, networks.GlobalLocalModel)):
        raise BundleError(
            f"{network}, and its outputs are called {bundle.outputs}.",
            why="A network of slices has a channel for each label. One with an overview has one for background too, "
            "since it is where background does not win that it looks closer.",
            mend=f'Write "outputs": "{wanted}" into bundle.json, or get the bundle again.',
        )
    if reads_slices != (strategies.unit(bundle.strategy.name) == "slices"):
        raise BundleError(
            f"{network}, and its strategy is {bundle.strategy.name!r}.",
            why="Slices are read by the strategy 'slices', volumes by the others.",
            mend="Correct strategy.name in bundle.json, or get the bundle again.",
        )


def read_weights(bundle: Bundle, model: nn.Module) -> None:
    """Give a plain network, as `networks.build` makes it, the weights of a bundle, in place.

    Raises:
        BundleError: the weights are broken, hold code, are missing or left over.
    """
    mend = "Get the bundle again, or ask its author."
    try:
        verify_weights(bundle)
    except OSError as error:
        raise BundleError(
            f"The weights of bundle {bundle.name!r} are not there any more, or cannot be read.",
            why=f"{bundle.weights_path}: {error.strerror}.",
            mend=mend,
        ) from error
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
    wishes: Wishes | None = None,
    overlapping: bool = False,
    tokens: bool = False,
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
        wishes: what is read first, or alone; outside their region the labels are 0.
        overlapping: also tell all labels that each voxel has, where the bundle's are independent.
        tokens: also tell where the network stopped computing tokens, of all that it and earlier runs read; where it has
            none, the listener is warned.

    Raises:
        VolumeError: the volume does not suit the bundle.
        ContinuationError: the earlier run is not the beginning of this one.
        OptionError: the strategy or its options are wrong, or do not fit the network or the volume.
    """
    listener = listener or Listener()
    asked = bundle.run_strategy(strategy, options)
    name, module = asked.name, strategies.module(asked.name)
    chosen_options = read_options(module.Options, asked.options)
    _check(volume, bundle)
    if overlapping:
        check_overlapping(bundle)
    wishes = wishes or Wishes()
    wishes.check(volume.array.shape[1:], bundle)
    further = {} if earlier is None else {"earlier": _reading(earlier, name)}
    clock = Clock()
    listener.progress("prepare", 0.0)
    prepared = prepare(volume, bundle.preprocess)
    clock.lap("prepare")
    preference = wishes.on_grid(prepared, bundle)
    if strategies.takes_preference(name):
        further["preference"] = preference
    else:
        refuse_order(preference, name)
    masks = Masks(bundle.num_outputs, prepared.oriented_shape) if overlapping else None
    if strategies.reads_lazily(name):
        run = LiveSlabs(bundle, prepared, listener, strategies.unit(name), wishes.region, masks)
    else:
        run = Live(bundle, prepared, listener, clock, wishes.region)
    with torch.inference_mode():
        prediction = module.predict(torch.from_numpy(prepared.array), model, chosen_options, run, **further)
        clock.lap("patches")
        if prediction.logits.patches_read or not prediction.planned:
            listener.progress("restore", 0.95)  # otherwise the patches are read only now
        labels = run.labels(prediction.logits)
    clean(labels, bundle.postprocess)
    if masks is not None:
        clean_masks(masks, bundle)
    clock.lap("restore")
    found = token_map(prediction, prepared, wishes.region) if tokens else None
    if found is not None:
        listener.tokens(found.depths, found.stages)
        clock.lap("tokens")
    elif tokens:
        listener.warn(f"No map of dropped tokens: the network of bundle {bundle.name!r} drops none.")
    patches = tuple(scored_in_source(patch, prepared) for patch in prediction.patches)
    coarse = None
    if prediction.reading is not None and listener.wants_review:
        listener.progress("review", 0.97)
        coarse = _coarse_labels(run, earlier, wishes)
        seen = review(labels, coarse, prediction.reading, patches, prepared, bundle, wishes.region)
        listener.reviewed(seen)
        clock.lap("review")
    run.ended()
    return Segmentation(
        labels=labels,
        patches=patches,
        class_weights=by_label(prediction.class_weights, bundle),
        complete=prediction.logits.patches_read >= prediction.planned,
        patches_read=prediction.logits.patches_read,
        patches_total=prediction.planned,
        candidates=prediction.candidates,
        region=wishes.region,
        coarse_labels=coarse,
        reading=prediction.reading,
        tokens=found,
        unit=strategies.unit(name),
        masks=None if masks is None else masks.turned_back(prepared.axes, prepared.flips),
        seconds=clock.seconds,
        prepared_shape=tuple(prepared.array.shape[1:]),
    )


def _coarse_labels(run: Live, earlier: Segmentation | None, wishes: Wishes) -> np.ndarray | None:
    """Labels before any patch was read, where they were made in this run or in the one it goes on from."""
    if run.coarse_labels is None and earlier is not None and earlier.region == wishes.region:
        return earlier.coarse_labels
    return run.coarse_labels


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
