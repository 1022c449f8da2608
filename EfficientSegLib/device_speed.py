"""How fast each device of this machine reads one patch of a bundle: measured, and after a check that it calculates."""

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from EfficientSegLib import device_memory, devices, strategies
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.environment import cores
from EfficientSegLib.failures import Stopped, explain, is_memory
from EfficientSegLib.options import read_options
from EfficientSegLib.protocol import DeviceSpeed

if TYPE_CHECKING:
    from torch import Tensor, nn

PATCH = 128  # voxels along each axis, where neither model nor strategy says
SLICE = 512  # pixels along each axis of a scan's slice
FEWEST, ENOUGH_SECONDS = 3, 1.0  # readings that count, and when more add nothing


def measure(
    bundle: Bundle, threads: int | None = None, should_stop: Callable[[], bool] = lambda: False
) -> list[DeviceSpeed]:
    """Seconds per patch on every device, the fastest first; the median of some readings after one that warms up.

    Args:
        bundle: its network, strategy and usual precision are what is measured.
        threads: None is all cores but one.
        should_stop: asked before each reading.

    Raises:
        Stopped: asked to.
        EfficientSegError: the bundle cannot be used on any device.
    """
    import torch

    torch.set_num_threads(threads or max(cores() - 1, 1))
    found = [_measure(bundle, device, should_stop) for device in devices.there()]
    return sorted(found, key=lambda speed: (speed.seconds is None, speed.seconds or 0.0))


def _measure(bundle: Bundle, device: str, should_stop: Callable[[], bool]) -> DeviceSpeed:
    import torch

    from EfficientSegLib.segment import load_model

    title = devices.title(device)
    failure = None if device == "cpu" else devices.trouble(device)
    if failure is not None:
        return DeviceSpeed(device, title, trouble=str(failure))
    precision = devices.choose_precision("auto", device, bundle)
    unit = "slice" if strategies.unit(bundle.strategy.name) == "slices" else "patch"
    try:
        model = load_model(bundle, device, precision)
        with torch.inference_mode():
            seconds = _median(_reader(bundle, model, device), device, should_stop)
    except Exception as error:
        if device == "cpu" and not is_memory(error):
            raise  # it is the bundle's fault, and not the device's
        if isinstance(error, Stopped):
            raise
        if device_memory.ran_out(error):
            device_memory.release(device, error)
            return DeviceSpeed(device, title, unit=unit, precision=precision, trouble=_too_small(device, error))
        told = explain(error)
        return DeviceSpeed(device, title, unit=unit, precision=precision, trouble=f"{told.what} {told.why}")
    return DeviceSpeed(device, title, round(seconds, 4), unit, precision)


def _too_small(device: str, error: Exception) -> str:
    return f"{device_memory.shortage(device, error)}. Other programs use it, or it is too small for this model."


def _median(read: Callable[[], object], device: str, should_stop: Callable[[], bool]) -> float:
    taken: list[float] = []
    first = True
    while first or len(taken) < FEWEST or (sum(taken) < ENOUGH_SECONDS and len(taken) < 10 * FEWEST):
        if should_stop():
            raise Stopped
        began = time.perf_counter()
        read()
        _wait_for(device)
        if not first:
            taken.append(time.perf_counter() - began)
        first = False
    return statistics.median(taken)


def _reader(bundle: Bundle, model: "nn.Module", device: str) -> "Callable[[], Tensor]":
    """What reads one patch, or one slice, as the strategies do."""
    import torch

    from EfficientSegLib.networks import GlobalLocalModel, SliceModel

    if isinstance(model, SliceModel):
        stack = torch.zeros(1, model.slices, SLICE, SLICE, device=device)
        return lambda: model.with_presence(stack)
    local = model.local if isinstance(model, GlobalLocalModel) else model
    patch = torch.zeros(1, len(bundle.channels), *_patch_size(bundle, model), device=device)
    return lambda: local(patch)


def _patch_size(bundle: Bundle, model: "nn.Module") -> tuple[int, ...]:
    options = read_options(strategies.module(bundle.strategy.name).Options, bundle.strategy.options)
    said = getattr(model, "patch_size", None) or getattr(options, "patch_size", None)
    return tuple(said or (-(-PATCH // step) * step for step in getattr(model, "size_multiple", (1, 1, 1))))


def _wait_for(device: str) -> None:
    """Devices other than the processor calculate on after the call has returned."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
