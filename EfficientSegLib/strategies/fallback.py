"""How strategies ask the networks of a run: on their device as long as its memory suffices, then on the CPU.

A pass for which the memory of a GPU does not suffice is tried again once what torch keeps for later was given back, and
with half the batch where there is one, down to one. If that fails too, the same model on the CPU reads it, and all that
comes after it in this run: what was read before stays. The model on the GPU stays where it is and what it was, so that
the next run tries it again, and can go on from what this one has read.

Where the memory of the CPU ends there is nowhere to go: that error passes through.
"""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from EfficientSegLib.device_memory import ran_out, release, shortage
from EfficientSegLib.strategies import Watcher

T = TypeVar("T")


class Standby:
    """The same model on the CPU, loaded when it is first needed and kept for the next time.

    A model on another device has one as its attribute `standby`; one without is never replaced.

    Args:
        device: of the model it stands by for.
        load: makes it.
        precision: in which it calculates.
    """

    def __init__(self, device: str, load: Callable[[], nn.Module], precision: str = "fp32") -> None:
        self.device = device
        self.precision = precision
        self._load = load
        self._model: nn.Module | None = None

    def model(self) -> nn.Module:
        """The model on the CPU.

        Raises:
            BundleError: it must be loaded, and the bundle has changed or gone since the run began.
        """
        if self._model is None:
            self._model = self._load()
        return self._model


class Fallback:
    """Asks a model, and its standby from the pass on for which the memory of the model's device did not suffice.

    Args:
        model: on any device.
        watcher: told in words.
        batch: how many at once, for a device.
    """

    def __init__(
        self, model: nn.Module, watcher: Watcher | None = None, batch: Callable[[str], int] = lambda device: 1
    ) -> None:
        self.model = model
        self._watcher = watcher or Watcher()
        self._batch_of = batch
        self.batch = batch(next(model.parameters()).device.type)  # halved where even that is too much

    def ask(self, work: Callable[[nn.Module], T]) -> T:
        """What `work` makes of the model that is asked now; called again where memory did not suffice.

        It moves what it needs to the model's device and what it returns to the CPU, and takes no more than `batch`.

        Raises:
            RuntimeError: the memory of the device did not suffice, and the model has no standby.
        """
        has_failed = False
        while True:
            try:
                return work(self.model)
            except RuntimeError as error:
                standby: Standby | None = getattr(self.model, "standby", None)
                if standby is None or not ran_out(error):
                    raise
                self._make_room(standby, error, again=not has_failed)
                has_failed = True

    def _make_room(self, standby: Standby, error: RuntimeError, again: bool) -> None:
        """Let the next try want less, or another device."""
        release(standby.device, error)
        if self.batch > 1:
            self.batch = (self.batch + 1) // 2
            self._watcher.warn(
                f"{shortage(standby.device, error)}. At most {self.batch} at a time are read from here on."
            )
        elif not again:
            self._move(standby, error)

    def _move(self, standby: Standby, error: RuntimeError) -> None:
        words = shortage(standby.device, error)
        self.model = standby.model()
        self.batch = self._batch_of("cpu")
        self._watcher.moved(
            "cpu",
            standby.precision,
            f"{words}. What was read is kept. The rest of this run is read on the processor, which takes longer; "
            "the next run tries the device again.",
        )
