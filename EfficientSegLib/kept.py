"""What a warm worker keeps between two requests: the model, and on request what the last run has read."""

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.devices import choose_precision

if TYPE_CHECKING:
    from torch import nn

    from EfficientSegLib.segment import Segmentation


Instead = tuple[str, str]  # a device and a precision


class ModelKeeper:
    """Keeps the model used last: the next run with the same weights, network and device begins at once."""

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._model: nn.Module | None = None

    def get(self, bundle: Bundle, device: str, precision: str = "fp32", backend: str = "torch") -> "nn.Module":
        """The bundle's model on the device, loaded only if it is another one than last time.

        Elsewhere than on the CPU it has a `strategies.fallback.Standby`.
        """
        from EfficientSegLib.segment import load_model
        from EfficientSegLib.strategies.fallback import Standby

        kind = (repr(bundle.network), bundle.outputs, bundle.num_labels)
        key = (bundle.weights.sha256, *kind, device, precision, backend)
        if key != self._key:
            self._key, self._model = None, None  # the old one goes before the new one comes
            self._model = load_model(bundle, device, precision, backend)
            if device != "cpu":
                # Loaded anew, not moved: on the CPU bfloat16 may be hopeless, and other kernels want other weights.
                on_cpu = choose_precision("fp32" if precision == "fp32" else "auto", "cpu", bundle)
                self._model.standby = Standby(device, lambda: load_model(bundle, "cpu", on_cpu), on_cpu)
            self._key = key
        return self._model


class RunKeeper:
    """Keeps what the last run has read, so that the next one can read on; gone once any other run begins.

    It holds the prepared volume, the coarse logits and labels, and the patch logits (see `strategies.reading.Reading`),
    these in memory up to the strategy's `memory_mb`, beyond that in a file that goes with the process.
    """

    def __init__(self) -> None:
        self._run_id = ""
        self.kept: Segmentation | None = None
        self.instead: Instead | None = None  # device and precision it took, where the device asked for was full

    def begin(self, run_id: str) -> None:
        """A run begins that goes on from `run_id` ("": from nothing); whatever else is kept goes."""
        if run_id != self._run_id:
            self.forget()

    def forget(self) -> str:
        """Keep nothing any more; the identity of nothing."""
        self._run_id, self.kept, self.instead = "", None, None
        return ""

    def keep(self, segmentation: "Segmentation", instead: Instead | None = None) -> str:
        """Keep a run, without its labels; its new identity, "" where the strategy left nothing to go on from.

        Args:
            instead: device and precision of its model, where they are not those that were asked for.
        """
        self.forget()
        if segmentation.reading is not None:
            self._run_id, self.instead = uuid.uuid4().hex, instead
            self.kept = replace(segmentation, labels=np.empty((0, 0, 0), segmentation.labels.dtype), tokens=None)
        return self._run_id
