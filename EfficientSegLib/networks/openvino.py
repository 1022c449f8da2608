"""Networks run by OpenVINO instead of torch: an optional package of Intel's that is faster on many processors.

A network is converted once with free axes and compiled for each size of volume it meets. Only what maps a volume to
logits is converted; scores and class weights stay where they are.
"""

import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import DeviceError
from EfficientSegLib.networks import GlobalLocalModel, SliceModel
from EfficientSegLib.networks.inference import parts

KEPT_SHAPES = 3  # compiled forms kept per network: each holds the weights again
_HINTS = {"fp32": "f32", "bf16": "bf16"}


def for_openvino(model: nn.Module, precision: str = "fp32", in_channels: int = 1) -> nn.Module:
    """Let OpenVINO run `model`, its weights loaded; returns it, or what stands for it, in evaluation mode.

    Args:
        model: any network of the registry, plain (not changed by `networks.inference`), on the CPU.
        precision: "fp32", or "bf16" inside; what goes in and comes out is float32.

    Raises:
        DeviceError: OpenVINO is not installed, or cannot convert the network.
    """
    model.eval()
    _refuse_torch_only(model)
    if isinstance(model, SliceModel):
        from EfficientSegLib.networks.openvino_slices import OpenVINOSlices

        return OpenVINOSlices(model, precision)
    if not isinstance(model, GlobalLocalModel):
        return OpenVINONetwork(model, precision, in_channels)
    for name, network in parts(model):
        own = "fp32" if name in getattr(model, "decisive", ()) else precision
        setattr(model, name, OpenVINONetwork(network, own, in_channels))
    return model


def _refuse_torch_only(model: nn.Module) -> None:
    """A network says with `torch_only` why a converted form of it would be wrong."""
    for layer in model.modules():
        if hasattr(layer, "torch_only"):
            raise DeviceError(
                f"OpenVINO cannot run {type(layer).__name__}.", why=layer.torch_only, mend="Choose the backend 'torch'."
            )


class OpenVINONetwork(nn.Module):
    """Meets `PatchModel`, and offers `features_and_logits` where the converted network does."""

    def __init__(self, network: nn.Module, precision: str, in_channels: int) -> None:
        super().__init__()
        self.size_multiple, self.num_labels = network.size_multiple, network.num_labels
        self.feature_channels = getattr(network, "feature_channels", None)
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # callers ask the parameters for the device
        example = torch.zeros(1, in_channels, *(2 * multiple for multiple in network.size_multiple))
        traced = _FeaturesAndLogits(network) if hasattr(network, "features_and_logits") else network
        self._run = Converted(traced, (example,), precision)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, I, J, K) -> logits (B, L, I, J, K)."""
        return self._run(x)[-1]

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the network of this name gives.

        Raises:
            AttributeError: the converted network has no such method.
        """
        if self.feature_channels is None:
            raise AttributeError("features_and_logits")
        features, logits = self._run(x)
        return features, logits


class Converted:
    """Something of torch run by OpenVINO: converted once, compiled for each shape of what it is given.

    Args:
        network: in evaluation mode, from tensors to one or several tensors.
        examples: what it takes; of each the first axis and those behind the second may be of any length later.
        precision: "fp32" or "bf16".

    Raises:
        DeviceError: OpenVINO is not installed, or cannot convert the network.
    """

    def __init__(self, network: nn.Module, examples: tuple[Tensor, ...], precision: str) -> None:
        self._hint = _HINTS[precision]
        self._compiled: OrderedDict[tuple, Any] = OrderedDict()
        self._core, self._model = _convert(network, examples)

    def __call__(self, *given: Tensor) -> list[Tensor]:
        compiled = self._for_shapes(tuple(tuple(x.shape) for x in given))
        found = compiled([x.float().contiguous().numpy() for x in given])
        return [torch.from_numpy(found[index].copy()) for index in range(len(compiled.outputs))]

    def _for_shapes(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        key = (shapes, torch.get_num_threads())
        if key not in self._compiled:
            while len(self._compiled) >= KEPT_SHAPES:
                self._compiled.popitem(last=False)
            # Said outright, since on processors with bfloat16 OpenVINO would take it unasked.
            settings = {"INFERENCE_PRECISION_HINT": self._hint, "INFERENCE_NUM_THREADS": key[1], "NUM_STREAMS": 1}
            try:
                fixed = self._model.clone()
                fixed.reshape({index: list(shape) for index, shape in enumerate(shapes)})
                self._compiled[key] = self._core.compile_model(fixed, "CPU", settings)
            except RuntimeError as error:
                raise _refused(error) from error
        self._compiled.move_to_end(key)
        return self._compiled[key]


class _FeaturesAndLogits(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.features_and_logits(x)


def _convert(network: nn.Module, examples: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """OpenVINO's core, and the network in its form with free axes."""
    try:
        with _nothing_reported():
            import openvino
            from openvino.frontend import FrontEndManager
            from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    except ImportError as error:
        raise DeviceError(
            "The backend 'openvino' was asked for, and OpenVINO is not installed.",
            why=f"This Python has no usable package of this name ({error}).",
            mend="Install it (pip install openvino), or choose the backend 'torch'.",
        ) from error
    free = {index: [-1, *x.shape[1:2], *[-1] * (x.dim() - 2)] for index, x in enumerate(examples)}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of shapes it takes as fixed; none decides anything here
            front_end = FrontEndManager().load_by_framework("pytorch")
            decoder = TorchScriptPythonDecoder(network, example_input=examples)  # must outlive the conversion
            model = front_end.convert(front_end.load(decoder))
        model.reshape(free)
        return openvino.Core(), model
    except Exception as error:  # tracing and conversion fail in many ways, each of which means the same
        raise _refused(error) from error


@contextmanager
def _nothing_reported() -> Iterator[None]:
    """Import OpenVINO without the package by which it tells its makers of every import; nothing is sent from here."""
    reporter = "openvino_telemetry"
    if reporter in sys.modules:
        yield  # somebody else's import came first
        return
    sys.modules[reporter] = None  # counts as not installed
    try:
        yield
    finally:
        del sys.modules[reporter]


def _refused(error: Exception) -> DeviceError:
    return DeviceError(
        "OpenVINO cannot run this network.",
        why=" ".join(f"{type(error).__name__}: {error}".split())[:300] + ".",
        mend="Choose the backend 'torch'.",
    )
