"""The model of a run: on the device that was chosen, or on the CPU where that device's memory does not suffice for it.

Where the memory ends later, while something is read, `strategies.fallback` has the same model on the CPU.
"""

from typing import TYPE_CHECKING

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.device_memory import ran_out, release, shortage
from EfficientSegLib.devices import choose_precision
from EfficientSegLib.kept import Instead, ModelKeeper, RunKeeper
from EfficientSegLib.reporter import Reporter

if TYPE_CHECKING:
    from torch import nn


def load(
    bundle: Bundle, device: str, precision: str, backend: str, models: ModelKeeper, runs: RunKeeper, reporter: Reporter
) -> "tuple[nn.Module, Instead | None]":
    """The bundle's model; and device and precision it has instead of those asked for, if it has.

    Args:
        device: from `devices.choose`, or the one of `runs.instead`.

    Raises:
        EfficientSegError: see `segment.load_model`.
        RuntimeError: the memory of the CPU did not suffice.
    """
    if runs.instead is not None:
        reporter.warn("The memory of another device did not suffice for the run that goes on; it goes on here.")
        return models.get(bundle, device, precision, backend), runs.instead
    try:
        return models.get(bundle, device, precision, backend), None
    except RuntimeError as error:
        if device == "cpu" or not ran_out(error):
            raise
        release(device, error)
        words = shortage(device, error)
    instead = "cpu", choose_precision("fp32" if precision == "fp32" else "auto", "cpu", bundle, backend)
    model = models.get(bundle, *instead, backend)
    reporter.warn(f"{words}. This run is done on the processor, which takes longer; a new one tries the device again.")
    reporter.moved(*instead)
    return model, instead
